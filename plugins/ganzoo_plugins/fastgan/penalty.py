"""The self-supervision of FastGAN's discriminator."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ganzoo.contracts import NonNegativeFloat, PositiveInt, Regularizer, Step
from ganzoo.nn import full


class Reconstruction(Regularizer):
    """The discriminator draws real samples again from its features: the mean of |drawn - seen| (Liu
    et al. 2021, eq. 4).

    Its module `decoders` draws pictures [n, ...] from features; the module's `wanted(samples)`
    says what they should be. Generated samples have no part in it. The paper compares by LPIPS, a
    net with weights of its own, which are not shipped; here pixels are compared.

    distance: l1, the mean of absolute differences; l2, of their squares
    """

    needs = {"discriminator": "decoders"}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1.0,
        every: PositiveInt = 1,
        distance: Literal["l1", "l2"] = "l1",
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.distance = distance

    def penalty(self, step: Step) -> Tensor:
        """The difference of pictures drawn and seen, averaged over all their numbers."""
        decoders = step.discriminator.decoders
        away = full(decoders(step.real_features)) - decoders.wanted(step.real)
        found: Tensor = away.abs() if self.distance == "l1" else away.square()
        return found.mean()
