"""Critics whose outputs are a vector, and what holds a critic in other ways: MMD GAN, Cramér GAN,
Sobolev GAN, Fisher GAN.
"""

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import (
    Discriminator,
    GradientPenalty,
    Loss,
    PositiveFloat,
    PositiveInt,
    Regularizer,
    Spec,
)

WIDTHS = (0.5, 1.0, 2.0, 4.0)  # of the kernels


class Embedding(Discriminator):
    """A vector h(x) for each sample in the place of a logit.

    width: units in the hidden layer
    numbers: in the vector
    """

    def __init__(self, spec: Spec, *, width: PositiveInt = 16, numbers: PositiveInt = 4) -> None:
        super().__init__(spec)
        self.hidden, self.out = nn.Linear(spec.numel, width), nn.Linear(width, numbers)

    def features(self, samples):
        return nn.functional.leaky_relu(self.hidden(samples.flatten(1)), 0.2)

    def score(self, features, labels=None):
        return self.out(features)


def distances(one, other):
    """Between vectors [n, k] and [m, k]: [n, m], with a gradient at 0."""
    return ((one[:, None] - other[None]).square().sum(2) + 1e-8).sqrt()


def kernel(one, other):
    """The mean over pairs of a sum of Gaussian kernels."""
    squares = distances(one, other).square()
    return sum((-squares / (2 * width * width)).exp().mean() for width in WIDTHS)


class MMD(Loss):
    """The squared maximum mean discrepancy of the critic's vectors (Li et al. 2017, eq. 3)."""

    def _apart(self, step):
        real, fake = step.real_logits, step.fake_logits
        return kernel(real, real) + kernel(fake, fake) - 2 * kernel(real, fake)

    def discriminator(self, step):
        return -self._apart(step)

    def generator(self, step):
        return self._apart(step)


class Cramer(Loss):
    """The energy distance of the critic's vectors (Bellemare et al. 2017, algorithm 1), of halves
    of the generated samples.
    """

    def _apart(self, step):
        one, other = step.fake_logits.chunk(2)
        real = step.real_logits
        between = distances(real, one).mean() + distances(real, other).mean()
        return between - distances(one, other).mean() - distances(real, real).mean()

    def discriminator(self, step):
        return -self._apart(step)

    def generator(self, step):
        return self._apart(step)


class CramerSlope(GradientPenalty):
    """(|df/dx| - 1)² between samples for f(x) = |h(x) - h(x')| - |h(x)|, x' generated."""

    def height(self, step, point):
        vectors = step.judge(point)[0]
        others = step.judge(step.drawn)[0].flip(0).detach()
        lengths = (vectors.square().sum(1) + 1e-8).sqrt()
        return ((vectors - others).square().sum(1) + 1e-8).sqrt() - lengths, ()

    def of(self, slope):
        return ((slope.square().flatten(1).sum(1) + 1e-12).sqrt() - 1).square().mean()


class Held(nn.Module):
    """A multiplier that rises while its constraint is exceeded, and falls otherwise."""

    def __init__(self):
        super().__init__()
        self.register_buffer("multiplier", torch.zeros(()))
        self.register_buffer("excess", torch.zeros(()))

    def move(self, rate):
        self.multiplier.add_(rate * self.excess)


class Sobolev(GradientPenalty):
    """The slope's mean square is 1, by an augmented Lagrangian (Mroueh et al. 2018, eq. 11); over
    real and generated samples, which the paper mixes half and half.

    rate: of the multiplier
    """

    at = "between"

    def __init__(self, *, rate: PositiveFloat = 0.01) -> None:
        super().__init__(weight=1.0)
        self.rate, self.held = rate, Held()

    def point(self, step):
        real, fake = step.data, step.drawn
        return torch.where((torch.arange(len(real)) % 2 == 0).view(-1, 1, 1, 1), real, fake)

    def observe(self, slope):
        self.held.excess.copy_(slope.square().flatten(1).sum(1).mean() - 1)

    def of(self, slope):
        excess = slope.square().flatten(1).sum(1).mean() - 1
        return self.held.multiplier * excess + excess.square() / 2

    def after_update(self, net):
        self.held.move(self.rate)


class Fisher(Regularizer):
    """The second moment of the critic is 1, by an augmented Lagrangian (Mroueh and Sercu 2017).

    rate: of the multiplier
    """

    def __init__(self, *, rate: PositiveFloat = 0.01) -> None:
        super().__init__()
        self.rate, self.held = rate, Held()

    def penalty(self, step):
        moment = (step.real_logits.square().mean() + step.fake_logits.square().mean()) / 2
        excess = moment - 1
        self.held.excess.copy_(excess.detach())  # nothing in the update reads it
        return self.held.multiplier * excess + excess.square() / 2

    def after_update(self, net):
        self.held.move(self.rate)


@hookimpl
def register_discriminators(register):
    register("embedding", Embedding, paper="arXiv:1705.08584")


@hookimpl
def register_losses(register):
    register("mmd", MMD, paper="arXiv:1705.08584")
    register("cramer", Cramer, paper="arXiv:1705.10743")


@hookimpl
def register_regularizers(register):
    register("cramer-slope", CramerSlope, paper="arXiv:1705.10743")
    register("sobolev", Sobolev, paper="arXiv:1711.04894")
    register("fisher", Fisher, paper="arXiv:1705.09675")
