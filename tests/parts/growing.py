"""Nets whose stages fade in one after another (Karras et al. 2018), by a number that a schedule
moves.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, Generator, NonNegativeFloat, PositiveInt, Spec
from ganzoo.nn import EqualConv2d, EqualLinear, MinibatchDeviation, pixel_norm


def share(grown, stage):
    """How much of a stage counts: 0 before its turn, 1 after it."""
    return torch.as_tensor(grown - (stage - 1)).clamp(0, 1)


class GrowingGenerator(Generator):
    """Draws at full size from the start, and by finer stages as it grows.

    latent_dim: numbers in one latent vector
    width: channels
    grown: stages that have faded in after the first; {from = 0, to = 2} makes it grow
    """

    modalities = ("image",)
    partner = "growing"

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 8,
        width: PositiveInt = 8,
        grown: NonNegativeFloat = 2.0,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.grown, self.least = grown, [side // 4 for side in spec.shape[1:]]
        self.project = EqualLinear(latent_dim, width * self.least[0] * self.least[1])
        self.bodies = nn.ModuleList(EqualConv2d(width, width, 3) for _ in range(3))
        self.colours = nn.ModuleList(EqualConv2d(width, spec.shape[0], 1) for _ in range(3))

    def forward(self, latents, labels=None):
        maps, drawn = self.project(latents).view(len(latents), -1, *self.least), None
        for stage in range(3):
            maps = F.interpolate(maps, scale_factor=2) if stage else maps
            maps = pixel_norm(F.leaky_relu(self.bodies[stage](maps), 0.2))
            here = self.colours[stage](maps)
            if drawn is None:
                drawn = here
            else:
                drawn = torch.lerp(
                    F.interpolate(drawn, scale_factor=2), here, share(self.grown, stage)
                )
        return drawn.tanh()


class GrowingDiscriminator(Discriminator):
    """The generator's stages the other way round, and how much a batch varies.

    width: channels
    grown: as the generator's
    """

    modalities = ("image",)
    per_sample = False

    def __init__(
        self, spec: Spec, *, width: PositiveInt = 8, grown: NonNegativeFloat = 2.0
    ) -> None:
        super().__init__(spec)
        self.grown, least = grown, [side // 4 for side in spec.shape[1:]]
        self.colours = nn.ModuleList(EqualConv2d(spec.shape[0], width, 1) for _ in range(3))
        self.bodies = nn.ModuleList(EqualConv2d(width, width, 3) for _ in range(3))
        self.deviation = MinibatchDeviation(4)
        self.judge = EqualLinear((width + 1) * least[0] * least[1], 1)

    def features(self, samples):
        maps = self.colours[2](samples)
        for stage in (2, 1):
            maps = F.avg_pool2d(F.leaky_relu(self.bodies[stage](maps), 0.2), 2)
            samples = F.avg_pool2d(samples, 2)
            maps = torch.lerp(self.colours[stage - 1](samples), maps, share(self.grown, stage))
        return F.leaky_relu(self.bodies[0](maps), 0.2)

    def score(self, features, labels=None):
        return self.judge(self.deviation(features).flatten(1)).squeeze(1)


@hookimpl
def register_generators(register):
    register("growing", GrowingGenerator, paper="arXiv:1710.10196")


@hookimpl
def register_discriminators(register):
    register("growing", GrowingDiscriminator, paper="arXiv:1710.10196")
