"""WaveGAN: convolutions along time with long kernels, and phases that the judge cannot rely on
(Donahue et al. 2019).
"""

import torch
import torch.nn.functional as F
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, Generator, PositiveInt, Spec


class WaveGAN(Generator):
    """Transposed convolutions of 25 values with stride 4.

    latent_dim: numbers in one latent vector
    width: channels
    """

    modalities = ("signal",)
    partner = "wavegan"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.width = width
        self.project = nn.Linear(latent_dim, width * (spec.shape[1] // 16))
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose1d(width, width, 25, 4, 11, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose1d(width, spec.shape[0], 25, 4, 11, output_padding=1),
            nn.Tanh(),
        )

    def forward(self, latents, labels=None):
        return self.body(self.project(latents).unflatten(1, (self.width, -1)))


def shuffled(maps, most):
    """Maps [n, c, t], each moved in time by up to `most`, mirrored at the ends (section 3.3)."""
    length = maps.shape[2]
    moves = torch.randint(-most, most + 1, (len(maps), 1), device=maps.device)
    places = (torch.arange(length, device=maps.device) + moves).abs()
    places = torch.where(places < length, places, 2 * length - 2 - places)
    return maps.gather(2, places[:, None].expand_as(maps))


class WaveGANJudge(Discriminator):
    """Convolutions of 25 values with stride 4, phases shuffled between them.

    width: channels
    most: values by which maps are moved
    """

    modalities = ("signal",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 8, most: PositiveInt = 2) -> None:
        super().__init__(spec)
        self.most = most
        self.first = nn.Conv1d(spec.shape[0], width, 25, 4, 11)
        self.second = nn.Conv1d(width, width, 25, 4, 11)
        self.judge = nn.Linear(width * (spec.shape[1] // 16), 1)

    def features(self, samples):
        maps = shuffled(F.leaky_relu(self.first(samples), 0.2), self.most)
        return F.leaky_relu(self.second(maps), 0.2).flatten(1)

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


@hookimpl
def register_generators(register):
    register("wavegan", WaveGAN, paper="arXiv:1802.04208")


@hookimpl
def register_discriminators(register):
    register("wavegan", WaveGANJudge, paper="arXiv:1802.04208")
