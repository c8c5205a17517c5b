"""The parts themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, softplus

from ganzoo.contracts import Generator, Loss, NonNegativeFloat, PositiveInt, Regularizer, Spec, Step
from ganzoo.errors import Incompatible

BASE = 4  # height and width of what is drawn first


class UpsampleGenerator(Generator):
    """Draws 4x4 features, enlarges them to the image's size
    and finishes with two convolutions (Odena et al. 2016).

    latent_dim: numbers in one latent vector
    width: channels of the features
    """

    modalities = ("image",)
    partner = "dcgan"

    def __init__(
        self, spec: Spec, *, latent_dim: PositiveInt = 64, width: PositiveInt = 32
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        if spec.modality != "image":
            raise Incompatible(
                f"--gen upsample: it draws images, not {spec.modality}; use --gen mlp"
            )
        self.project = nn.Linear(latent_dim, width * BASE * BASE)
        self.refine, self.colour = (
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, spec.shape[0], 3, padding=1),
        )

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        small = self.project(latents).unflatten(1, (-1, BASE, BASE)).relu()
        return self.colour(self.refine(interpolate(small, self.spec.shape[1:])).relu()).tanh()


class SoftHinge(Loss):
    """Hinge loss with softplus for its corner, so that every sample keeps a little weight."""

    def discriminator(self, step: Step) -> Tensor:
        """softplus(1 - D(real)) + softplus(1 + D(fake)), averaged."""
        return softplus(1 - step.real_logits).mean() + softplus(1 + step.fake_logits).mean()

    def generator(self, step: Step) -> Tensor:
        """-D(fake), averaged."""
        return -step.fake_logits.mean()


class Anchor(Regularizer):
    """Holds the logits of real samples near their running mean: (D(real) - mean)².

    keep: share of the mean that one update keeps
    """

    mean: Tensor

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 0.01,
        every: PositiveInt = 1,
        keep: NonNegativeFloat = 0.9,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.keep = keep
        self.register_buffer(
            "mean", torch.zeros(())
        )  # a buffer is saved with the run, and goes on from there

    def penalty(self, step: Step) -> Tensor:
        """The mean squared distance from the running mean, which then follows."""
        distance = (step.real_logits - self.mean.clone()).square().mean()
        self.mean.lerp_(step.real_logits.detach().mean(), 1 - self.keep)
        return distance
