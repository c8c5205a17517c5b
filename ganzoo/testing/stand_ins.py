"""Small sound parts that stand in for those that are not under check."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Discriminator, Encoder, Generator, GradientPenalty, Loss, Side, Spec
from ..contracts.step import Step
from ..nn import finished
from .case import BATCH, samples_of

LATENTS = 16  # numbers in a stand-in's latents: room for the codes of a part that reads some


class PlainGenerator(Generator):
    """Two layers, any sample; reads all that is given."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec, latent_dim=LATENTS)
        self.reads = tuple(spec.given)
        inputs = LATENTS + sum(each.numel for each in spec.given.values())
        self.inner, self.outer = nn.Linear(inputs, 16), nn.Linear(16, spec.numel)

    def forward(self, latents: Tensor, labels: Tensor | None = None, **given: Tensor) -> Tensor:
        read = torch.cat([latents, *[given[name].flatten(1) for name in self.reads]], 1)
        numbers: Tensor = self.outer(self.inner(read).tanh()).tanh()
        chosen = self.spec.modality in ("tokens", "table")
        return finished(numbers, self.spec) if chosen else numbers.view(-1, *self.spec.shape)


class PlainEncoder(Encoder):
    """Two layers, any sample."""

    def __init__(self, spec: Spec, *, latent_dim: int = LATENTS) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.inner, self.outer = nn.Linear(spec.numel, 16), nn.Linear(16, 2 * latent_dim)

    def forward(self, samples: Tensor) -> Tensor:
        codes: Tensor = self.outer(self.inner(samples.flatten(1)).tanh())
        return codes.view(len(samples), 2, self.latent_dim)


class PlainDiscriminator(Discriminator):
    """Two layers with a bend in the middle, any sample."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.inner, self.outer = nn.Linear(spec.numel, 16), nn.Linear(16, 1)

    def features(self, samples: Tensor) -> Tensor:
        return torch.as_tensor(self.inner(samples.flatten(1))).tanh()

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.outer(features)).squeeze(1)


class PlainLoss(Loss):
    """The difference of logits."""

    def discriminator(self, step: Step) -> Tensor:
        return (step.fake_logits - step.real_logits).mean()

    def generator(self, step: Step) -> Tensor:
        return -step.fake_logits.mean()


class PlainSlope(GradientPenalty):
    """The mean squared length of the slope between real and generated samples."""

    def of(self, slope: Tensor) -> Tensor:
        return slope.square().flatten(1).sum(1).mean()


class GivenLogits(Step):
    """A step whose logits are given."""

    def __init__(
        self, side: Side, real: Tensor, fake: Tensor, nets: tuple[Any, Any], spec: Spec
    ) -> None:
        labels = torch.zeros(len(real), dtype=torch.long, device=real.device)
        generator, discriminator = (net.to(real) for net in nets)
        latents = generator.draw_latents(len(real)).to(real)
        data = real.new_zeros(len(real), *spec.shape)
        super().__init__(side, generator, discriminator, data, latents, labels)
        self.logits = real, fake

    @property
    def real_logits(self) -> Tensor:
        return self.logits[0]

    @property
    def fake_logits(self) -> Tensor:
        return self.logits[1]


def step_of(side: Side, generator: Generator, discriminator: Discriminator, spec: Spec) -> Step:
    """One update's view of samples that are always the same."""
    data = samples_of(spec, seed=4).to(next(discriminator.parameters()))
    labels = torch.arange(BATCH) % max(spec.classes, 1)
    latents = generator.draw_latents(BATCH).to(data)
    return Step(side, generator, discriminator, data, latents, labels, progress=torch.tensor(0.2))
