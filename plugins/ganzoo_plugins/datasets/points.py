"""Mixtures of Gaussians in the plane, as VEEGAN (Srivastava
et al. 2017) and PacGAN (Lin et al. 2018) train on them.

A sample is of high quality within 3 standard deviations of
its nearest centre; a mode is covered by one such sample.
"""

import math

import torch
from torch import Tensor

from ganzoo.contracts import Dataset

SAMPLES = 100_000
SEED = 0  # the samples are the same in every run
RING_STD = 0.01
RING_CENTRES = tuple((math.cos(math.tau * k / 8), math.sin(math.tau * k / 8)) for k in range(8))
GRID_STD = 0.05
GRID_CENTRES = tuple((float(x), float(y)) for x in range(-4, 5, 2) for y in range(-4, 5, 2))


def ring() -> Dataset:
    """Eight Gaussians on a circle of radius 1, standard deviation 0.01: 100,000 fixed points.

    Samples are [100000, 2] float32; the label of a point
    is its Gaussian, counted against the clock from (1, 0).
    """
    return _mixture(torch.tensor(RING_CENTRES), RING_STD)


def grid() -> Dataset:
    """Twenty-five Gaussians on a grid of spacing 2, standard deviation 0.05: 100,000 fixed points.

    Samples are [100000, 2] float32 between about -4 and 4;
    the label of a point is its Gaussian, column by column.
    """
    return _mixture(torch.tensor(GRID_CENTRES), GRID_STD)


def _mixture(centres: Tensor, std: float) -> Dataset:
    """Points around centres [k, 2] drawn with equal chances."""
    stream = torch.Generator().manual_seed(SEED)
    labels = torch.randint(len(centres), (SAMPLES,), generator=stream)
    samples = centres[labels] + std * torch.randn(SAMPLES, 2, generator=stream)
    notes = [f"{SAMPLES:,} fixed points of {len(centres)} Gaussians, standard deviation {std}"]
    return Dataset(samples, labels, [str(k) for k in range(len(centres))], notes)
