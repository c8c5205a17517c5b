"""A game, an encoder and a condition of a third party."""

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Condition, Encoder, Game, NonNegativeFloat, PositiveInt, Spec


class Bounded(Game):
    """Two nets on noise, whose generator is to draw small values as well.

    weight: of the mean square
    """

    def __init__(self, spec: Spec, *, weight: NonNegativeFloat = 0.1) -> None:
        super().__init__(spec)
        self.weight = weight

    def terms(self, update, steps):
        if update.side == "discriminator":
            return {}
        return {"size": self.weight * steps[0].drawn.square().mean()}


class Line(Encoder):
    """One layer from a sample to its code.

    latent_dim: numbers in one code
    """

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 4) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.code = nn.Linear(spec.numel, 2 * latent_dim)

    def forward(self, samples):
        return self.code(samples.flatten(1)).view(len(samples), 2, self.latent_dim)


class Dark(Condition):
    """Gives the picture at half its contrast, more or less."""

    def forward(self, samples):
        return {"image": samples * (0.25 + 0.5 * torch.rand_like(samples[:, :1, :1, :1]))}


@hookimpl
def register_games(register):
    register("bounded", Bounded)


@hookimpl
def register_encoders(register):
    register("line", Line)


@hookimpl
def register_conditions(register):
    register("dark", Dark)
