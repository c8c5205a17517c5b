"""Data that are made when they are asked for: any data set of PyTorch's kind, or pictures that are
decoded anew each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..contracts import Batch, Column, Dataset
from ..errors import BadData, one_line
from ..io.side_threads import compute_alone
from ..spec import one_hot
from .threads import processors

KNOWN = 64  # samples that a fingerprint is taken of
Collate = Callable[[list[Any]], Batch]


class Items(Protocol):
    """What PyTorch calls a map-style data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(eq=False, repr=False)
class Lazy(Dataset):
    """Samples that are read one by one, by several threads, when a batch of them is gathered.

    items: gives each by its number
    collate: makes a batch of several
    """

    items: Items = ()
    collate: Collate = list  # type: ignore[assignment]
    threads: int = 1

    def __len__(self) -> int:
        return len(self.items)

    @property
    def size(self) -> None:
        """None: they are never all in memory."""
        return None

    def to(self, device: torch.device) -> Lazy:
        """The same: their batches are sent to a device."""
        return self

    def gather(self, indices: Tensor) -> Batch:
        """The samples at these indices [n]; raises BadData naming one that cannot be read."""
        wanted = indices.tolist()
        read = self._pool.map if self.threads > 1 else map
        found = self.collate(list(read(partial(item_of, self.items), wanted)))
        if len(found.samples) != len(wanted):
            raise BadData(f"{len(wanted)} samples were collated into {len(found.samples)}")
        given = {name: found.given[name] for name in self.given}
        samples = found.samples
        if self.alphabet:
            samples = one_hot(samples.long(), len(self.alphabet))
        labels = None if self.labels is None else found.labels
        return found._replace(samples=samples, labels=labels, given=given)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, "ganzoo-read", compute_alone)

    def fingerprint(self) -> dict[str, Any]:
        """Number, shape and classes, and a digest of some samples, spread over all, if nobody has
        given one of them all.
        """
        if not self.digest:
            some = torch.linspace(0, len(self) - 1, min(KNOWN, len(self))).long()
            samples = self.gather(some).samples.contiguous()
            self.digest = hashlib.sha256(samples.view(torch.uint8).numpy().data).hexdigest()
        return super().fingerprint()


def from_torch(
    items: Items,
    *,
    classes: Sequence[str] = (),
    collate: Collate | None = None,
    threads: int | None = None,
    digest: str = "",
    alphabet: Sequence[str] = (),
    columns: Sequence[Column] = (),
    unbounded: bool = False,
) -> Dataset:
    """A data set of PyTorch's kind, with a length and an item for each number, as ganzoo's.

    An item is a sample, a pair of sample and label, or a table with "sample", "label" and what is
    given to nets, by name. A sample is a picture of Pillow, a uint8 array [h, w, c], or a tensor:
    uint8 [c, h, w] in 0..255 for images and [c, t, h, w] for videos, whole numbers [length] of
    symbols for tokens, else float32, images in [-1, 1]. Items are read by threads (as many as
    processors, unless told) when a batch is gathered, and are never all in memory; the data are
    streamed to the device.

    classes: names of the labels; none for items without
    collate: makes a Batch of a list of items, for samples of several lengths
    digest: tells these data from others when a run is resumed; of a few samples unless it is given
    alphabet, columns, unbounded: of tokens, of tables and of maps, as a `Spec` has them

    Raises BadData for what has no length, no item, or items of no such form.
    """
    if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
        raise BadData(f"{type(items).__name__} has no length, or no item for a number")
    if len(items) == 0:
        raise BadData("has no samples")
    collate = collate or stacked
    try:
        first = collate([item_of(items, 0)])
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise BadData(f"items of no known form: {one_line(error)}") from error
    labelled = first.labels is not None and bool(classes)
    return Lazy(
        first.samples[:0],
        torch.empty(0, dtype=torch.long) if labelled else None,
        list(classes) if labelled else (),
        [f"{len(items):,} samples, read when they are asked for"],
        digest,
        {name: each[:0] for name, each in first.given.items()},
        alphabet=tuple(alphabet),
        columns=tuple(columns),
        unbounded=unbounded,
        items=items,
        collate=collate,
        threads=threads or processors(),
    )


def item_of(items: Items, index: int) -> Any:
    """The item of that number; raises BadData naming it where it cannot be read."""
    try:
        return items[index]
    except BadData:
        raise
    except Exception as error:  # somebody else's code
        raise BadData(f"sample {index:,} cannot be read: {one_line(error)}") from error


def stacked(items: list[Any]) -> Batch:
    """A batch of items as `from_torch` describes them; raises BadData where shapes differ."""
    rows = [_row(item) for item in items]
    samples = _stack("samples", [row["sample"] for row in rows])
    labels = [row["label"] for row in rows if row.get("label") is not None]
    names = rows[0].keys() - {"sample", "label"}
    return Batch(
        samples,
        torch.tensor([int(label) for label in labels]) if len(labels) == len(rows) else None,
        None,
        {name: _stack(name, [row[name] for row in rows]) for name in sorted(names)},
    )


def _row(item: Any) -> dict[str, Any]:
    """An item as a table of tensors and a label."""
    if isinstance(item, Mapping):
        return {k: v if k == "label" else as_tensor(v) for k, v in item.items()}
    if isinstance(item, tuple | list):
        sample, label = item
        return {"sample": as_tensor(sample), "label": label}
    return {"sample": as_tensor(item)}


def as_tensor(value: Any) -> Tensor:
    """A picture, an array or a tensor as samples are stored."""
    if isinstance(value, Image.Image):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        if value.dtype == np.uint8 and value.ndim == 2:
            value = value[:, :, None]
        if value.dtype == np.uint8 and value.ndim == 3:
            value = value.transpose(2, 0, 1)
        value = torch.from_numpy(np.array(value))  # a copy: Pillow's memory is read-only
    if not isinstance(value, Tensor):
        raise TypeError(f"a {type(value).__name__} is no sample")
    return value if value.dtype == torch.uint8 else value.float()


def _stack(name: str, tensors: list[Tensor]) -> Tensor:
    shapes = sorted({tuple(tensor.shape) for tensor in tensors})
    if len(shapes) > 1:
        raise BadData(f"{name} of several shapes ({shapes[0]}, {shapes[1]}); give a collate")
    return torch.stack(tensors)
