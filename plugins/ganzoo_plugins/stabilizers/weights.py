"""Constraints and penalties on the weights of a net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.contracts import NonNegativeFloat, PositiveFloat, PositiveInt, Regularizer, Sides, Step


class WeightClipping(Regularizer):
    """Clips every parameter that is trained to [-bound, bound]
    after each update (Arjovsky et al. 2017, algorithm 1).

    bound: largest absolute value left
    side: the net it acts on
    """

    def __init__(self, *, bound: PositiveFloat = 0.01, side: Sides = "discriminator") -> None:
        super().__init__()
        self.bound, self.side = bound, side

    @torch.no_grad()
    def after_update(self, net: nn.Module) -> None:
        """Clip in place."""
        parameters: list[Tensor] = [p for p in net.parameters() if p.requires_grad]
        torch._foreach_clamp_min_(parameters, -self.bound)
        torch._foreach_clamp_max_(parameters, self.bound)


class L1(Regularizer):
    """The sum of absolute weights, over trained parameters of two or more dimensions.

    side: the net it acts on
    """

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1e-5,
        every: PositiveInt = 1,
        final: NonNegativeFloat | None = None,
        side: Sides = "discriminator",
    ) -> None:
        super().__init__(weight=weight, every=every, final=final)
        self.side = side

    def penalty(self, step: Step) -> Tensor:
        """Over the net that this update changes."""
        trained = [p for p in step.net.parameters() if p.dim() >= 2 and p.requires_grad]
        return torch.stack([self.size(p) for p in trained]).sum()

    def size(self, parameter: Tensor) -> Tensor:
        """One parameter's share, a scalar."""
        return parameter.abs().sum()


class L2(L1):
    """Half the sum of squared weights, over trained parameters
    of two or more dimensions: weight decay as part of the loss.

    side: the net it acts on
    """

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1e-4,
        every: PositiveInt = 1,
        final: NonNegativeFloat | None = None,
        side: Sides = "discriminator",
    ) -> None:
        super().__init__(weight=weight, every=every, final=final, side=side)

    def size(self, parameter: Tensor) -> Tensor:
        """One parameter's share, a scalar."""
        return parameter.square().sum() / 2
