"""What running parts may change, kept so that it can be put
back: for an update that is tried and then done otherwise.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

OWN = frozenset(vars(nn.Module())) - {"training"}  # what every module has and no update changes
CONTAINERS = (list, dict, set, deque)
Place = tuple[nn.Module, str]


class Snapshot:
    """Parameters, buffers, plain attributes and random state
    of parts, and an optimizer's state if one is given.

    The copies are on the host: the device may be full.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        device: torch.device,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.parts, self.device = parts, device
        self.state: Any = {} if optimizer is None else optimizer.state
        self.kind = type(optimizer).__name__
        self.random_state = _random_state(device)
        self.tensors, self.plain = self._tensors(), self._plain()
        self.containers = {name: copy.copy(v) for name, v in self._named(CONTAINERS).items()}
        self.generators = [(g, g.get_state()) for g in self._named((torch.Generator,)).values()]
        self.entries = {parameter: dict(entry) for parameter, entry in self.state.items()}
        held = [
            t for entry in self.entries.values() for t in entry.values() if isinstance(t, Tensor)
        ]
        self.copies = [
            (t, t.detach().to("cpu", copy=True)) for t in (*self.tensors.values(), *held)
        ]

    # What there is.

    def _places(self) -> Iterator[tuple[str, nn.Module]]:
        """Every module, with its name in messages: "gen" and "gen: layers.0"."""
        for section, part in self.parts.items():
            for name, module in part.named_modules():
                yield f"{section}: {name}." if name else f"{section}: ", module

    def _tensors(self) -> dict[str, Tensor]:
        """Every parameter and buffer, and every tensor that a module keeps beside them."""
        found = dict(self._named((Tensor,)))
        for place, module in self._places():
            for held in (module._parameters, module._buffers):
                found |= {f"{place}{key}": t for key, t in held.items() if t is not None}
        return found

    def _named(self, kinds: tuple[type, ...]) -> dict[str, Any]:
        """What modules keep as plain attributes of these types."""
        return {
            f"{place}{key}": value
            for place, module in self._places()
            for key, value in vars(module).items()
            if key not in OWN and isinstance(value, kinds)
        }

    def _plain(self) -> dict[str, tuple[Place, Any]]:
        """Every number, text and flag that a module keeps."""
        return {
            f"{place}{key}": ((module, key), value)
            for place, module in self._places()
            for key, value in vars(module).items()
            if key not in OWN and (value is None or isinstance(value, int | float | str))
        }

    # What became of it.

    @torch.no_grad()
    def put_back(self) -> None:
        """The numbers as they were; state that the optimizer
        made since stays where it is and starts at zero.
        """
        for tensor, before in self.copies:
            tensor.copy_(before)
        for parameter, entry in self.state.items():
            for key, value in entry.items():
                if isinstance(value, Tensor) and key not in self.entries.get(parameter, ()):
                    value.zero_()
        for generator, state in self.generators:
            generator.set_state(state)
        _set_random_state(self.random_state, self.device)

    def check(self) -> None:
        """Raises RuntimeError for what changed and cannot change
        in a replay, where the training would silently go wrong.
        """
        for entry in self.state.values():
            for key, value in entry.items():
                on_device = isinstance(value, Tensor) and value.device.type == self.device.type
                if not on_device and value is not None:
                    raise RuntimeError(f"{self.kind} keeps {key!r} on the host")
        for name, tensor in self._tensors().items():
            if tensor is not self.tensors.get(name):
                raise RuntimeError(f"{name} is replaced in an update, not written into")
        for name, (_, value) in self._plain().items():
            if name not in self.plain or not _same(value, self.plain[name][1]):
                raise RuntimeError(f"{name} changes in an update and is no buffer")
        for name, value in self._named(CONTAINERS).items():
            if name not in self.containers or not _alike(value, self.containers[name]):
                raise RuntimeError(f"{name} changes in an update and is no buffer")

    @torch.no_grad()
    def forget_new(self) -> None:
        """Everything else as it was, too: for an update that will be done otherwise."""
        self.state.clear()
        self.state.update(self.entries)
        for place, module in self._places():
            for key, value in list(vars(module).items()):
                self._restore(f"{place}{key}", module, key, value)
            for key, buffer in module._buffers.items():
                before = self.tensors.get(f"{place}{key}")
                if before is not None and buffer is not before:
                    module._buffers[key] = before

    def _restore(self, name: str, module: nn.Module, key: str, value: Any) -> None:
        """One plain attribute."""
        if key in OWN:
            return
        if name in self.plain:
            vars(module)[key] = self.plain[name][1]
        elif name in self.containers:
            vars(module)[key] = self.containers[name]
        elif name in self.tensors:
            vars(module)[key] = self.tensors[name]
        elif value is None or isinstance(value, (int, float, str, Tensor, *CONTAINERS)):
            del vars(module)[key]  # it came since


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # not a number is itself


def _alike(one: Any, other: Any) -> bool:
    """Whether two containers hold the same things."""
    if len(one) != len(other):
        return False
    if isinstance(one, dict):
        return all(key in other and one[key] is other[key] for key in one)
    return isinstance(one, set) or all(a is b for a, b in zip(one, other, strict=True))


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Of PyTorch's global generators, which parts draw from."""
    own = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)
    return torch.get_rng_state(), own


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.get_device_module(device).set_rng_state(state[1], device)
