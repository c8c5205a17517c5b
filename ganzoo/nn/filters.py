"""Changes of size through the filter [1, 3, 3, 1], which lets no frequency fold back that the
smaller maps cannot hold (Zhang 2019; Karras et al. 2020).

Outside the maps there is zero. Sums of shifted maps, not grouped convolutions: those have a second
derivative that loops over the channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (1 / 8, 3 / 8, 3 / 8, 1 / 8)
NEAR, FAR = 2 * TAPS[1], 2 * TAPS[0]  # of the two pixels that one of twice the size lies between


def filtered(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Maps [n, c, h, w] filtered, with so many zeros on each side: 2 * padding - 3 pixels larger.

    gain: what a constant is multiplied by.
    """
    x = F.pad(x, [padding] * 4)
    down = _along(x, 2, [gain * tap for tap in TAPS])
    return _along(down, 3, TAPS)


def filtered_downsample(x: Tensor) -> Tensor:
    """Maps [n, c, h, w], h and w even, filtered and at half the size."""
    x = F.pad(x, [1] * 4)
    return _along(_along(x, 2, TAPS, step=2), 3, TAPS, step=2)


def filtered_upsample(x: Tensor) -> Tensor:
    """Maps [n, c, h, w] at twice the size, filtered."""
    x = F.pad(x, [1] * 4)
    return _doubled(_doubled(x, 2), 3)


def _along(x: Tensor, dim: int, taps: Sequence[float], step: int = 1) -> Tensor:
    """A filter along one dim, where it lies whole within the maps, at every `step`th place."""
    count = (x.shape[dim] - len(taps)) // step + 1
    shifted = [x.narrow(dim, at, step * (count - 1) + 1) for at in range(len(taps))]
    if step > 1:
        shifted = [part[:, :, ::step] if dim == 2 else part[..., ::step] for part in shifted]
    total = shifted[0] * taps[0]
    for part, tap in zip(shifted[1:], taps[1:], strict=True):
        total = torch.add(total, part, alpha=tap)
    return total


def _doubled(x: Tensor, dim: int) -> Tensor:
    """Twice as many pixels along one dim, which has one of zeros on each side."""
    before = _along(x.narrow(dim, 0, x.shape[dim] - 1), dim, (FAR, NEAR))
    behind = _along(x.narrow(dim, 1, x.shape[dim] - 1), dim, (NEAR, FAR))
    return torch.stack([before, behind], dim + 1).flatten(dim, dim + 1)
