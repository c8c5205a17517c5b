"""A batch of images as a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

# Pixels of a plot, and roughly of the smallest grid: tiny images are enlarged by a whole factor
SIDE = 512
GAP = 2
SQUARE = 8  # pixels of a checkerboard's
LOOKED = 1 << 20  # numbers of maps, for how far they reach


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


def of_maps(maps: Tensor) -> Tensor:
    """What can be looked at of maps [n, c, h, w]: the first three channels, or the first of fewer,
    so scaled that nearly all numbers are within [-1, 1].
    """
    seen = maps[:, :3] if maps.shape[1] >= 3 else maps[:, :1]
    numbers = seen.flatten()[:LOOKED].nan_to_num(0, 0, 0).abs()
    return seen / power_above(float(numbers.quantile(0.995)))


def power_above(number: float) -> float:
    """The next power of the square root of 2: of few distinct values, so that pictures compare."""
    return float(2 ** (math.ceil(2 * math.log2(min(max(number, 1e-6), 1e30))) / 2))


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


def layout(count: int, height: int, width: int, columns: int = 0) -> Layout:
    """How `count` images of that size are laid out, in so many columns if they are given."""
    columns = columns or math.ceil(math.sqrt(count))
    factor = max(1, SIDE // (columns * max(height, width)))
    wide, high = width * factor + GAP, height * factor + GAP
    return Layout(columns, math.ceil(count / columns), wide, high, factor)


def grid(images: Tensor, columns: int = 0) -> Image.Image:
    """Images [n, c, h, w] in [-1, 1] as a grid, near-square unless columns are given, enlarged
    without smoothing when they are tiny; RGBA on a checkerboard.
    """
    n, _, h, w = images.shape
    places = layout(n, h, w, columns)
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


def checkerboard(width: int, height: int) -> Image.Image:
    """What is seen through transparent pixels: two
    greys in squares, as drawing programs show it.
    """
    down, across = torch.arange(height)[:, None] // SQUARE, torch.arange(width) // SQUARE
    shade = torch.where((down + across) % 2 == 0, 255, 204).to(torch.uint8)
    return Image.fromarray(shade.numpy()).convert("RGBA")
