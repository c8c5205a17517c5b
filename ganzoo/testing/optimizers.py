"""The check of optimizers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..checkpoint import optimizer_state, restore_optimizer
from ..registry import Component
from .basics import check_described

STATE = "its state must be tensors and numbers"


def check_optimizer(component: Component, **options: Any) -> None:
    """Takes `lr`; goes down a bowl; goes on bit for bit from saved state."""
    case = check_described(component, **options)
    case.require("lr" in component.options(), "takes no `lr`", "schedules and people set the learning rate: add the option")
    weights = [nn.Parameter(torch.full((3, 2), 2.0)), nn.Parameter(torch.ones(4))]
    one = case.build_as(torch.optim.Optimizer, weights)
    start = _descend(one, weights, 3)
    copies = [nn.Parameter(w.detach().clone()) for w in weights]
    other = case.build(copies)
    saved = copy.deepcopy(case.attempt("saving its state", STATE, optimizer_state, one))
    case.attempt("restoring its state", STATE, restore_optimizer, other, saved)
    end = _descend(one, weights, 20)
    _descend(other, copies, 20)
    case.require(end < start, "does not go down a bowl", "step against the gradient")
    same = all(torch.equal(a, b) for a, b in zip(weights, copies, strict=True))
    case.require(same, "goes on differently from saved state", "keep all state in `self.state` and the parameter groups")


def _descend(optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter], steps: int) -> float:
    """The height of the bowl before the last of so many steps."""
    height = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        height = torch.stack([w.square().sum() for w in weights]).sum()
        height.backward()
        optimizer.step()
    return float(height.detach())
