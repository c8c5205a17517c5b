"""Averages of weights whose length can be chosen after the training (Karras et al. 2024,
"Analyzing and Improving the Training Dynamics of Diffusion Models", section 3).

A power-function average weighs the weights of time s by s^gamma, up to now. Snapshots of two of
them, of different gamma, are enough to build others: their profiles are combined such that the
result comes nearest to the profile that is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .average import Average

LENGTHS = {"short": 0.05, "long": 0.10}  # of the two that are kept, as in the paper
LEAST, MOST = 0.01, 0.25  # lengths that can be asked for; that of a plain mean is 0.289


def exponent(length: float) -> float:
    """gamma of an average whose profile has a standard deviation of `length`, as a share of the
    training (section 3.1): length² = (gamma + 1) / ((gamma + 2)² (gamma + 3)).

    Raises ValueError for a length that no such average has.
    """
    if not 0 < length < 12**-0.5:
        raise ValueError(f"no average has a length of {length:g}: it is below 0.2887, and above 0")
    low, high = 0.0, 1.0 / length**2
    for _ in range(100):  # the length falls with gamma
        middle = (low + high) / 2
        wide = (middle + 1) / ((middle + 2) ** 2 * (middle + 3)) > length**2
        low, high = (middle, high) if wide else (low, middle)
    return (low + high) / 2


class PowerAverage(Average):
    """A running average that weighs the weights of time s by s^gamma.

    length: standard deviation of that profile, as a share of the images so far
    """

    def __init__(self, net: nn.Module, length: float) -> None:
        super().__init__(net, 0.0)
        self.length, self.gamma = length, exponent(length)

    def keep(self, batch: int, images: int) -> float:
        """The share of the old average that one update keeps, (1 - 1/t)^(gamma + 1) (section
        3.1).
        """
        return float(max(1 - batch / max(images, 1), 0.0) ** (self.gamma + 1))


class Moment(NamedTuple):
    """A power-function average at some time."""

    images: float
    gamma: float


def product(one: Moment, other: Moment) -> float:
    """The integral over time of the product of two profiles, (gamma + 1) s^gamma / t^(gamma + 1)
    each, for s up to t.
    """
    first, last = sorted((one, other), key=lambda each: each.images)
    share = float((first.images / last.images) ** last.gamma)
    factor = (first.gamma + 1) * (last.gamma + 1) / (first.gamma + last.gamma + 1)
    return factor * share / last.images


def mean(moment: Moment) -> float:
    """The mean time of a profile."""
    return moment.images * (moment.gamma + 1) / (moment.gamma + 2)


def combination(moments: Sequence[Moment], wanted: Moment) -> tuple[Tensor, float]:
    """What to multiply each snapshot by such that their sum comes nearest to the one that is
    wanted, in float64; and how far it is from it, as a share: the norm of what is left of the
    profile over that of the whole.

    Beyond the paper's least squares, the factors add up to 1 and the mean time is the one wanted,
    so that weights that stand still, or move in a line, come out exactly.
    """
    scale = wanted.images
    near = [Moment(each.images / scale, each.gamma) for each in moments]
    target = Moment(1.0, wanted.gamma)
    count = len(near)
    gram = torch.tensor([[product(a, b) for b in near] for a in near], dtype=torch.float64)
    along = torch.tensor([product(each, target) for each in near], dtype=torch.float64)
    held = torch.tensor([[1.0] * count, [mean(each) for each in near]], dtype=torch.float64)
    empty = torch.zeros(2, 2, dtype=torch.float64)
    system = torch.cat([torch.cat([gram, held.T], 1), torch.cat([held, empty], 1)])
    right = torch.cat([along, torch.tensor([1.0, mean(target)], dtype=torch.float64)])
    factors = torch.linalg.lstsq(system, right[:, None], driver="gelsd").solution[:count, 0]
    whole = product(target, target)
    left = whole - 2 * factors @ along + factors @ gram @ factors
    return factors, float((left.clamp(min=0) / whole).sqrt())
