"""Filters along one side of images, as matrices: few operations, of which any derivative is one
again. What lies beyond a border is the image mirrored at its last pixel, without end.
"""

from __future__ import annotations

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


def finer(side: int) -> Tensor:
    """To one period of the mirrored pixels at twice the resolution, by sym6: pixel i lies between
    places 2i and 2i + 1. [2 period, side], float64.
    """
    found = torch.zeros(2 * period(side), side, dtype=torch.float64)
    for tap, weight in enumerate(SYM6):
        first = (tap + 1) % 2  # every second place has a pixel under this tap
        rows = torch.arange(first, len(found), 2)
        pixels = mirrored((rows + REACH - 1 - tap) // 2, side)
        found[rows, pixels] += 2**0.5 * weight
    return found


def coarser(side: int) -> Tensor:
    """To half the resolution, by the transpose of `finer` over 2: from 2 side + 10 places, those
    from 5 before the first pixel to 5 behind the last. [side, 2 side + 10], float64.
    """
    found = torch.zeros(side, 2 * (side + REACH - 1), dtype=torch.float64)
    pixels = torch.arange(side)
    for tap, weight in enumerate(SYM6):
        found[pixels, 2 * pixels + tap] = weight / 2**0.5
    return found


def octaves(side: int) -> Tensor:
    """To octave bands, the lowest first, which sum to the pixels. [4, side, side], float64."""
    rest, bands = torch.eye(side, dtype=torch.float64), []
    pixels = torch.arange(side)
    for octave in range(BANDS - 1):
        smoother = torch.zeros(side, side, dtype=torch.float64)
        for tap, weight in OCTAVE.items():
            smoother[pixels, mirrored(pixels + tap * 2**octave, side)] += weight
        bands.append(rest - smoother @ rest)
        rest = smoother @ rest
    return torch.stack([rest, *reversed(bands)])


def filtered(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Images [..., h, w] after a matrix for their columns, [..., i, h], and one for their rows,
    [..., j, w].
    """
    return down @ (images @ across.mT)
