"""Path-length regularization on a generator's intermediate latents (Karras et al. 2020)."""

import math

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Generator, GradientPenalty, NonNegativeFloat, PositiveInt, Spec


class MappedGenerator(Generator):
    """Draws from intermediate latents w = mapping(z), which a penalty may look at.

    latent_dim: numbers in one latent vector
    width: units in the hidden layers
    """

    mapped = True  # has mapping(latents) -> w and synthesis(w) -> samples
    partner = "mlp"

    def __init__(
        self, spec: Spec, *, latent_dim: PositiveInt = 16, width: PositiveInt = 32
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.mapping = nn.Sequential(
            nn.Linear(latent_dim, width), nn.LeakyReLU(0.2), nn.LayerNorm(width)
        )
        self.draw = nn.Sequential(
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, spec.numel),
        )

    def synthesis(self, w):
        samples = self.draw(w)
        return (samples.tanh() if self.spec.modality == "image" else samples).view(
            -1, *self.spec.shape
        )

    def forward(self, latents, labels=None):
        return self.synthesis(self.mapping(latents))


class PathLength(GradientPenalty):
    """Steps of one size in w make changes of one size in
    the samples: (|J' y| - a)² (Karras et al. 2020, eq. 4).

    decay: share of the running mean a that one update keeps
    """

    side = "generator"
    needs = {"generator": "mapped"}  # noqa: RUF012

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 2.0,
        every: PositiveInt = 4,
        decay: NonNegativeFloat = 0.9,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))

    def point(self, step):
        return step.generator.mapping(step.latents)

    def height(self, step, point):
        samples = step.generator.synthesis(point)
        noise = torch.randn_like(samples) / math.sqrt(math.prod(samples.shape[2:]))
        return (samples * noise).flatten(1).sum(1), ()

    def observe(self, slope):
        self.mean.lerp_(slope.norm(dim=1).mean(), 1 - self.decay)

    def of(self, slope):
        return (slope.norm(dim=1) - self.mean).square().mean()


@hookimpl
def register_generators(register):
    register("mapped", MappedGenerator)


@hookimpl
def register_regularizers(register):
    register("path-length", PathLength, paper="arXiv:1912.04958")
