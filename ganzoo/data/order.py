"""The order in which samples are shown: endless, reproducible, and remembered as two numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ..errors import BadRun, Incompatible, shown
from ..io.side_threads import compute_alone
from ..spec import Runs

LARGE = 1 << 16  # samples whose order takes long enough to be drawn beside the training
Epoch = tuple[int, Tensor, Tensor | None]  # its number, permutation and flips


def check_batch(batch: int, n: int) -> None:
    """Raises Incompatible when a batch cannot be taken from n samples."""
    place: Any = {"section": "train", "key": "batch_size", "value": batch}
    if batch < 1:
        raise Incompatible("give 1 or more", **place)
    if batch > n:
        raise Incompatible(
            f"larger than the data, which has {n:,} sample{'s' * (n != 1)}",
            **place,
            remedy="take at most",
            change={"train.batch_size": n},
        )


class Order:
    """Batches of indices: every sample once an epoch, in an order drawn from (seed, epoch) alone.

    Batches run across the border of two epochs, so that none is dropped or short. With `flip`, a
    fair coin lies beside each sample of each epoch. `device` is where both are given; it does not
    change them. Of samples that lie together in more `runs` than a window, the runs are shuffled,
    and then the samples of each window of them. Raises Incompatible when a batch is larger than the
    data.
    """

    def __init__(
        self, n: int, batch: int, seed: int, flip: bool = False, runs: Runs | None = None
    ) -> None:
        check_batch(batch, n)
        self.n, self.batch, self.seed, self.flip = n, batch, seed, flip
        self.runs = runs if runs and len(runs.lengths) > runs.window else None
        self.device = torch.device("cpu")
        self.epoch, self.position = 0, 0  # of the next sample
        self._drawn: Epoch | None = None
        self._ahead: Future[Epoch] | None = None  # the one after it
        self._pool: ThreadPoolExecutor | None = None

    def next(self) -> tuple[Tensor, Tensor | None]:
        """Indices [batch] int64 and, with `flip`, flips [batch] bool."""
        indices, flips = self._epoch(self.epoch)
        start, stop = self.position, self.position + self.batch
        chosen, turned = indices[start:stop], None if flips is None else flips[start:stop]
        if stop >= self.n:
            self.epoch, stop = self.epoch + 1, stop - self.n
            if stop:
                indices, flips = self._epoch(self.epoch)
                chosen = torch.cat([chosen, indices[:stop]])
                turned = (
                    None if turned is None or flips is None else torch.cat([turned, flips[:stop]])
                )
        self.position = stop
        return chosen, turned

    def state_dict(self) -> dict[str, int]:
        """Where the order stands."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where another order of the same n and seed
        stood; raises BadRun when there is no such place.
        """
        epoch, position = (
            (state.get("epoch"), state.get("position"))
            if isinstance(state, Mapping)
            else (None, None)
        )
        if (
            not isinstance(epoch, int)
            or not isinstance(position, int)
            or epoch < 0
            or not 0 <= position < self.n
        ):
            raise BadRun(
                f"saved data position {shown(state)} does not fit {self.n} samples: the data has "
                f"changed"
            )
        self.epoch, self.position = epoch, position

    def _epoch(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """The permutation and flips of an epoch, on the device;
        the last one asked for is kept, the next one drawn beside.
        """
        if self._drawn is None or self._drawn[0] != epoch:
            ahead, self._ahead = self._ahead, None
            found = ahead.result() if ahead is not None else None
            if found is None or found[0] != epoch:
                found = self._draw(epoch)
            there = (None if t is None else t.to(self.device, non_blocking=True) for t in found[1:])
            self._drawn = epoch, *there  # type: ignore[assignment]
            if self.device.type == "cuda" or self.n >= LARGE:
                self._pool = self._pool or ThreadPoolExecutor(1, "ganzoo-order", compute_alone)
                self._ahead = self._pool.submit(self._draw, epoch + 1)
        assert self._drawn is not None
        return self._drawn[1:]

    def _draw(self, epoch: int) -> Epoch:
        """An epoch's permutation and flips, in the host's memory; pinned if a GPU is to read it."""
        stream = self._stream("order", epoch)
        if self.runs is None:
            indices = torch.randperm(self.n, generator=stream)
        else:
            indices = _by_window(self.runs, stream)
        flips = None
        if self.flip:
            flips = torch.rand(self.n, generator=self._stream("flip", epoch)).lt(0.5)
        if self.device.type != "cuda":
            return epoch, indices, flips
        with torch.cuda.device(self.device):
            return epoch, indices.pin_memory(), None if flips is None else flips.pin_memory()

    def _stream(self, purpose: str, epoch: int) -> torch.Generator:
        """A generator of its own for each purpose and epoch,
        on the CPU, so that all devices see the same numbers.
        """
        digest = hashlib.sha256(f"{self.seed} {purpose} {epoch}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _by_window(runs: Runs, stream: torch.Generator) -> Tensor:
    """A permutation of all samples in which a window of runs comes before the next."""
    lengths = list(runs.lengths)
    members = torch.arange(sum(lengths)).split(lengths)
    found = []
    for window in torch.randperm(len(lengths), generator=stream).split(runs.window):
        near = torch.cat([members[i] for i in window.tolist()])
        found.append(near[torch.randperm(len(near), generator=stream)])
    return torch.cat(found)
