"""The whole batch, where each of several processes (ranks) computes a share of it.

A mean over samples needs none of this: gradients are averaged over the ranks. What else looks
across the samples of a batch asks here, and finds the same as one process would. In a training of
one process, and outside an update, these functions give back what they are given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import pad

Timed = Callable[[Tensor], contextlib.AbstractContextManager[Any]]


@dataclass
class _Place:
    """Where this process stands among those that compute an update."""

    rank: int = 0
    ranks: int = 1
    group: Any = ""  # its name in torch.distributed
    timed: Timed | None = None  # entered around every message, for who wants to know how long it is
    asked: int = 0  # how often the whole batch was asked for within torch.func's transforms


_PLACE = _Place()


@contextlib.contextmanager
def sharing(rank: int, ranks: int, group: Any, timed: Timed | None = None) -> Iterator[None]:
    """Within, a batch is spread over the ranks of a group, of which this process is one."""
    before = _PLACE.rank, _PLACE.ranks, _PLACE.group, _PLACE.timed
    _PLACE.rank, _PLACE.ranks, _PLACE.group, _PLACE.timed = rank, ranks, group, timed
    try:
        yield
    finally:
        _PLACE.rank, _PLACE.ranks, _PLACE.group, _PLACE.timed = before


def asked_in_slopes() -> int:
    """How often the whole batch was asked for where a slope was taken, in this process so far."""
    return _PLACE.asked


class _Total(Function):
    """The sum of a tensor over ranks. Each rank's loss counts, so the gradient of a sum is the sum
    of their gradients, by the same operation, and so on for higher derivatives.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or _PLACE.timed is None:
            return _sent(x)
        with _PLACE.timed(x):
            return _sent(x)

    @staticmethod
    def setup_context(ctx: object, inputs: object, output: object) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total: Tensor = _Total.apply(gradient)
        return total


def _sent(x: Tensor) -> Tensor:
    # late: PyTorch may be built without, and it takes a moment
    import torch.distributed._functional_collectives as collectives

    sent = collectives.all_reduce(x.contiguous(), "sum", _PLACE.group)
    total: Tensor = collectives.wait_tensor(sent)
    return total


def _total(x: Tensor) -> Tensor:
    total: Tensor = _Total.apply(x)
    return total


def ranks() -> int:
    """How many ranks share the batch; 1 where this process computes all of it."""
    return _PLACE.ranks


def whole(share: Tensor) -> Tensor:
    """A tensor [n, ...] of this rank's samples with those of all ranks, [ranks n, ...], in the
    order of the whole batch.
    """
    note_slope()
    if _PLACE.ranks == 1:
        return share
    before, after = _PLACE.rank * len(share), (_PLACE.ranks - 1 - _PLACE.rank) * len(share)
    return _total(pad(share, [0, 0] * (share.dim() - 1) + [before, after]))


def own(whole: Tensor) -> Tensor:
    """This rank's share [n, ...] of a tensor [ranks n, ...] of the whole batch."""
    if _PLACE.ranks == 1:
        return whole
    return whole.chunk(_PLACE.ranks)[_PLACE.rank]


def whole_mean(mean: Tensor) -> Tensor:
    """The mean over ranks of what is a mean over each one's samples, of any shape."""
    note_slope()
    return mean if _PLACE.ranks == 1 else _total(mean) / _PLACE.ranks


def note_slope() -> None:
    """Count that the whole batch is asked for, where a slope is being taken."""
    if not torch.compiler.is_compiling() and torch._C._functorch.maybe_current_level() is not None:
        _PLACE.asked += 1
