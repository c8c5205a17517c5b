"""Random numbers by sample: every rank draws for the whole batch, and takes its share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LIKE: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
    torch.rand_like: torch.rand,
    torch.randn_like: torch.randn,
}
DROPPING = (
    F.dropout,
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    F.alpha_dropout,
    F.feature_alpha_dropout,
)
FILLING = (
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.bernoulli_,
    Tensor.exponential_,
    Tensor.random_,
)


class WholeDraws(TorchFunctionMode):
    """Within, what is drawn for the samples of a rank is drawn as one process would for the whole
    batch, and the rank takes its own; so the number of ranks changes no random number.

    What is drawn for samples has as many rows as there are, or a multiple where real and generated
    ones lie behind each other, or a fraction where several are packed. All else is drawn alike on
    every rank, whose generators are always in the same state.

    count: samples of the rank in what is computed at once
    """

    def __init__(self, rank: int, ranks: int, count: int) -> None:
        super().__init__()
        self.rank, self.ranks, self.count = rank, ranks, count

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in (torch.rand, torch.randn, torch.randint):
            return self._sized(func, args, given)
        if not args or not isinstance(args[0], Tensor) or not self._concerns(args[0].shape):
            return func(*args, **given)
        like = args[0]
        if func in LIKE:
            about = {"dtype": like.dtype, "device": like.device} | given
            return self._own(LIKE[func](self._whole(like.shape), **about), len(like))
        if func in FILLING:
            drawn = func(like.new_empty(self._whole(like.shape)), *args[1:], **given)
            return like.copy_(self._own(drawn, len(like)))
        if func is torch.bernoulli:
            drawn = like.new_empty(self._whole(like.shape)).uniform_()
            return (self._own(drawn, len(like)) < like).to(like.dtype)
        if func in DROPPING:
            ones = torch.ones(self._whole(like.shape), dtype=like.dtype, device=like.device)
            return like * self._own(func(ones, *args[1:], **given), len(like))
        return func(*args, **given)

    def _sized(
        self, func: Callable[..., Tensor], args: Sequence[Any], given: Mapping[str, Any]
    ) -> Tensor:
        """What is drawn in a shape that is an argument: a sequence, or all that are numbers."""
        bounds = [] if func is torch.randn or func is torch.rand else [*args]
        shape = given.get("size")
        if shape is None and func is not torch.randint:
            shape = args[0] if args and not isinstance(args[0], int) else args
        elif shape is None:
            shape = bounds.pop()
        if not self._concerns(shape):
            return func(*args, **given)
        rest = {key: value for key, value in given.items() if key != "size"}
        return self._own(func(*bounds, self._whole(shape), **rest), shape[0])

    def _concerns(self, shape: Sequence[int]) -> bool:
        """Whether something of that shape is drawn for the samples."""
        rows = shape[0] if len(shape) else 0
        if rows < min(self.count, 2):
            return False
        return rows % self.count == 0 or self.count % rows == 0

    def _whole(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (self.ranks * shape[0], *shape[1:])

    def _own(self, whole: Tensor, rows: int) -> Tensor:
        """The rank's rows: of each part of the batch where there are several behind each other."""
        parts = max(rows // self.count, 1)
        size = rows // parts
        start = self.rank * size
        return whole.view(parts, -1, *whole.shape[1:])[:, start : start + size].flatten(0, 1)
