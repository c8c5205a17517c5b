"""Batches of real samples: gathered on the device when they fit there, else streamed to it ahead of need."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .contracts import Dataset
from .data import Order
from .devices import free_memory

AHEAD = 4  # batches that a stream keeps ready
SHARE = 0.4  # of a GPU's free memory that samples may take when no budget is given


class Batch(NamedTuple):
    """Samples [batch, *shape] as they are stored, labels [batch] or None, and which of them are mirrored [batch] bool or None."""

    samples: Tensor
    labels: Tensor | None
    flips: Tensor | None


Raw = tuple[Batch, dict[str, Any]]  # and the order's state after them


def budget_bytes(megabytes: int, device: torch.device) -> int | None:
    """How much the samples may take on the device; None for no limit."""
    if megabytes > 0:
        return megabytes << 20
    if device.type == "cpu":
        return None
    return int((free_memory(device) or 0) * SHARE)


class Feed:
    """An endless, reproducible series of batches. Its state is the position of the last batch that was handed out."""

    def __init__(
        self,
        dataset: Dataset,
        order: Order,
        device: torch.device,
        resident: str = "auto",
        budget: int | None = None,
    ) -> None:
        """`resident` "gpu" keeps the samples on the device, "host" streams them, "auto" decides by the budget in bytes."""
        self.order, self.device = order, device
        size = dataset.samples.numel() * dataset.samples.element_size()
        self.resident = resident == "gpu" or (
            resident == "auto" and (budget is None or size <= budget)
        )
        where = device if self.resident else torch.device("cpu")
        order.device = where  # indices from another device would make the host wait for every batch
        self.samples = dataset.samples.to(where)
        self.labels = None if dataset.labels is None else dataset.labels.to(where)
        self._position = order.state_dict()
        self._stream: _Stream | None = None

    def next(self) -> Batch:
        """The next batch, on the device. Images are scaled and mirrored within the update, where a compiler makes one of it."""
        if self.resident:
            batch, self._position = self._gather()
            return batch
        self._stream = self._stream or _Stream(self)
        batch, self._position = self._stream.next()
        # Other devices than CUDA may still read when the memory is given to something else.
        lazily = self.device.type == "cuda"
        there = [None if p is None else p.to(self.device, non_blocking=lazily) for p in batch]
        return Batch(*there)  # type: ignore[arg-type]

    def _gather(self) -> Raw:
        """The next batch where the samples are."""
        indices, flips = self.order.next()
        labels = None if self.labels is None else self.labels.index_select(0, indices)
        if self.resident:
            samples = self.samples.index_select(0, indices)
        else:  # numpy gathers on one thread: a second team of torch's threads would fight with the training's for the cores
            samples = torch.from_numpy(self.samples.numpy().take(indices.numpy(), axis=0))
        return Batch(samples, labels, flips), self.order.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that `next` gave, whatever a stream has read ahead."""
        return dict(self._position)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after that position."""
        self.close()
        self.order.load_state_dict(dict(state))
        self._position = dict(state)

    def close(self) -> None:
        """End the stream's thread."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class _Stream:
    """A thread that gathers batches ahead; on the way to a GPU they lie in pinned memory, so that the copy overlaps with work."""

    def __init__(self, feed: Feed) -> None:
        self.feed, self.pin = feed, feed.device.type == "cuda"
        self.ready: queue.Queue[Raw | BaseException] = queue.Queue(AHEAD)
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._run, name="ganzoo-feed", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.closed.is_set():
            item: Raw | BaseException
            try:
                batch, state = self.feed._gather()
                if self.pin:
                    batch = batch._replace(samples=batch.samples.pin_memory())
                item = batch, state
            except BaseException as error:  # told to whoever waits for the batch
                item = error
            self.ready.put(item)  # waits while there are enough

    def next(self) -> Raw:
        item = self.ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """Ends the thread at once: a place is made for the batch that it may be waiting to hand over."""
        self.closed.set()
        while self.thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self.ready.get_nowait()
            self.thread.join(0.001)
