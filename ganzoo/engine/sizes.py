"""What a net and its samples will take is counted on tensors without storage first, so that a width
of a billion is a line and not a machine that swaps.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import DeviceError, GanzooError
from ..io.device_memory import VARIABLE, insisted, planned_memory

PIECES = (
    50_000  # modules and weights that a net may have; those that people publish have some thousand
)
COPIES = 3  # of a net in any training: weights, gradients, and a checkpoint's
KEPT = 3  # times that samples are in memory while a picture of them is made
NO_LIMIT = 1 << 62
M = TypeVar("M")


class TooLarge(GanzooError):
    """More was asked for than there may be."""


class Tally:
    """Modules and bytes of weights and buffers that were
    registered; raises TooLarge from `most` pieces or bytes on.
    """

    def __init__(self, pieces: int, size: int) -> None:
        self.pieces, self.size = 0, 0
        self.most_pieces, self.most_size = pieces, size
        self._thread = threading.get_ident()

    def add(self, owner: nn.Module, name: str, piece: Tensor | nn.Module | None) -> None:
        """What torch calls when a module gets a weight, a buffer or a module."""
        if piece is None or threading.get_ident() != self._thread:
            return
        self.pieces += 1
        if isinstance(piece, Tensor):
            self.size += piece.numel() * piece.element_size()
        if self.pieces > self.most_pieces or self.size > self.most_size:
            raise TooLarge("too large")


@contextmanager
def tally(pieces: int, size: int) -> Iterator[Tally]:
    """Within it, what modules of this thread register is counted."""
    counter = Tally(pieces, size)
    handles = [
        hooks.register_module_parameter_registration_hook(counter.add),
        hooks.register_module_buffer_registration_hook(counter.add),
        hooks.register_module_module_registration_hook(counter.add),
    ]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()


class Ceiling(TorchDispatchMode):
    """Refuses a new tensor of more than so many bytes before it takes memory."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        shape = args[0] if args else kwargs.get("size")
        if isinstance(shape, list | tuple) and all(type(n) is int for n in shape):
            dtype = kwargs.get("dtype") or torch.get_default_dtype()
            if math.prod(shape) * dtype.itemsize > self.size:
                raise TooLarge("too large")
        return func(*args, **kwargs)


def build(make: Callable[[], M], section: str, options: Mapping[str, Any]) -> M:
    """What `make` makes, if it is not too large for any
    training here; raises DeviceError before it takes memory.

    It is made without storage first. A constructor that reads
    values cannot be: its weights are counted while it runs.
    options: those that were given, of which the largest is named.
    """
    free = planned_memory(torch.device("cpu"))  # where nets are made
    most = NO_LIMIT if free is None else free // COPIES
    pieces = max(PIECES, (insisted() or 0) >> 16)
    with torch.random.fork_rng(devices=[]), tally(pieces, NO_LIMIT) as counter:
        try:
            with torch.device("meta"):
                make()
            known = True
        except TooLarge:
            raise _refusal(section, options, f"more than {pieces:,} modules and weights") from None
        except Exception:  # said below, where it is built for real, or only because it reads values
            known = False
    if known and counter.size > most:
        raise _refusal(section, options, _gib(COPIES * counter.size, free))
    if known:
        return make()
    try:
        with tally(pieces, most), Ceiling(most):
            return make()
    except TooLarge:
        raise _refusal(section, options, _gib(COPIES * most, free)) from None


def _gib(need: int, free: int | None) -> str:
    """What is needed and what there is."""
    there = "" if free is None else f", and {free / 2**30:.1f} GiB are free"
    return f"at least {need / 2**30:.1f} GiB{there}"


def _refusal(section: str, options: Mapping[str, Any], needs: str) -> DeviceError:
    """The line on a net that is too large, by the largest number among its options."""
    numbers = {key: value for key, value in options.items() if type(value) is int}
    key = max(numbers, key=lambda key: numbers[key], default="")
    return DeviceError(
        f"a training of such a net takes {needs}",
        section=section,
        key=key,
        value=numbers.get(key),
        remedy=f"make it smaller, or set {VARIABLE} to the memory to plan with, as in 64G",
    )


def check_samples(
    count: int,
    numel: int,
    device: torch.device,
    peak: int = 0,
    section: str = "",
    key: str = "count",
) -> None:
    """Raises DeviceError when `count` samples of `numel` numbers,
    drawn and made a picture of, take more bytes than there are.

    peak: what the net holds while it draws those of one chunk.
    """
    free, each = planned_memory(device), KEPT * 4 * numel
    need = peak + count * each
    if free is None or need <= free:
        return
    most = (free - peak) // each if key == "count" else 0
    raise DeviceError(
        f"so many samples take {_gib(need, free)}",
        section=section,
        key=key,
        value=count,
        remedy="take at most"
        if most > 0
        else f"{VARIABLE} sets the memory to plan with, as in 64G",
        change={f"{section}.count" if section else "count": most} if most > 0 else {},
    )


def check_call(section: str, peak: int | None) -> None:
    """Raises DeviceError when two samples through a net take more bytes than there are."""
    free = planned_memory(torch.device("cpu"))
    if peak is not None and free is not None and peak > free:
        raise _refusal(section, {}, f"{_gib(peak, free)} for two samples")


def refuse_update(batch: int, need: int, free: int | None) -> DeviceError:
    """The line on an update of a batch that takes more bytes than there are."""
    return _refusal("train", {"batch_size": batch}, f"{_gib(need, free)} for an update")
