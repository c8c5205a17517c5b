"""How many threads an update is worth: small ones spend more on sharing the work than they save."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..components.isolation import contained
from ..contracts import Spec
from .engine import SIDES
from .losses import Parts
from .simulation import device_of, fork, inputs, light_update, one_update

# To share a product costs some 50 us, so it must take twice as long. Images/s with two threads over
# one (two cores of an Intel Xeon, 2026-11-22), by the mean size of the products of an update: mlp
# 0.3 MFLOP 0.4, 1.2 to 5 MFLOP 0.4 to 1.1, 10 MFLOP 1.1 to 1.2, 20 MFLOP 1.4; dcgan 0.3 MFLOP 0.9,
# 0.5 to 1 MFLOP 1.0 to 1.1, 2 to 3 MFLOP 1.1 to 1.2, 14 MFLOP 1.4.
SMALL = 6e6  # floating-point operations of a product, below which one thread is quicker
SLOWER = 5  # how many times as long those of a convolution take


@contextlib.contextmanager
def fitting_threads(parts: Parts, spec: Spec, batch: int) -> Iterator[None]:
    """Small updates on a CPU compute on one thread within; OMP_NUM_THREADS, where set, decides.

    A matter of sizes, not of a trial: a resumed run adds up in the same order.
    """
    before = torch.get_num_threads()
    if before > 1 and "OMP_NUM_THREADS" not in os.environ and small(parts, spec, batch):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def small(parts: Parts, spec: Spec, batch: int) -> bool:
    """Whether updates of that batch are too small for threads."""
    if device_of(parts).type != "cpu" or not light_update(parts, spec, batch):
        return False
    products = Products()
    try:
        for side in SIDES:
            real = copy.deepcopy(parts)
            with fork(real), contained(), products:
                one_update(real, side, *inputs(real, spec, batch))
    except Exception:  # the training will say what is wrong
        return False
    return products.mean < SMALL


class Products(TorchDispatchMode):
    """Counts matrix products and convolutions, and what they compute."""

    def __init__(self) -> None:
        super().__init__()
        self.work, self.calls = 0.0, 0

    @property
    def mean(self) -> float:
        """Floating-point operations a call; those of a convolution by how long they take."""
        return self.work / max(1, self.calls)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        operation = func.overloadpacket
        if operation in flop_registry:
            weight = SLOWER if "conv" in str(operation) else 1
            self.work += weight * flop_registry[operation](*args, **(kwargs or {}), out_val=result)
            self.calls += 1
        return result
