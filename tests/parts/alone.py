"""Generators without an adversary: a code for each picture (GLO), the nearest of what was drawn
(IMLE).
"""

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Dataset, Game, Generator, PositiveInt, Spec, Turn


class Coded(Generator):
    """Draws the code of each picture, which is learnt, where it is told its number as a label.

    latent_dim: numbers in one latent vector
    width: units in the hidden layer
    """

    conditional = True
    partner = "mlp"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 16) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.codes = nn.Embedding(spec.classes, latent_dim)
        self.body = nn.Sequential(
            nn.Linear(latent_dim, width), nn.LeakyReLU(0.2), nn.Linear(width, spec.numel)
        )

    def forward(self, latents, labels=None):
        codes = nn.functional.normalize(self.codes(labels) + 0 * latents, dim=1)
        return self.body(codes).tanh().view(-1, *self.spec.shape)


class WithoutJudge(Game):
    """Only the generator moves; a judge stands by, whose word weighs nothing."""

    def turns(self, n_critic, n_gen):
        return [Turn("generator")]

    def steps(self, update):
        return [update.step(weight=0.0)]


class OfCodes(WithoutJudge):
    """What is drawn of a picture's code is the picture (Bojanowski et al. 2018)."""

    def terms(self, update, steps):
        if update.side == "discriminator":
            return {}
        return {"distance": (steps[0].drawn - update.samples).square().mean()}


class OfNearest(WithoutJudge):
    """Each real sample draws the nearest of the generated ones to it (Li and Malik 2018).

    pool: generated samples for each real one
    """

    def __init__(self, spec: Spec, *, pool: PositiveInt = 4) -> None:
        super().__init__(spec)
        self.pool = pool

    def terms(self, update, steps):
        if update.side == "discriminator":
            return {}
        latents = torch.randn(self.pool * len(update.latents), *update.latents.shape[1:])
        real = update.samples.flatten(1)
        with torch.no_grad():
            drawn = update.nets["gen"](latents).flatten(1)
            nearest = torch.cdist(real, drawn).argmin(1)
        again = update.nets["gen"](latents[nearest]).flatten(1)
        return {"distance": (again - real).square().mean()}


def numbered() -> Dataset:
    """Pictures of which each is a class of its own."""
    stream = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (16, 1, 8, 8), generator=stream, dtype=torch.uint8)
    return Dataset(pictures, torch.arange(16), [str(number) for number in range(16)])


@hookimpl
def register_generators(register):
    register("coded", Coded, paper="arXiv:1707.05776")


@hookimpl
def register_games(register):
    register("of-codes", OfCodes, paper="arXiv:1707.05776")
    register("of-nearest", OfNearest, paper="arXiv:1809.09087")


@hookimpl
def register_datasets(register):
    register("numbered", numbered)
