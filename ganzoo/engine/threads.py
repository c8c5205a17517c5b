"""How many threads an update is worth: small ones spend more on sharing the work than they save."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from ..contracts import Spec
from .engine import SIDES
from .losses import Parts
from .simulation import device_of, quick_peak

# What an update holds, up to which one thread is quicker than two; above it two are. On two cores
# of an AMD EPYC (2026-11-21, images/s with two threads over one): 2.8 MiB 0.49, 5.5 MiB 0.67,
# 8.8 MiB 0.82, 11 MiB 0.97, 34 MiB 1.32.
SMALL = 10 << 20


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
    """Whether updates of that batch are too small for threads; no where parts read values."""
    if device_of(parts).type != "cpu":
        return False
    try:
        return max(quick_peak(parts, spec, batch, side) for side in SIDES) <= SMALL
    except Exception:  # cannot be known without running the parts
        return False
