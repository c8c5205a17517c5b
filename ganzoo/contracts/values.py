"""What a part must give an update: a scalar tensor, and one that has a gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class WrongValue(TypeError):
    """A part gave an update what it cannot use; `section` names the part (`loss`, `reg.gp`)."""

    def __init__(self, section: str, message: str) -> None:
        super().__init__(message)
        self.section = section


def scalar(value: Any, section: str, what: str, reaches: bool = False) -> Tensor:
    """The value, which must be a scalar tensor, and with `reaches` one that has a gradient.

    Raises WrongValue. Nothing is read from the device, so that it can be called in every update.
    """
    if not isinstance(value, Tensor):
        found = "None" if value is None else f"a {type(value).__name__}"
        raise WrongValue(section, f"{what} is {found}; it must return a scalar tensor")
    if value.dim():
        shape = list(value.shape)
        raise WrongValue(section, f"{what} has the shape {shape}; end in .mean(): it is a scalar")
    if reaches and torch.is_grad_enabled() and not value.requires_grad:
        raise WrongValue(
            section, f"{what} has no gradient; compute it from the step's logits, none detached"
        )
    return value
