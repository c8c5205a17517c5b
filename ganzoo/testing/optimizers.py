"""Checks of optimizers."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..engine.optimizer_state import optimizer_state, restore_optimizer
from .case import Case
from .state import lost

KEEP = "keep all state in `self.state` and the parameter groups"
STATE = "its state must be tensors and numbers"


def _weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.full((3, 2), 2.0)), nn.Parameter(torch.ones(4))]


def makes(case: Case) -> str:
    """It takes parameters and `lr`, and returns an optimizer of torch's."""
    case.require(
        "lr" in case.component.options(),
        "takes no `lr`",
        "schedules and people set the learning rate: add the option",
    )
    fix = (
        "its constructor must run with its options; it is given the parameters, and keyword options"
    )
    built = case.attempt("building it", fix, case.build, _weights())
    contract = torch.optim.Optimizer
    case.require(isinstance(built, contract), "is no Optimizer", "return a torch.optim.Optimizer")
    return f"{type(built).__name__}, learning rate {float(built.param_groups[0]['lr']):g}"


def descends(case: Case) -> str:
    """It goes down a bowl."""
    weights = _weights()
    optimizer = case.build(weights)
    start, end = _descend(optimizer, weights, 3), _descend(optimizer, weights, 20)
    case.require(end < start, "does not go down a bowl", "step against the gradient")
    return f"from {start:.3g} to {end:.3g} in 20 steps"


def resumes(case: Case) -> str:
    """It goes on bit for bit from saved state."""
    weights = _weights()
    one = case.build(weights)
    _descend(one, weights, 3)
    copies = [nn.Parameter(w.detach().clone()) for w in weights]
    other = case.build(copies)
    saved = copy.deepcopy(case.attempt("saving its state", STATE, optimizer_state, one))
    case.attempt("restoring its state", STATE, restore_optimizer, other, saved)
    _descend(one, weights, 20)
    _descend(other, copies, 20)
    same = all(torch.equal(a, b) for a, b in zip(weights, copies, strict=True))
    case.require(
        same,
        "goes on differently from saved state",
        KEEP,
    )
    names = ", ".join(map(repr, lost(one, other)))
    case.require(not names, f"its attribute {names} changes in use, and is not saved", KEEP)
    return "20 steps from saved state, bit for bit"


def steps_in_float64(case: Case) -> str:
    """Weights keep their type."""
    weights = [nn.Parameter(w.detach().double()) for w in _weights()]
    fix = "make state like the weights: torch.zeros_like(p)"
    case.attempt("stepping in float64", fix, _descend, case.build(weights), weights, 3)
    finite = all(w.dtype == torch.float64 and bool(w.isfinite().all()) for w in weights)
    case.require(finite, "leaves weights of another type, or not finite", fix)
    return "float64 stays float64"


def _descend(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], steps: int) -> float:
    """The height of the bowl before the last of so many steps."""
    height = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        height = torch.stack([w.square().sum() for w in weights]).sum()
        height.backward()
        optimizer.step()
    return float(height.detach())
