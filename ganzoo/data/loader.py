"""Batches of real samples: gathered on the device when
they fit there, else streamed to it ahead of need.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..contracts import Batch, Dataset
from ..io.device_memory import free_memory, on
from ..io.side_threads import compute_alone
from . import Order

AHEAD = 4  # batches that a stream keeps ready
SHARE = 0.4  # of a GPU's free memory that samples may take when no budget is given


PINNED = ("cuda",)  # devices that read the memory of the host beside other work
Raw = tuple[Batch, dict[str, Any]]  # and the order's state after them
Placed = tuple[Batch, dict[str, Any], int]  # and the place in the ring


def budget_bytes(megabytes: int, device: torch.device) -> int | None:
    """How much the samples may take on the device; None for no limit."""
    if megabytes > 0:
        return megabytes << 20
    if device.type == "cpu":
        return None
    return int((free_memory(device) or 0) * SHARE)


class Feed:
    """An endless, reproducible series of batches. Its state
    is the position of the last batch that was handed out.
    """

    def __init__(
        self,
        dataset: Dataset,
        order: Order,
        device: torch.device,
        resident: str = "auto",
        budget: int | None = None,
        others: Mapping[str, Order] | None = None,
        share: Callable[[Tensor], Tensor] = lambda whole: whole,
    ) -> None:
        """`resident` "gpu" keeps the samples on the device, "host"
        streams them, "auto" decides by the budget in bytes.

        others: the orders of what is given in one of its own. share: what this process reads of
            each batch.
        """
        self.order, self.device, self.others = order, device, dict(others or {})
        self.share = share
        size = dataset.size
        self.resident = size is not None and (
            resident == "gpu" or (resident == "auto" and (budget is None or size <= budget))
        )
        where = device if self.resident else torch.device("cpu")
        self.dataset = dataset.to(where) if self.resident else dataset
        for each in self._orders().values():
            each.device = where  # indices from elsewhere would make the host wait for every batch
        self._position = self._state()
        self._stream: _Stream | None = None

    def next(self) -> Batch:
        """The next batch, on the device. Images are scaled and
        mirrored within the update, where a compiler makes one of it.
        """
        if self.resident:
            batch, self._position = self._gather()
            return batch
        self._stream = self._stream or _Stream(self)
        batch, self._position, place = self._stream.next()
        # Other devices than CUDA may still read when the memory is given to something else.
        lazily = self.device.type == "cuda"
        there = batch.each(lambda tensor: tensor.to(self.device, non_blocking=lazily))
        self._stream.sent(place)
        return there

    def _gather(self) -> Raw:
        """The next batch where the samples are."""
        indices, flips = self.order.next()
        flips = None if flips is None else self.share(flips)
        batch = self.dataset.gather(self.share(indices))
        given = dict(batch.given)
        for name, order in self.others.items():
            other = self.share(order.next()[0])
            given[name] = self.dataset.others[name].gather(other).samples
        return batch._replace(flips=flips, given=given), self._state()

    def _orders(self) -> dict[str, Order]:
        return {"": self.order, **self.others}

    def _state(self) -> dict[str, Any]:
        others = {name: order.state_dict() for name, order in self.others.items()}
        return {**self.order.state_dict(), **({"others": others} if others else {})}

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that `next` gave, whatever a stream has read ahead."""
        return dict(self._position)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after that position."""
        self.close()
        position = dict(state)
        others = position.pop("others", {})
        self.order.load_state_dict(position)
        for name, order in self.others.items():
            order.load_state_dict(dict(others[name]))
        self._position = dict(state)

    def close(self) -> None:
        """End the stream's thread."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class Ring:
    """Memory for batches on their way to a GPU, pinned so
    that it is read beside other work, and used in turn.

    A place is filled again only when the GPU has read what lay there.
    """

    def __init__(self, batch: Batch, count: int) -> None:
        self.places = [batch.each(pinned_like) for _ in range(count)]
        self._read: list[Any] = [None] * count  # events
        self._next = 0

    def fill(self, batch: Batch) -> tuple[Batch, int]:
        """The batch in the next place, and the place's
        number; waits for what was read from there.
        """
        place = self._next
        self._next = (place + 1) % len(self.places)
        if self._read[place] is not None:
            self._read[place].synchronize()
        for own, given in zip(tensors_of(self.places[place]), tensors_of(batch), strict=True):
            own.copy_(given)
        return self.places[place], place

    def sent(self, place: int, event: Any) -> None:
        """What lies there is read once the event is done."""
        self._read[place] = event


def pinned_like(tensor: Tensor) -> Tensor:
    """Memory of the host that a GPU reads by itself."""
    return torch.empty_like(tensor, pin_memory=True)


def tensors_of(batch: Batch) -> list[Tensor]:
    """All tensors of a batch."""
    found = [batch.samples, batch.labels, batch.flips, *batch.given.values()]
    return [tensor for tensor in found if tensor is not None]


class _Stream:
    """A thread that gathers batches ahead; on the
    way to a GPU they lie in a ring of pinned memory.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed, self.pin = feed, feed.device.type in PINNED
        self.ring: Ring | None = None
        self.ready: queue.Queue[Placed | BaseException] = queue.Queue(AHEAD)
        self.closed = threading.Event()
        heard = contextvars.copy_context()  # who listens to what is done hears the thread, too
        self.thread = threading.Thread(
            target=heard.run, args=(self._run,), name="ganzoo-feed", daemon=True
        )
        self.thread.start()

    def _run(self) -> None:
        compute_alone()
        with on(self.feed.device):  # else pinned memory would belong to the first GPU
            self._gather_ahead()

    def _gather_ahead(self) -> None:
        while not self.closed.is_set():
            item: Placed | BaseException
            try:
                batch, state = self.feed._gather()
                place = 0
                if self.pin:
                    self.ring = self.ring or Ring(batch, AHEAD + 2)  # one is filled, one is sent
                    batch, place = self.ring.fill(batch)
                item = batch, state, place
            except BaseException as error:  # told to whoever waits for the batch
                item = error
            self.ready.put(item)  # waits while there are enough

    def next(self) -> Placed:
        """The next batch, still on the host; `sent` is
        to be called once its copies are on their way.
        """
        item = self.ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def sent(self, place: int) -> None:
        """The device reads that place now; it may be filled again when it has."""
        if self.ring is not None:
            stream = torch.cuda.current_stream(self.feed.device)
            self.ring.sent(place, stream.record_event())

    def close(self) -> None:
        """Ends the thread at once: a place is made for
        the batch that it may be waiting to hand over.
        """
        self.closed.set()
        while self.thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self.ready.get_nowait()
            self.thread.join(0.001)
