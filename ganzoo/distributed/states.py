"""A state as one message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safetensors.torch import load
from torch import Tensor

from ..io.checkpoints import State, split
from ..io.files import tensor_bytes
from .ranks import Ranks


def given_state(ranks: Ranks, state: State | None = None) -> State:
    """The first rank's state, on every rank."""
    if ranks.count == 1:
        assert state is not None
        return state
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for group, content in (state or {}).items():
        found, values[group] = split(content)
        tensors |= {f"{group}\n{name}": tensor for name, tensor in found.items()}
    values = ranks.tell(values)
    return _joined(load(ranks.give(tensor_bytes(tensors) if ranks.first else b"")), values)


def _joined(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> State:
    state: State = {group: dict(content) for group, content in values.items()}
    for path, tensor in tensors.items():
        group, _, name = path.partition("\n")
        state[group][name] = tensor
    return state
