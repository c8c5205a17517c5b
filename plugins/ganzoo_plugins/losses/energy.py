"""Losses of energies: the discriminator is an autoencoder, and E, minus its logit, is how badly it
reconstructs a sample.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import relu

from ganzoo.contracts import Loss, PositiveFloat, Step
from ganzoo.nn import whole_mean

Ratio = Annotated[float, Field(gt=0, le=1)]


class EnergyBased(Loss):
    """Low energy for real samples, at least a margin for generated ones (Zhao et al. 2017, eq. 1
    and 2).

    margin: energy from which a generated sample is bad enough, in units of the autoencoder's error
    """

    needs = {"discriminator": "reconstruct"}  # noqa: RUF012  (typed in the contract)

    def __init__(self, *, margin: PositiveFloat = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def discriminator(self, step: Step) -> Tensor:
        """E(real) + max(0, margin - E(fake)), averaged."""
        return -step.real_logits.mean() + relu(self.margin + step.fake_logits).mean()

    def generator(self, step: Step) -> Tensor:
        """E(fake), averaged."""
        return -step.fake_logits.mean()


class BoundaryEquilibrium(Loss):
    """Holds the energy of generated samples at a share of that of real ones (Berthelot et al. 2017,
    section 3.4).

    A control variable k, which starts at 0 and stays within 0..1, weighs the generated samples in
    the discriminator's loss. It moves in the generator's update, by rate (share E(real) - E(fake)),
    with E(real) of the discriminator's last update.

    share: the paper's gamma, E(fake) / E(real) to aim at; lower is less variety, sharper samples
    rate: the paper's lambda_k, by how much k follows in one update
    """

    needs = {"discriminator": "reconstruct"}  # noqa: RUF012  (typed in the contract)
    k: Tensor
    real: Tensor

    def __init__(self, *, share: Ratio = 0.5, rate: PositiveFloat = 0.001) -> None:
        super().__init__()
        self.share, self.rate = share, rate
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("real", torch.zeros(()))

    def discriminator(self, step: Step) -> Tensor:
        """E(real) - k E(fake), averaged."""
        real, fake = -step.real_logits.mean(), -step.fake_logits.mean()
        self.real.copy_(whole_mean(real.detach()))
        return real - self.k * fake

    def generator(self, step: Step) -> Tensor:
        """E(fake), averaged."""
        fake = -step.fake_logits.mean()
        self.k.add_(self.rate * (self.share * self.real - whole_mean(fake.detach()))).clamp_(0, 1)
        return fake
