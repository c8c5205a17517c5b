"""The gradient of a function of a slope, against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..contracts.gradients import gradient_penalty
from ..engine.randomness import reseed
from .case import Case, gradients

# Of finite differences, in float64: so small that hardly a rectifier changes sides. Of millions
# of them one may, where a wide net is right: one of the two must agree.
STEPS = (1e-9, 1e-10)


def require_slope(
    case: Case, net: nn.Module, height: Callable[[Tensor], Tensor], x: Tensor, what: str
) -> None:
    """The gradient of the size of the slope of `height`
    at x in the net's parameters, along one direction.
    """

    def size() -> Tensor:
        return gradient_penalty(
            lambda x: (height(x), ()),
            x,
            lambda slope: (slope.square().flatten(1).sum(1).mean(), ()),
            lambda slope: None,
            "double_backward",
        )[0]

    fix = "use operations that can be differentiated twice, and change nothing in place"
    found = case.attempt(f"taking its slope {what}", fix, lambda: gradients(size(), net))
    parameters: list[Tensor] = [p for p in net.parameters() if p.requires_grad]
    reseed(8)
    direction = [torch.randn_like(p) for p in parameters]
    along = torch.dot(found, torch.cat([d.flatten() for d in direction]))
    close = False
    for step in STEPS:
        moved = []
        with torch.no_grad():
            for share in (step, -step):
                torch._foreach_add_(parameters, direction, alpha=share)
                moved.append(size())
                torch._foreach_add_(parameters, direction, alpha=-share)
        wanted = (moved[0] - moved[1]) / (2 * step)
        scale = torch.stack([wanted.abs(), found.norm(), moved[0]]).max()
        close = close or bool((along - wanted).abs() <= 1e-3 * scale)
    case.require(close, f"the gradient of its slope's size is wrong {what}", fix)
