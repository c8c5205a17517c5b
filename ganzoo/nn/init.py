"""Initialisations by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def normal(weight: Tensor) -> None:
    """N(0, 0.02²), as DCGAN (Radford et al. 2016)."""
    nn.init.normal_(weight, 0.0, 0.02)


INITIALISATIONS: dict[str, Callable[[Tensor], object]] = {
    "normal": normal,
    "xavier": nn.init.xavier_uniform_,
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0.2, nonlinearity="leaky_relu"),
    "orthogonal": nn.init.orthogonal_,
}


@torch.no_grad()
def initialise(net: nn.Module, name: str) -> None:
    """Draw every weight of two or more dimensions anew and set biases to zero.

    Scales of norms keep their ones, and what is frozen (requires_grad False) its values.
    """
    draw = INITIALISATIONS[name]
    for module in net.modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.dim() < 2:
            continue
        bias = getattr(module, "bias", None)
        if weight.requires_grad:
            draw(weight)
        if isinstance(bias, nn.Parameter) and bias.requires_grad:
            nn.init.zeros_(bias)
