"""A batch of samples of any modality as a picture, and what is written beside it: an animation,
lines of text, a sound.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..contracts import Spec
from ..io.files import write_bytes
from .images import SIDE, grid, layout, of_maps, power_above
from .sounds import HEARD, RATE, is_sound, spectrograms, wav_of
from .tables import pair_plot, plot_size
from .texts import lines_of, page, page_size
from .videos import animated, strip, strip_size

FRAME = 100  # milliseconds of an animation's
MOVING = 16  # videos that move side by side in a run's pictures
CURVES, CURVE = 16, 64  # at most so many in a picture, each so many pixels high


def sheet_of(count: int, spec: Spec) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Width and height of a picture of `count` samples, and
    the box of its first row; of plots, which have none, all.
    """
    if spec.modality in ("image", "map"):
        places = layout(count, *spec.shape[1:])
        return places.size, places.first_row
    if spec.modality == "video":
        return strip_size(count, spec)
    size = _plot_size(count, spec)
    return size, (0, 0, *size)


def _plot_size(count: int, spec: Spec) -> tuple[int, int]:
    """Width and height of what has no rows."""
    if spec.modality == "points":
        return SIDE, SIDE
    if spec.modality == "table":
        return plot_size(spec)
    if spec.modality == "tokens":
        return page_size(count, spec)
    return 2 * SIDE, CURVE * min(count, CURVES)


def reach_of(points: Tensor) -> float:
    """How far axes go so that nearly all points [n, d] are on
    them; of few distinct values, so that pictures compare.
    """
    return power_above(1.25 * float(points[:, :2].nan_to_num(0, 0, 0).abs().quantile(0.995)))


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
    """A batch of any modality as one picture; points and tables over the real ones, where these
    are given.
    """
    shown = samples.detach().float().cpu()
    below = None if real is None else real.detach().float().cpu()
    if spec.modality == "points":
        return scatter(shown, below)
    if spec.modality == "table":
        return pair_plot(shown, spec, below)
    if spec.modality == "tokens":
        return page(shown, spec)
    if spec.modality == "video":
        return strip(shown)
    if spec.modality == "map":
        return grid(of_maps(shown))
    return grid(shown) if spec.modality == "image" else curves(shown)


def beside(samples: Tensor, spec: Spec, rate: int = RATE) -> dict[str, bytes]:
    """What is written beside the picture of a batch, by the ending of its name: an animation of
    videos, the lines of tokens, of signals the spectrograms and the sound, of so many samples a
    second.
    """
    shown = samples.detach().float().cpu()
    if spec.modality == "video":
        return {".gif": gif(animated(shown[:MOVING]), FRAME)}
    if spec.modality == "tokens":
        return {".txt": lines_of(shown, spec)}
    if spec.modality == "signal":
        return _heard(shown, spec, rate)
    return {}


def _heard(signals: Tensor, spec: Spec, rate: int) -> dict[str, bytes]:
    """Spectrograms and sound of signals, as far as they have any."""
    found = {}
    picture = spectrograms(signals)
    if picture is not None:
        found[".spectrogram.png"] = png(picture)
    if is_sound(spec):
        found[".wav"] = wav_of(signals[:HEARD], rate)
    return found


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


def write_pictures(
    path: Path, samples: Tensor, spec: Spec, real: Tensor | None = None, rate: int = RATE
) -> None:
    """Draw samples and write them as `write_picture`, with what belongs beside them."""
    write_picture(path, samples, spec, real)
    for ending, content in beside(samples, spec, rate).items():
        write_bytes(path.with_suffix(ending), content)


def write_picture(path: Path, samples: Tensor, spec: Spec, real: Tensor | None = None) -> None:
    """Draw samples and write them atomically as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, png(draw(samples, spec, real)))
