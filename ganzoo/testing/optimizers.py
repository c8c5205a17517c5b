"""The check of optimizers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..checkpoint import optimizer_state, restore_optimizer
from ..registry import Component
from .basics import attempt, build, check_described, require

STATE = "state must be tensors and numbers"


def check_optimizer(component: Component, **options: Any) -> None:
    """Takes `lr`; goes down a bowl; goes on bit for bit from saved state."""
    check_described(component, options)
    rate = component.options().get("lr")
    require(rate is not None, component, "takes no `lr`", "schedules and users set the learning rate: add the option")
    weights = [nn.Parameter(torch.full((3, 2), 2.0)), nn.Parameter(torch.ones(4))]
    one = attempt(
        component, "building it", lambda: build(component, weights, **options), "f(params, *, lr, ...) is called with a list"
    )
    require(isinstance(one, torch.optim.Optimizer), component, "is no torch.optim.Optimizer", "return one")
    start = _descend(one, weights, 3)
    copies = [nn.Parameter(w.detach().clone()) for w in weights]
    other = build(component, copies, **options)
    saved: Mapping[str, Any] = attempt(component, "saving its state", lambda: copy.deepcopy(optimizer_state(one)), STATE)
    attempt(component, "restoring its state", lambda: restore_optimizer(other, saved), STATE)
    end = _descend(one, weights, 20)
    _descend(other, copies, 20)
    require(end < start, component, "does not go down a bowl", "step against the gradient")
    same = all(torch.equal(a, b) for a, b in zip(weights, copies, strict=True))
    require(same, component, "goes on differently from saved state", "keep all state in `self.state` and the parameter groups")


def _descend(optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter], steps: int) -> float:
    """The height of the bowl after so many steps."""
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        height = torch.stack([w.square().sum() for w in weights]).sum()
        height.backward()
        optimizer.step()
    return float(height.detach())
