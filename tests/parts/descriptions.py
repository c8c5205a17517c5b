"""Pictures from descriptions, which come as a vector a picture (Reed et al. 2016)."""

import torch
from torch import nn
from torch.nn.functional import softplus

from ganzoo import hookimpl
from ganzoo.contracts import Dataset, Discriminator, Generator, PositiveInt, Regularizer, Spec


class Told(Generator):
    """Draws from a latent and the vector of a description.

    latent_dim: numbers in one latent vector
    width: units in the hidden layer
    """

    modalities = ("image",)
    reads = ("vector",)
    partner = "described"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 16) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.body = nn.Sequential(
            nn.Linear(latent_dim + spec.given["vector"].numel, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, spec.numel),
        )

    def forward(self, latents, labels=None, *, vector):
        return self.body(torch.cat([latents, vector], 1)).tanh().view(-1, *self.spec.shape)


class Described(Discriminator):
    """Judges a picture beside a description.

    width: units in the hidden layer
    """

    modalities = ("image",)
    reads = ("vector",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 16) -> None:
        super().__init__(spec)
        self.hidden = nn.Linear(spec.numel + spec.given["vector"].numel, width)
        self.judge = nn.Linear(width, 1)

    def features(self, samples, *, vector):
        return nn.functional.leaky_relu(
            self.hidden(torch.cat([samples.flatten(1), vector], 1)), 0.2
        )

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class Matching(Regularizer):
    """A real picture with the description of another is not real (Reed et al. 2016, GAN-CLS)."""

    def penalty(self, step):
        net = step.discriminator
        others = {name: each.roll(1, 0) for name, each in step.given.items()}
        return softplus(net.score(net.features(step.real, **others))).mean()


class Between(Regularizer):
    """What is drawn of the mean of two descriptions looks real, too (GAN-INT)."""

    side = "generator"

    def penalty(self, step):
        mean = {name: (each + each.roll(1, 0)) / 2 for name, each in step.given.items()}
        net, drawn = step.discriminator, step.generator(step.latents, None, **mean)
        return softplus(-net.score(net.features(step.view(drawn), **mean))).mean()


def described() -> Dataset:
    """Noise of which each picture has a vector."""
    stream = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (40, 1, 8, 8), generator=stream, dtype=torch.uint8)
    return Dataset(pictures, given={"vector": torch.randn(40, 5, generator=stream)})


@hookimpl
def register_generators(register):
    register("told", Told, paper="arXiv:1605.05396")


@hookimpl
def register_discriminators(register):
    register("described", Described, paper="arXiv:1605.05396")


@hookimpl
def register_regularizers(register):
    register("matching", Matching, paper="arXiv:1605.05396")
    register("between", Between, paper="arXiv:1605.05396")


@hookimpl
def register_datasets(register):
    register("described", described)
