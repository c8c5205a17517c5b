"""Numbers of parts and optimizers that move during a training. That of a part is a buffer, filled
before an update, so that compiled and recorded updates follow it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Value = Callable[[int, int], Any]  # after so many images of a goal


class MovingBuffer:
    """An option that a module keeps as an attribute, as a buffer that no checkpoint holds."""

    def __init__(self, module: nn.Module, name: str, value: Value) -> None:
        self.module, self.name, self.value = module, name, value
        self._last: float | None = None

    def set(self, images: int, goal: int) -> None:
        """Fill it with the number of this moment."""
        number = self.value(images, goal)
        if number != self._last:
            self.module.get_buffer(self.name).fill_(number)
            self._last = number


class MovingSetting:
    """An entry of an optimizer's groups other than the rate."""

    def __init__(self, optimizer: torch.optim.Optimizer, name: str, value: Value) -> None:
        self.optimizer, self.name, self.value = optimizer, name, value

    def set(self, images: int, goal: int) -> None:
        """Write the value of this moment into every group."""
        found = self.value(images, goal)
        for group in self.optimizer.param_groups:
            group[self.name] = tuple(found) if isinstance(found, list) else found


Moving = MovingBuffer | MovingSetting


def as_buffer(part: nn.Module, number: Tensor, value: Value) -> list[MovingBuffer]:
    """Make a buffer of a number that a part keeps as attributes, which it was built with."""
    found = []
    for module in part.modules():
        for name in [name for name, kept in vars(module).items() if kept is number]:
            delattr(module, name)
            module.register_buffer(name, number.clone(), persistent=False)
            found.append(MovingBuffer(module, name, value))
    return found


def as_setting_of(optimizer: torch.optim.Optimizer, name: str, value: Value) -> list[MovingSetting]:
    """What moves an entry of an optimizer's groups, if they have it. The rate moves by a factor, as
    all that acts on it.
    """
    if any(name not in group for group in optimizer.param_groups):
        return []
    return [MovingSetting(optimizer, name, value)]
