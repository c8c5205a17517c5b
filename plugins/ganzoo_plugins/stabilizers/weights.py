"""Constraints and penalties on the weights of a net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganzoo.contracts import NonNegativeFloat, PositiveFloat, PositiveInt, Regularizer, Sides, Step
from ganzoo.nn import full

from .spectral import TRANSPOSED


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
        side: Sides = "discriminator",
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.side = side

    def penalty(self, step: Step) -> Tensor | None:
        """Over the net that this update changes; none if it has no such parameter."""
        trained = [p for p in step.net.parameters() if p.dim() >= 2 and p.requires_grad]
        return torch.stack([self.size(p) for p in trained]).sum() if trained else None

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
        side: Sides = "discriminator",
    ) -> None:
        super().__init__(weight=weight, every=every, side=side)

    def size(self, parameter: Tensor) -> Tensor:
        """One parameter's share, a scalar."""
        return parameter.square().sum() / 2


class Orthogonality(Regularizer):
    """Rows of a weight, one for each output, are orthogonal to each other: |W W' * (1 - I)|²
    (Brock et al. 2019, eq. 3).

    The sum of squared inner products of different rows, over layers with a trained weight of two or
    more dimensions; lengths are free. Embeddings are left alone, as in BigGAN. With `sn` it is the
    weight before it is divided.

    side: the net it acts on
    """

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1e-4,
        every: PositiveInt = 1,
        side: Sides = "generator",
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.side = side

    def penalty(self, step: Step) -> Tensor | None:
        """Over the net that this update changes; none if it has no such layer."""
        found = [overlap(rows) for rows in matrices(step.net)]
        return torch.stack(found).sum() if found else None


def matrices(net: nn.Module) -> list[Tensor]:
    """The trained weights of a net's layers but embeddings, each as [outputs, everything else]."""
    found = []
    for module in net.modules():
        weight = module._parameters.get("weight")
        if parametrize.is_parametrized(module, "weight"):
            weight = module.get_parameter("parametrizations.weight.original")
        if isinstance(module, nn.Embedding) or weight is None:
            continue
        if weight.dim() >= 2 and weight.requires_grad:
            rows = weight.transpose(0, 1) if isinstance(module, TRANSPOSED) else weight
            found.append(rows.flatten(1))
    return found


def overlap(rows: Tensor) -> Tensor:
    """The sum of squared inner products of different rows [k, d]; each pair counts twice."""
    products = full(rows @ rows.T)
    return products.square().sum() - products.diagonal().square().sum()
