"""A batch of samples as a picture: a grid of
images, a scatter plot of points, a stack of curves.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..contracts import Spec
from ..io.files import write_bytes

# Pixels of a plot, and roughly of the smallest grid: tiny images are enlarged by a whole factor
SIDE = 512
GAP = 2
SQUARE = 8  # pixels of a checkerboard's
CURVES, CURVE = 16, 64  # at most so many in a picture, each so many pixels high


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, [n, c, h, w]."""
    return images.clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)  # one copy in all


def as_stored(samples: Tensor, dtype: torch.dtype) -> Tensor:
    """Generated samples as data of a type are stored: in 8 bits where those are."""
    return to_bytes(samples) if dtype == torch.uint8 else samples.to(dtype)


def to_image(image: Tensor) -> Image.Image:
    """One uint8 image [c, h, w] of 1, 3 or 4 channels
    (others: the first channel alone) as a picture.
    """
    array = image.permute(1, 2, 0).contiguous().numpy()
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(array.shape[2])
    return Image.fromarray(array[:, :, 0] if mode in ("L", None) else array)


@dataclass(frozen=True)
class Layout:
    """Where the images of a grid lie: near-square,
    enlarged by a whole factor when they are tiny.
    """

    columns: int
    rows: int
    wide: int  # pixels of a tile and the gap before it
    high: int
    factor: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        return self.columns * self.wide + GAP, self.rows * self.high + GAP

    @property
    def first_row(self) -> tuple[int, int, int, int]:
        """The box of the first row."""
        return 0, 0, self.size[0], self.high + GAP


def layout(count: int, height: int, width: int) -> Layout:
    """How `count` images of that size are laid out."""
    columns = math.ceil(math.sqrt(count))
    factor = max(1, SIDE // (columns * max(height, width)))
    wide, high = width * factor + GAP, height * factor + GAP
    return Layout(columns, math.ceil(count / columns), wide, high, factor)


def grid(images: Tensor) -> Image.Image:
    """Images [n, c, h, w] in [-1, 1] as a grid, enlarged without
    smoothing when they are tiny; RGBA on a checkerboard.
    """
    n, _, h, w = images.shape
    places = layout(n, h, w)
    tiles = [to_image(image) for image in to_bytes(images)]
    mode = "L" if tiles[0].mode == "L" else "RGB"
    sheet = Image.new(mode, places.size, 255 if mode == "L" else (255, 255, 255))
    board = checkerboard(w * places.factor, h * places.factor)
    for i, tile in enumerate(tiles):
        enlarged = tile.resize((w * places.factor, h * places.factor), Image.Resampling.NEAREST)
        if enlarged.mode == "RGBA":
            enlarged = Image.alpha_composite(board, enlarged)
        corner = GAP + i % places.columns * places.wide, GAP + i // places.columns * places.high
        sheet.paste(enlarged, corner)
    return sheet


def sheet_of(count: int, spec: Spec) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Width and height of a picture of `count` samples, and
    the box of its first row; of plots, which have none, all.
    """
    if spec.modality == "image":
        places = layout(count, *spec.shape[1:])
        return places.size, places.first_row
    size = (SIDE, SIDE) if spec.modality == "points" else (2 * SIDE, CURVE * min(count, CURVES))
    return size, (0, 0, *size)


def checkerboard(width: int, height: int) -> Image.Image:
    """What is seen through transparent pixels: two
    greys in squares, as drawing programs show it.
    """
    down, across = torch.arange(height)[:, None] // SQUARE, torch.arange(width) // SQUARE
    shade = torch.where((down + across) % 2 == 0, 255, 204).to(torch.uint8)
    return Image.fromarray(shade.numpy()).convert("RGBA")


def reach_of(points: Tensor) -> float:
    """How far axes go so that nearly all points [n, d] are on
    them; of few distinct values, so that pictures compare.
    """
    reach = max(1.25 * float(points[:, :2].nan_to_num(0, 0, 0).abs().quantile(0.995)), 1e-6)
    return float(2 ** (math.ceil(2 * math.log2(min(reach, 1e30))) / 2))


def scatter(points: Tensor, real: Tensor | None = None) -> Image.Image:
    """Points [n, d] as a scatter plot of the first two dimensions (of value
    and rank when there is one), blue over the real ones [m, d] in grey, whose
    reach gives the axes; how many points lie beyond them is written beside.
    """
    points = _planar(points)
    below = points[:0] if real is None else _planar(real)
    reach = reach_of(points if real is None else below)
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(sheet)
    draw.line([(0, SIDE // 2), (SIDE, SIDE // 2)], fill="#dddddd")
    draw.line([(SIDE // 2, 0), (SIDE // 2, SIDE)], fill="#dddddd")
    for each, colour in ((below, "#bbbbbb"), (points, "#2255aa")):
        for x, y in each.tolist():
            if math.isfinite(x) and math.isfinite(y):
                px, py = SIDE / 2 * (1 + x / reach), SIDE / 2 * (1 - y / reach)
                draw.ellipse([px - 1.5, py - 1.5, px + 1.5, py + 1.5], fill=colour)
    beyond = float((points.nan_to_num(math.inf).abs() > reach).any(1).float().mean())
    more = f", {beyond:.0%} beyond" if beyond >= 0.005 else ""
    draw.text((6, 6), f"±{reach:.3g}{more}", fill="#888888")
    return sheet


def _planar(points: Tensor) -> Tensor:
    """Points [n, d] as [n, 2]."""
    if points.shape[1] > 1:
        return points[:, :2]
    return torch.stack([points[:, 0].sort().values, torch.linspace(-1, 1, len(points))], 1)


def curves(signals: Tensor) -> Image.Image:
    """Signals [n, c, length] as stacked curves, at most sixteen, one colour a channel."""
    shown = signals[:CURVES].nan_to_num()
    height, colours = CURVE, ("#2255aa", "#aa5522", "#228855", "#884488")
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


def draw(samples: Tensor, spec: Spec, real: Tensor | None = None) -> Image.Image:
    """A batch of any modality as one picture; points over the real ones, where these are given."""
    shown = samples.detach().float().cpu()
    if spec.modality == "points":
        return scatter(shown, None if real is None else real.detach().float().cpu())
    return grid(shown) if spec.modality == "image" else curves(shown)


def png(picture: Image.Image) -> bytes:
    """The picture as PNG, the same bytes for the same pixels."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def gif(frames: Sequence[Image.Image], milliseconds: int, last: int | None = None) -> bytes:
    """Pictures of one size as an endless animation,
    each shown for so long, the last one for `last`.
    """
    buffer = io.BytesIO()
    times = [milliseconds] * (len(frames) - 1) + [last or milliseconds]
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, disposal=1
    )
    return buffer.getvalue()


def write_picture(path: Path, samples: Tensor, spec: Spec, real: Tensor | None = None) -> None:
    """Draw samples and write them atomically as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, png(draw(samples, spec, real)))
