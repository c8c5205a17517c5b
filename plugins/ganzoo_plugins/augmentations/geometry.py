"""Affine maps of images: where each pixel comes from, and the images there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .filters import REACH, coarser, filtered, finer, mirrored


class Map:
    """From places in the changed image to those in the original, for each of n images.

    Places are (x, y) in pixels from the middle. linear: [n, 2, 2]; shift: [n, 2]
    """

    def __init__(self, like: Tensor) -> None:
        eye = torch.eye(2, dtype=like.dtype, device=like.device)
        self.linear = eye.expand(len(like), 2, 2)
        self.shift = eye.new_zeros(len(like), 2)

    def scaled(self, x: Tensor, y: Tensor) -> None:
        """Go on: what was seen is x times as wide and y times as high, [n] each."""
        self.linear = self.linear / torch.stack([x, y], 1)[:, None]

    def turned(self, cos: Tensor, sin: Tensor) -> None:
        """Go on: what was seen turns from the x to the y axis by an angle, [n] each."""
        turn = torch.stack([cos, sin, -sin, cos], 1).view(-1, 2, 2)
        self.linear = product(self.linear, turn)

    def moved(self, x: Tensor, y: Tensor) -> None:
        """Go on: what was seen moves by so many pixels, [n] each."""
        self.shift = self.shift - product(self.linear, torch.stack([x, y], 1)[:, :, None])[..., 0]

    def followed(self, then: Map) -> None:
        """Go on: what was seen changes by another map."""
        self.shift = self.shift + product(self.linear, then.shift[:, :, None])[..., 0]
        self.linear = product(self.linear, then.linear)

    def still(self) -> Tensor:
        """For which images nothing moves: bool [n]."""
        eye = torch.eye(2, dtype=self.linear.dtype, device=self.linear.device)
        return (self.linear == eye).all(2).all(1) & (self.shift == 0).all(1)

    def places(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Where rows [i] and columns [j], from the middle, come from: y and x, [n, i, j] each."""
        linear, shift = self.linear[:, :, :, None, None], self.shift[:, :, None, None]
        x = linear[:, 0, 0] * columns + linear[:, 0, 1] * rows[:, None] + shift[:, 0]
        y = linear[:, 1, 0] * columns + linear[:, 1, 1] * rows[:, None] + shift[:, 1]
        return y, x


def product(left: Tensor, right: Tensor) -> Tensor:
    """Products of small matrices [n, i, j] and [n, j, k], which autocast does not round."""
    return (left[:, :, :, None] * right[:, None]).sum(2)


def picked(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of images [n, c, h, w] at whole rows and columns within them, [n, i, j]."""
    at = (rows * images.shape[3] + columns).flatten(1)[:, None]
    found = images.flatten(2).gather(2, at.expand(-1, images.shape[1], -1))
    return found.view(*images.shape[:2], *rows.shape[1:])


def shuffled(images: Tensor, where: Map) -> Tensor:
    """Images [n, c, h, w] under a map that takes pixels to pixels: mirroring, quarter turns and
    whole steps. (Of a rectangle, pixels turn to half a pixel beside one.)
    """
    height, width = images.shape[2:]
    down = torch.arange(height, device=images.device, dtype=images.dtype) - (height - 1) / 2
    right = torch.arange(width, device=images.device, dtype=images.dtype) - (width - 1) / 2
    y, x = where.places(down, right)
    rows = mirrored((y + height / 2).floor().long(), height)
    columns = mirrored((x + width / 2).floor().long(), width)
    return picked(images, rows, columns)


class Warp(nn.Module):
    """Images under a map, bilinear at twice the resolution (Karras et al. 2020, appendix B),
    mirrored without end at their borders.

    size: of the images, height and width
    """

    finer_height: Tensor
    finer_width: Tensor
    coarser_height: Tensor
    coarser_width: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        for name, side in zip(("height", "width"), size, strict=True):
            self.register_buffer(f"finer_{name}", finer(side).float(), persistent=False)
            self.register_buffer(f"coarser_{name}", coarser(side).float(), persistent=False)

    def forward(self, images: Tensor, where: Map) -> Tensor:
        """Changed images [n, c, h, w]."""
        height, width = images.shape[2:]
        fine = filtered(images, self.finer_height, self.finer_width)
        y, x = where.places(_between(images, height), _between(images, width))
        found = interpolated(fine, 2 * y + height - 0.5, 2 * x + width - 0.5)
        return filtered(found, self.coarser_height, self.coarser_width)


def _between(images: Tensor, side: int) -> Tensor:
    """The places along a side, in pixels from its middle, that `coarser` makes pixels of."""
    places = torch.arange(1 - REACH, 2 * side + REACH - 1, device=images.device)
    return (places.to(images.dtype) + 0.5 - side) / 2


def interpolated(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images [n, c, h, w] that repeat themselves, between four pixels: at rows and columns
    [n, i, j], from which no gradient goes back.

    PyTorch's grid_sample has no second derivative; indexing has.
    """
    above, left = rows.floor(), columns.floor()
    down, right = (rows - above)[:, None], (columns - left)[:, None]
    height, width = images.shape[2:]
    top, west = above.long() % height, left.long() % width
    bottom = torch.where(top + 1 < height, top + 1, 0)
    east = torch.where(west + 1 < width, west + 1, 0)
    upper = picked(images, top, west).lerp(picked(images, top, east), right)
    lower = picked(images, bottom, west).lerp(picked(images, bottom, east), right)
    return upper.lerp(lower, down)
