"""A batch of samples as a picture: a grid of images, a scatter plot of points, a stack of curves."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .contracts import Spec
from .files import write_bytes

SIDE = 512  # pixels of a plot, and roughly of the smallest grid: tiny images are enlarged by a whole factor
GAP = 2


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, [n, c, h, w]."""
    return images.clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)  # one copy in all


def to_image(image: Tensor) -> Image.Image:
    """One uint8 image [c, h, w] of 1, 3 or 4 channels (others: the first channel alone) as a picture."""
    array = image.permute(1, 2, 0).contiguous().numpy()
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(array.shape[2])
    return Image.fromarray(array[:, :, 0] if mode in ("L", None) else array)


def grid(images: Tensor) -> Image.Image:
    """Images [n, c, h, w] in [-1, 1] as a near-square grid, enlarged without smoothing when they are tiny."""
    n, _, h, w = images.shape
    columns = math.ceil(math.sqrt(n))
    factor = max(1, SIDE // (columns * max(h, w)))
    tiles = [to_image(image) for image in to_bytes(images)]
    mode = tiles[0].mode
    rows, wide, high = math.ceil(n / columns), w * factor + GAP, h * factor + GAP
    between: dict[str, int | tuple[int, ...]] = {
        "L": 255,
        "RGB": (255, 255, 255),
        "RGBA": (0, 0, 0, 0),
    }
    sheet = Image.new(mode, (columns * wide + GAP, rows * high + GAP), between[mode])
    for i, tile in enumerate(tiles):
        enlarged = tile.resize((w * factor, h * factor), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (GAP + i % columns * wide, GAP + i // columns * high))
    return sheet


def scatter(points: Tensor) -> Image.Image:
    """Points [n, d] as a scatter plot of the first two dimensions (of value and rank when there is one)."""
    if points.shape[1] == 1:
        ranks = torch.linspace(-1, 1, len(points))
        points = torch.stack([points[:, 0].sort().values, ranks], 1)
    reach = max(1.25 * float(points[:, :2].nan_to_num(0, 0, 0).abs().quantile(0.995)), 1e-6)
    reach = 2 ** (
        math.ceil(2 * math.log2(min(reach, 1e30))) / 2
    )  # few distinct scales, so that pictures stay comparable
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(sheet)
    draw.line([(0, SIDE // 2), (SIDE, SIDE // 2)], fill="#dddddd")
    draw.line([(SIDE // 2, 0), (SIDE // 2, SIDE)], fill="#dddddd")
    for x, y in points[:, :2].tolist():
        if math.isfinite(x) and math.isfinite(y):
            px, py = SIDE / 2 * (1 + x / reach), SIDE / 2 * (1 - y / reach)
            draw.ellipse([px - 1.5, py - 1.5, px + 1.5, py + 1.5], fill="#2255aa")
    draw.text((6, 6), f"±{reach:.3g}", fill="#888888")
    return sheet


def curves(signals: Tensor) -> Image.Image:
    """Signals [n, c, length] as stacked curves, at most sixteen, one colour a channel."""
    shown = signals[:16].nan_to_num()
    height, colours = 64, ("#2255aa", "#aa5522", "#228855", "#884488")
    sheet = Image.new("RGB", (2 * SIDE, height * len(shown)), "white")
    draw = ImageDraw.Draw(sheet)
    reach = max(float(shown.abs().max()), 1e-6)
    for row, signal in enumerate(shown):
        for channel, values in enumerate(signal.tolist()):
            step = 2 * SIDE / max(len(values) - 1, 1)
            middle = height * (row + 0.5)
            points = [(i * step, middle - 0.45 * height * v / reach) for i, v in enumerate(values)]
            draw.line(points, fill=colours[channel % len(colours)])
    return sheet


def draw(samples: Tensor, spec: Spec) -> Image.Image:
    """A batch of any sort of sample as one picture."""
    return {"image": grid, "points": scatter, "signal": curves}[spec.sort](
        samples.detach().float().cpu()
    )


def png(picture: Image.Image) -> bytes:
    """The picture as PNG, the same bytes for the same pixels."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def write_picture(path: Path, samples: Tensor, spec: Spec) -> None:
    """Draw samples and write them atomically as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, png(draw(samples, spec)))
