"""What a part holds beside what is saved, and whether it is the same in two of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

DEEPEST = 6  # objects within objects that are compared
OWN = vars(nn.Module()).keys()  # what every module holds, and PyTorch sees to


def plain_state(module: nn.Module) -> dict[str, Any]:
    """What a module, and modules of a part's own within it, hold beside parameters and buffers."""
    kept: dict[str, Any] = {}
    for path, inner in module.named_modules():
        if path and type(inner).__module__.split(".")[0] == "torch":
            continue
        prefix = f"{path}." if path else ""
        kept |= {f"{prefix}{k}": v for k, v in vars(inner).items() if k not in OWN}
    return copy.deepcopy(kept)


def is_private(name: str) -> bool:
    """Whether an attribute's name says that nobody else is to look at it."""
    return name.rpartition(".")[2].startswith("_")


def lost(one: torch.optim.Optimizer, other: torch.optim.Optimizer) -> list[str]:
    """Attributes that differ in two optimizers which
    have the same history, one of it from saved state.
    """
    held = vars(torch.optim.SGD([nn.Parameter(torch.zeros(1))])).keys()
    mine, theirs = vars(one), vars(other)
    return [
        name
        for name in mine
        if name not in held and not (name in theirs and alike(mine[name], theirs[name]))
    ]


def alike(one: Any, other: Any, deep: int = DEEPEST) -> bool:
    """Whether two values are the same as far as can
    be told: numbers, tensors, and what holds them.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, torch.Generator):
        return torch.equal(one.get_state(), other.get_state())
    if isinstance(one, FunctionType | ModuleType | type) or deep == 0:
        return True
    if isinstance(one, Mapping):  # an optimizer's keys are its own parameters
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(alike(a, b, deep - 1) for a, b in pairs)
    if hasattr(one, "__dict__"):
        return alike(vars(one), vars(other), deep - 1)
    try:
        return bool(one == other)
    except Exception:  # it cannot be told
        return True
