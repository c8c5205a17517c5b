"""What a discriminator may know of the other samples of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .precision import full
from .shares import own, whole

EPS = 1e-8


class MinibatchDeviation(nn.Module):
    """Adds to maps [n, c, h, w] a channel with the deviation over groups of the batch, averaged
    over channels and space (Karras et al. 2018, section 3): [n, c + 1, h, w].

    group: samples that are compared; the largest divisor of the batch that is no larger is taken.
        Those of one group lie evenly spread in the batch.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        told = own(self.told(whole(x)))
        return torch.cat([x, told[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)

    def told(self, x: Tensor) -> Tensor:
        """What each sample is told of its group, [n]."""
        count = len(x)
        size = max(d for d in range(1, min(self.group, count) + 1) if count % d == 0)
        groups = full(x).unflatten(0, (size, count // size))
        variance = (groups - groups.mean(0)).square().mean(0)
        deviation = (variance + EPS).sqrt().mean((1, 2, 3)).to(x.dtype)  # [groups]
        told: Tensor = deviation.repeat(size)
        return told


class MinibatchDiscrimination(nn.Module):
    """Adds to features [n, f] how close each sample is to the others of its batch, as seen by
    `count` learnt projections (Salimans et al. 2016, section 3.2): [n, f + count].

    Projection b maps the features of a sample to `size` numbers M_b, and says of sample i the sum
    over all j, itself included, of exp(-|M_bi - M_bj|), by the L1 distance.

    features: numbers in the features of a sample
    count: projections
    size: numbers that each projects to
    """

    def __init__(self, features: int, count: int, size: int = 5) -> None:
        super().__init__()
        self.count = count
        self.project = nn.Linear(features, count * size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = full(self.project(x)).unflatten(1, (self.count, -1))
        distances = (seen[:, None] - whole(seen)[None]).abs().sum(3)  # [n, whole n, count]
        return torch.cat([x, (-distances).exp().sum(1).to(x.dtype)], 1)
