"""A penalty on a slope, computed in one of two ways that give the same gradient; see docs/how-a-run-flows.md."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, jvp

Height = Callable[[Tensor], tuple[Tensor, Any]]  # x -> (values [n], anything else worth keeping)
Of = Callable[[Tensor], tuple[Tensor, Any]]  # slope -> (scalar, anything else worth reporting)


def slope_penalty(
    height: Height, x: Tensor, of: Of, observe: Callable[[Tensor], None], way: str
) -> tuple[Tensor, Any, Tensor, Any]:
    """`of(slope)` with the slope of `height` at x, and what was computed on the way.

    Returns (penalty, report, values [n], aux): penalty, values and aux are differentiable in the parameters of `height`;
    report is what `of` gave beside the penalty. `observe` is shown the slope without gradient, before `of`.

    `way` is "double" (the gradient of the penalty goes through the gradient that is the slope) or "dual": since
    d phi(g) = d <u, g> with u = phi'(g) held constant, and <u, dD/dx> is the directional derivative of D along u, one
    forward-mode pass replaces the second derivative.
    """
    if way == "double":

        def total(x: Tensor) -> tuple[Tensor, tuple[Tensor, Any]]:
            values, aux = height(x)
            return values.sum(), (values, aux)

        slope, (values, aux) = grad(total, has_aux=True)(x)
        observe(slope.detach())
        penalty, report = of(slope)
        return penalty, report, values, aux

    x = x.contiguous()  # forward mode cannot write tangents beside an expanded view
    with torch.no_grad():
        slope = grad(lambda x: height(x)[0].sum())(x)
    observe(slope)
    direction, (value, report) = grad_and_value(of, has_aux=True)(slope)
    values, tangent, aux = jvp(  # type: ignore[misc]
        height, (x,), (direction.detach(),), has_aux=True
    )
    surrogate = tangent.sum()  # its gradient is the penalty's, its value is not
    return surrogate + (value - surrogate).detach(), report, values, aux
