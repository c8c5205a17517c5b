"""The smallest adversarial game: a point that shall go to zero, before a line."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.contracts import Dataset, Discriminator, Generator, PositiveInt, Spec

SAMPLES = 10_000
WIDTH = 1e-4  # of both masses: metrics and checks tell samples apart
SEED = 0


class DiracGenerator(Generator):
    """One point: the generator of Dirac-GAN (Mescheder et al. 2018, definition 2.1).

    Its weights are the point, which begins at 1 along each axis; the first latent moves a sample by
    1e-4 of it, as the data scatter.

    latent_dim: numbers in one latent vector
    """

    modalities = ("points",)
    partner = "dirac"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 1) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.point = nn.Parameter(torch.ones(spec.numel))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.point + WIDTH * latents[:, :1]


class DiracDiscriminator(Discriminator):
    """A line through zero, D(x) = psi x: the discriminator of Dirac-GAN (Mescheder et al. 2018,
    definition 2.1).

    Its weights are the slope, which is drawn from a standard normal.
    """

    modalities = ("points",)

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.slope = nn.Parameter(torch.randn(spec.numel))

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return features @ self.slope


def dirac() -> Dataset:
    """All mass at 0, but for a deviation of 1e-4 that tells samples apart: 10,000 numbers.

    Samples are [10000, 1] float32, without labels.
    """
    stream = torch.Generator().manual_seed(SEED)
    samples = WIDTH * torch.randn(SAMPLES, 1, generator=stream)
    return Dataset(samples, notes=[f"{SAMPLES:,} fixed numbers of deviation {WIDTH:g} around 0"])
