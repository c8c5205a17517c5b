"""An optimizer's state as tensors and plain values, and put back where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..distributed.sharding import part_like
from ..errors import BadFile, one_line

# How an optimizer computes is a matter of the machine, not of the run.
FORM = ("fused", "foreach", "capturable")


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's state as one flat group of tensors and numbers."""
    state = optimizer.state_dict()
    flat = {
        f"state.{i}.{key}": value
        for i, entry in state["state"].items()
        for key, value in entry.items()
        if value is not None
    }
    settings = [
        {k: v for k, v in group.items() if k != "params"} for group in state["param_groups"]
    ]
    plain = [
        {k: float(v) if isinstance(v, Tensor) else v for k, v in group.items()}
        for group in settings
    ]
    return {**flat, "groups": json.loads(json.dumps(plain))}


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Any]) -> None:
    """Put back what `optimizer_state` took; tuples and
    learning-rate tensors keep the optimizer's own form.

    Raises BadFile when it is the state of another optimizer.
    """
    try:
        _restore(optimizer, flat)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise BadFile(
            f"the saved state does not fit {type(optimizer).__name__}: {one_line(error)}"
        ) from None


def _restore(optimizer: torch.optim.Optimizer, flat: Mapping[str, Any]) -> None:
    own = optimizer.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for name, value in flat.items():
        if name.startswith("state."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    groups = []
    for mine, saved in zip(own["param_groups"], flat["groups"], strict=True):
        merged = dict(mine)
        for key, value in saved.items():
            if key not in FORM:
                merged[key] = tuple(value) if isinstance(mine.get(key), tuple) else value
        groups.append(merged)
    rates = [group["lr"] for group in optimizer.param_groups]
    before = {parameter: dict(entry) for parameter, entry in optimizer.state.items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(rate, Tensor):
            group["lr"] = rate.fill_(float(group["lr"]))
    for parameter, entry in optimizer.state.items():
        for key, value in entry.items():
            if isinstance(value, Tensor):
                entry[key] = _placed(value, before.get(parameter, {}).get(key), parameter)


def _placed(value: Tensor, held: Any, parameter: Tensor) -> Tensor:
    """A loaded state tensor as the optimizer needs it: in the tensor that
    was there, which a recorded update goes on using, or laid out in memory
    as its parameter, without which one kernel for all parameters is refused.
    """
    value = part_like(value, parameter)
    if isinstance(held, Tensor) and held.shape == value.shape:
        return held.copy_(value)
    return (
        torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        if value.shape == parameter.shape
        else value
    )
