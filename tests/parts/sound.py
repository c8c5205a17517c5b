"""Parts of every kind that keep their contract, each as short as it can be."""

import torch
from torch import nn

from ganzoo.contracts import (
    Augmentation,
    Dataset,
    Discriminator,
    Generator,
    GradientPenalty,
    Loss,
    Metric,
    Regularizer,
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


class Gained(Good):
    """Scales what it draws by a gain of each class, which begins at zero (as conditional norms do).

    latent_dim: numbers in one latent vector
    """

    conditional = True

    def __init__(self, spec: Spec, *, latent_dim: int = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.gain = nn.Embedding(max(spec.classes, 1), 1)
        nn.init.zeros_(self.gain.weight)

    def forward(self, latents, labels=None):
        gain = 0 if labels is None else self.gain(labels)
        return (self.draw(latents) * (1 + gain)).tanh().view(-1, *self.spec.shape)


class Late(Good):
    """Draws the same at first: its last layer begins at zero, and it keeps what it worked out.

    latent_dim: numbers in one latent vector
    """

    def __init__(self, spec: Spec, *, latent_dim: int = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        nn.init.zeros_(self.draw.weight)
        self._numel = None

    def forward(self, latents, labels=None):
        self._numel = self._numel or self.spec.numel
        return super().forward(latents)


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


class Flat(GradientPenalty):
    """Keeps the slope small."""

    at = "real"

    def of(self, slope):
        return slope.square().flatten(1).sum(1).mean()


class OneSided(GradientPenalty):
    """Only slopes steeper than one are bad (WGAN-LP),
    so that small weights are not changed at all.
    """

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


class _Kept(torch.optim.SGD):
    """Remembers how much it has to step, which does not depend on its history."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.sizes = None

    def step(self, closure=None):
        self.sizes = self.sizes or [p.numel() for p in self.param_groups[0]["params"]]
        super().step()


def kept_sgd(params, *, lr: float = 0.05):
    """Gradient descent that keeps what it worked out.

    lr: learning rate
    """
    return _Kept(list(params), lr)


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
    ("generator", Gained),
    ("generator", Late),
    ("discriminator", Judge),
    ("loss", Plain),
    ("regularizer", Drift),
    ("regularizer", Flat),
    ("regularizer", OneSided),
    ("augmentation", Mirror),
    ("dataset", few),
    ("optimizer", plain_sgd),
    ("optimizer", kept_sgd),
    ("metric", Means),
    ("tracker", Silent),
]
