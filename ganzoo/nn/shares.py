"""The whole batch, where each of several processes (ranks) computes a share of it.

A mean over samples needs none of this: gradients are averaged over the ranks. What else looks
across the samples of a batch asks here, and finds the same as one process would. In a training of
one process, and outside an update, these functions give back what they are given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import pad


@dataclass
class _Place:
    """Where this process stands among those that compute an update."""

    rank: int = 0
    ranks: int = 1
    group: Any = ""  # its name in torch.distributed
    asked: int = 0  # how often the whole batch was asked for within torch.func's transforms


_PLACE = _Place()


@contextlib.contextmanager
def sharing(rank: int, ranks: int, group: Any) -> Iterator[None]:
    """Within, a batch is spread over the ranks of a group, of which this process is one."""
    before = _PLACE.rank, _PLACE.ranks, _PLACE.group
    _PLACE.rank, _PLACE.ranks, _PLACE.group = rank, ranks, group
    try:
        yield
    finally:
        _PLACE.rank, _PLACE.ranks, _PLACE.group = before


def asked_in_slopes() -> int:
    """How often the whole batch was asked for where a slope was taken, in this process so far."""
    return _PLACE.asked


class _Total(Function):
    """The sum of a tensor over ranks. Each rank's loss counts, so the gradient of a sum is the sum
    of their gradients, by the same operation, and so on for higher derivatives.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        # late: PyTorch may be built without, and it takes a moment
        import torch.distributed._functional_collectives as collectives

        sent = collectives.all_reduce(x.contiguous(), "sum", _PLACE.group)
        total: Tensor = collectives.wait_tensor(sent)
        return total

    @staticmethod
    def setup_context(ctx: object, inputs: object, output: object) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total: Tensor = _Total.apply(gradient)
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
    _note()
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
    _note()
    return mean if _PLACE.ranks == 1 else _total(mean) / _PLACE.ranks


def _note() -> None:
    if not torch.compiler.is_compiling() and torch._C._functorch.maybe_current_level() is not None:
        _PLACE.asked += 1


class WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics are those of the whole batch; a class that batch norms of a net
    are given in place of their own (`share_batch_norms`).
    """

    def forward(self, x: Tensor) -> Tensor:
        _note()
        if _PLACE.ranks == 1 or not self.training:
            normal: Tensor = super().forward(x)
            return normal
        over = [0, *range(2, x.dim())]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        mean = whole_mean(x.float().mean(over))
        variance = whole_mean((x.float() - mean.view(shape)).square().mean(over))
        self._move(mean.detach(), variance.detach(), _PLACE.ranks * x.numel() // x.shape[1])
        normal = (x - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions, as it was checked for the class before."""

    @torch.no_grad()
    def _move(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """The running statistics, by those of a batch of so many values a channel."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share: float | Tensor = 1 / self.num_batches_tracked
        if self.momentum is not None:
            share = self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / max(count - 1, 1), share)


def share_batch_norms(net: nn.Module) -> None:
    """Let the batch norms of a net, subclasses too, take the statistics of the whole batch."""
    for module in net.modules():
        norm = nn.modules.batchnorm._BatchNorm
        if isinstance(module, norm) and not isinstance(module, WholeBatchNorm):
            module.__class__ = _sharing_class(type(module))


_CLASSES: dict[type, type] = {}


def _sharing_class(norm: type) -> type:
    """A class like a batch norm's, whose statistics are those of the whole batch.

    Its own `forward` stays the first; where that calls its parent's, it comes to the shared one.
    """
    if norm not in _CLASSES:
        native = norm.__module__.startswith("torch.")
        bases = (WholeBatchNorm, norm) if native else (norm, WholeBatchNorm)
        _CLASSES[norm] = type(norm.__name__, bases, {})
    return _CLASSES[norm]
