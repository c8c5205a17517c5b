"""Parts of every kind that keep their contract, each as short as it can be."""

import torch
from torch import nn

from ganzoo.contracts import (
    Augmentation,
    Dataset,
    Discriminator,
    Generator,
    Loss,
    Metric,
    Regularizer,
    SlopePenalty,
    Spec,
    Tracker,
)


class Good(Generator):
    """Draws through one layer.

    latent_dim: numbers in one latent vector
    """

    def __init__(self, spec: Spec, *, latent_dim: int = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.draw = nn.Linear(latent_dim, spec.numel)

    def forward(self, latents, labels=None):
        return self.draw(latents).tanh().view(-1, *self.spec.shape)


class Judge(Discriminator):
    """Judges through two layers."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.inner, self.outer = nn.Linear(spec.numel, 8), nn.Linear(8, 1)

    def forward(self, samples, labels=None):
        return self.outer(self.inner(samples.flatten(1)).tanh()).squeeze(1)


class Plain(Loss):
    """The difference of logits."""

    def discriminator(self, step):
        return (step.fake_logits - step.real_logits).mean()

    def generator(self, step):
        return -step.fake_logits.mean()


class Drift(Regularizer):
    """Keeps logits near zero."""

    def penalty(self, step):
        return step.real_logits.square().mean()


class Flat(SlopePenalty):
    """Keeps the slope small."""

    at = "real"

    def of(self, slope):
        return slope.square().flatten(1).sum(1).mean()


class OneSided(SlopePenalty):
    """Only slopes steeper than one are bad (WGAN-LP), so that small weights are not changed at all."""

    at = "between"

    def of(self, slope):
        lengths = (slope.square().flatten(1).sum(1) + 1e-12).sqrt()
        return (lengths - 1).relu().square().mean()


class Mirror(Augmentation):
    """Mirrors all samples."""

    def forward(self, samples):
        return samples.flip(-1)


def few(*, count: int = 20) -> Dataset:
    """Points of a normal distribution.

    count: points
    """
    return Dataset(torch.randn(count, 2, generator=torch.Generator().manual_seed(0)))


def plain_sgd(params, *, lr: float = 0.05):
    """Gradient descent.

    lr: learning rate
    """
    return torch.optim.SGD(params, lr=lr)


class Means(Metric):
    """The difference of means.

    count: samples to draw for it
    """

    def measure(self, real, fake):
        return {"difference": float((real.mean() - fake.mean()).abs())}


class Silent(Tracker):
    """Hears all and says nothing."""


SOUND = [
    ("generator", Good),
    ("discriminator", Judge),
    ("loss", Plain),
    ("regularizer", Drift),
    ("regularizer", Flat),
    ("regularizer", OneSided),
    ("augmentation", Mirror),
    ("dataset", few),
    ("optimizer", plain_sgd),
    ("metric", Means),
    ("tracker", Silent),
]
