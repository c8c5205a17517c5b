"""A penalty on a slope, computed in one of two ways that
give the same gradient; see docs/how-a-run-flows.md.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, jvp

Height = Callable[[Tensor], tuple[Tensor, Any]]  # x -> (values [n], anything else worth keeping)
Of = Callable[[Tensor], tuple[Tensor, Any]]  # slope -> (scalar, anything else worth reporting)
Pull = Callable[[Tensor], tuple[Tensor, ...]]  # torch.func.vjp's: a view's transposed Jacobian


def gradient_penalty(
    height: Height,
    x: Tensor,
    of: Of,
    observe: Callable[[Tensor], None],
    differentiation: str,
    pull: Pull | None = None,
) -> tuple[Tensor, Any, Tensor, Any]:
    """`of(slope)` with the slope of `height` at x, and what was computed on the way.

    Returns (penalty, report, values [n], aux): penalty, values and aux are
    differentiable in the parameters of `height`; report is what `of` gave beside
    the penalty. `observe` is shown the slope without gradient, before `of`.

    `differentiation` is "double_backward" (the gradient of the penalty goes through the gradient
    that is the slope) or "forward_over_reverse": since d phi(g) = d <u, g> with u = phi'(g) held
    constant, and <u, dD/dx> is the directional derivative of D along u, one forward-mode pass
    replaces the second derivative.

    `pull`: x is a view T of samples, and the slope is meant in them: J' dD/dx, with J that of T.
    The random numbers in T were drawn once, so that this is the slope of what gave `values`.
    """

    def pulled(slope: Tensor) -> Tensor:
        return slope if pull is None else pull(slope)[0]

    if differentiation == "double_backward":

        def total(x: Tensor) -> tuple[Tensor, tuple[Tensor, Any]]:
            values, aux = height(x)
            return values.sum(), (values, aux)

        slope, (values, aux) = grad(total, has_aux=True)(x)
        slope = pulled(slope)
        observe(slope.detach())
        penalty, report = of(slope)
        return penalty, report, values, aux

    x = x.contiguous()  # forward mode cannot write tangents beside an expanded view
    with torch.no_grad():
        seen = grad(lambda x: height(x)[0].sum())(x)
        slope = pulled(seen)
    observe(slope)
    direction, (value, report) = grad_and_value(of, has_aux=True)(slope)
    direction = direction.detach()
    if pull is not None:
        # J u, without another call of the view: the derivative of <J' v, u> in v
        direction = grad(lambda v: (pulled(v) * direction).sum())(seen).detach()
    values, tangent, aux = jvp(height, (x,), (direction,), has_aux=True)  # type: ignore[misc]
    surrogate = tangent.sum()  # its gradient is the penalty's, its value is not
    return surrogate + (value - surrogate).detach(), report, values, aux
