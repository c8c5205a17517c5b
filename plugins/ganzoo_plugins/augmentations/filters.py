"""Filters along one side of images, as sums of shifted copies: exact in every precision, and with
derivatives of any order. What lies beyond a border is the image mirrored at its last pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# The orthonormal wavelet sym6 (Daubechies 1992): low-pass, its squares sum to 1.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
REACH = len(SYM6) // 2
# Half the autocorrelation of the wavelet sym2: with the rest, a delta, it splits octaves.
OCTAVE = {-3: -1 / 32, -1: 9 / 32, 0: 16 / 32, 1: 9 / 32, 3: -1 / 32}
BANDS = 4


def period(side: int) -> int:
    """After how many pixels an image that is mirrored without end repeats itself."""
    return max(2 * (side - 1), 1)


def mirrored(places: Tensor, side: int) -> Tensor:
    """The pixels of an image that lie at whole places within or beyond it."""
    within = places % period(side)
    return torch.minimum(within, period(side) - within) if side > 1 else within


def extended(images: Tensor, dim: int, before: int, length: int) -> Tensor:
    """Images continued along a dimension: `length` pixels, the first `before` before their own."""
    places = torch.arange(-before, length - before, device=images.device)
    return images.index_select(dim, mirrored(places, images.shape[dim]))


def weighted(parts: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The sum of tensors by their weights."""
    weight, first = parts[0]
    total = weight * first
    for weight, part in parts[1:]:
        total = torch.add(total, part, alpha=weight)
    return total


def finer(images: Tensor, dim: int) -> Tensor:
    """One period of the mirrored images at twice the resolution, by sym6; pixel i lies between 2i
    and 2i + 1.
    """
    length = period(images.shape[dim])
    wide = extended(images, dim, 3, length + REACH)
    even = [(SYM6[2 * tap + 1], wide.narrow(dim, 5 - tap, length)) for tap in range(REACH)]
    odd = [(SYM6[2 * tap], wide.narrow(dim, 6 - tap, length)) for tap in range(REACH)]
    both = torch.stack([weighted(even), weighted(odd)], dim + 1)
    return 2**0.5 * both.flatten(dim, dim + 1)


def coarser(images: Tensor, dim: int) -> Tensor:
    """Half the resolution, by the transpose of `finer` over 2: of 2 s + 10 places, from 5 before
    the first pixel to 5 behind the last, s pixels.
    """
    side = (images.shape[dim] - 2 * REACH + 2) // 2
    along: list[slice] = [slice(None)] * images.dim()
    parts = []
    for tap, weight in enumerate(SYM6):
        along[dim] = slice(tap, tap + 2 * side - 1, 2)
        parts.append((weight / 2**0.5, images[tuple(along)]))
    return weighted(parts)


def smoother(images: Tensor, dim: int, stride: int) -> Tensor:
    """Without the upper octave of what is left when its pixels are `stride` apart."""
    reach, side = 3 * stride, images.shape[dim]
    wide = extended(images, dim, reach, side + 2 * reach)
    return weighted(
        [(weight, wide.narrow(dim, reach + tap * stride, side)) for tap, weight in OCTAVE.items()]
    )


def equalised(images: Tensor, gains: Tensor) -> Tensor:
    """Images [n, c, h, w] whose octave bands, the lowest first, are multiplied along each side by
    gains [n, 4]; bit for bit the same at 1.
    """
    more = (gains - 1).view(len(gains), BANDS, 1, 1, 1)
    for dim in (3, 2):
        rest, change = images, torch.zeros_like(images)
        for octave in range(BANDS - 1):
            lower = smoother(rest, dim, 2**octave)
            change = change + more[:, BANDS - 1 - octave] * (rest - lower)
            rest = lower
        images = images + change + more[:, 0] * rest
    return images
