"""What the data are: the shape and modality of one sample, and the samples themselves."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK = 16 << 20  # bytes read at a time: samples may be mapped from a file larger than the memory


MODALITIES = ("image", "video", "signal", "points", "tokens", "table", "map")
BY_DIMENSIONS = ("points", "signal", "image", "video")


@dataclass(frozen=True)
class Column:
    """A column of a table: a number, or a category if it has values.

    values: the texts of a category, in the order of its numbers in a sample, of which the largest
        is the one that is meant
    offset, scale: a number x of a sample stands for offset + scale x in the table's own units
    whole: whether these are whole numbers
    """

    name: str
    values: tuple[str, ...] = ()
    offset: float = 0.0
    scale: float = 1.0
    whole: bool = False

    @property
    def width(self) -> int:
        """Numbers that it takes in a sample."""
        return len(self.values) or 1


@dataclass(frozen=True)
class Spec:
    """What the data dictates: the shape of one sample, the number of classes, the modality, and
    what comes with a sample and may be read by nets.

    Shapes are [channels, height, width] for images, [channels, frames, height, width] for videos,
    [channels, length] for signals, [dimensions] for points, [length, symbols] for tokens and
    [numbers] for tables, whose columns follow each other; maps have the shape of images.

    alphabet: the symbols of tokens, as they are written; what fills up short ones is ""
    columns: those of a table
    unbounded: of [channels, height, width], whether these are maps, whose numbers have no ends, as
        the latents of an encoder have none, and no images in [-1, 1]
    """

    shape: tuple[int, ...]
    classes: int = 0  # 0: labels are not given to the nets
    given: Mapping[str, Spec] = field(default_factory=dict, hash=False)  # by name: a source picture
    alphabet: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    unbounded: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= len(BY_DIMENSIONS) or any(
            not isinstance(n, int) or n < 1 for n in self.shape
        ):
            raise ValueError(
                f"a sample's shape is [d], [c, length], [c, h, w] or [c, t, h, w], not {self.shape}"
            )
        if self.alphabet and self.shape[1:] != (len(self.alphabet),):
            raise ValueError(f"{len(self.alphabet)} symbols make [t, symbols], not {self.shape}")
        if len(set(self.alphabet)) < len(self.alphabet):
            raise ValueError("a symbol stands twice in the alphabet")
        width = sum(column.width for column in self.columns)
        if self.columns and (self.alphabet or self.shape != (width,)):
            raise ValueError(f"columns of {width} numbers make [{width}], not {self.shape}")
        if self.unbounded and len(self.shape) != 3:
            raise ValueError(f"a map's shape is [c, h, w], not {self.shape}")

    @property
    def modality(self) -> str:
        """`image`, `video`, `signal`, `points`, `tokens`, `table` or `map`."""
        if self.alphabet:
            return "tokens"
        if self.unbounded:
            return "map"
        return "table" if self.columns else BY_DIMENSIONS[len(self.shape) - 1]

    @property
    def numel(self) -> int:
        """Numbers in one sample."""
        return math.prod(self.shape)

    def with_shape(self, *shape: int) -> Spec:
        """The same but for the shape; what is said of its numbers stays where it still fits."""
        alphabet = self.alphabet if shape[1:] == (len(self.alphabet),) else ()
        columns = self.columns if shape == self.shape else ()
        unbounded = self.unbounded and len(shape) == 3
        meant: dict[str, Any] = {"alphabet": alphabet, "columns": columns, "unbounded": unbounded}
        return replace(self, shape=tuple(shape), **meant)


class Batch(NamedTuple):
    """Samples [n, *shape] as they are stored, with what comes with them.

    labels [n] or None; flips [n] bool or None says which are mirrored; given: tensors [n, ...] by
    name, as they are stored.
    """

    samples: Tensor
    labels: Tensor | None = None
    flips: Tensor | None = None
    given: Mapping[str, Tensor] = {}

    def each(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """What the function makes of every tensor."""
        return Batch(
            function(self.samples),
            None if self.labels is None else function(self.labels),
            None if self.flips is None else function(self.flips),
            {name: function(tensor) for name, tensor in self.given.items()},
        )


class Runs(NamedTuple):
    """Samples that lie together, as in a shard, and are best read together.

    lengths: how many there are in each run, in the order of the samples
    window: so many runs are shuffled together
    """

    lengths: Sequence[int]
    window: int


@dataclass(eq=False)
class Dataset:
    """Samples in memory or memory-mapped, with what a training must know of them.

    samples: [n, *shape], uint8 in 0..255 for images and videos, for tokens the numbers [n, length]
    of their symbols in any integer type, float32 otherwise, of maps float16 too; labels: [n] int64
    or None.
    """

    samples: Tensor
    labels: Tensor | None = None
    classes: Sequence[str] = ()  # names, in the order of the labels
    notes: Sequence[str] = field(
        default_factory=list
    )  # what was done to the data, for the person to read
    digest: str = ""  # of the samples, where it is known already; computed when it is asked for
    given: Mapping[str, Tensor] = field(default_factory=dict)  # what belongs to each: [n, ...]
    others: Mapping[str, Dataset] = field(
        default_factory=dict
    )  # what is given in an order of its own: the other domain of unpaired pictures
    alphabet: tuple[str, ...] = ()  # of tokens
    columns: tuple[Column, ...] = ()  # of a table
    unbounded: bool = False  # whether [n, c, h, w] are maps

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.samples.shape[1:]))
        return f"Dataset({len(self):,} samples of {shape}, {len(self.classes):,} classes)"

    @property
    def spec(self) -> Spec:
        given = {name: Spec(tuple(each.shape[1:])) for name, each in self.given.items()}
        given |= {name: replace(other.spec, classes=0) for name, other in self.others.items()}
        shape = *self.samples.shape[1:], *([len(self.alphabet)] if self.alphabet else [])
        meant = self.alphabet, self.columns, self.unbounded
        return Spec(shape, len(self.classes), given, *meant)

    @property
    def size(self) -> int | None:
        """Bytes that the samples take where they are all in memory; None where they cannot be."""
        tensors = [self.samples, *self.given.values()]
        sizes = [other.size for other in self.others.values()]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        return sum(t.numel() * t.element_size() for t in tensors) + sum(known)

    @property
    def at_hand(self) -> int:
        """How many of the first samples are to be had soon: what is shown is chosen of them."""
        return len(self)

    @property
    def runs(self) -> Runs | None:
        """Which samples lie together; None where all are equally near."""
        return None

    def to(self, device: torch.device) -> Dataset:
        """The same data on a device."""
        return replace(
            self,
            samples=self.samples.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            given={name: each.to(device) for name, each in self.given.items()},
            others={name: other.to(device) for name, other in self.others.items()},
        )

    def gather(self, indices: Tensor) -> Batch:
        """The samples at these indices [n] as they are stored, with labels and what is given.

        All that a training calls: data that are decoded when they are asked for, or have no fixed
        length, define it anew. `others` are gathered by whoever has their order.
        """
        samples = _rows(self.samples, indices)
        return Batch(
            one_hot(samples, len(self.alphabet)) if self.alphabet else samples,
            None if self.labels is None else self.labels.index_select(0, indices),
            given={name: _rows(each, indices) for name, each in self.given.items()},
        )

    def fingerprint(self) -> dict[str, Any]:
        """What tells these data from others: number and shape of the samples, digests of samples,
        labels and class names. The first call reads all samples once.
        """
        self.digest = self.digest or digest(self.samples)
        names = json.dumps([str(name) for name in self.classes])
        beside: dict[str, Any] = {name: digest(each) for name, each in self.given.items()}
        beside |= {name: other.fingerprint() for name, other in self.others.items()}
        return {
            "count": len(self),
            "shape": list(self.samples.shape[1:]),
            "samples": self.digest,
            "labels": None if self.labels is None else digest(self.labels),
            "classes": hashlib.sha256(names.encode()).hexdigest(),
            **({"given": beside} if beside else {}),
            **self._meaning(),
        }

    def _meaning(self) -> dict[str, str]:
        """A digest of what the numbers of tokens and tables stand for."""
        if not (self.alphabet or self.columns):
            return {}
        meant = json.dumps([self.alphabet, [asdict(column) for column in self.columns]])
        return {"meaning": hashlib.sha256(meant.encode()).hexdigest()}

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Samples (images scaled to [-1, 1]) and labels at these indices [k]."""
        found = self.gather(indices)
        return as_samples(found.samples), found.labels


def _rows(tensor: Tensor, indices: Tensor) -> Tensor:
    """Rows of a tensor, in the order of the indices."""
    if tensor.device.type != "cpu":
        return tensor.index_select(0, indices)
    # Numpy gathers on one thread: a second team of torch's threads, which batches are gathered
    # beside, would fight with the training's for the cores.
    return torch.from_numpy(tensor.numpy().take(indices.numpy(), axis=0))


def one_hot(symbols: Tensor, count: int) -> Tensor:
    """Numbers of symbols [n, t] as bool [n, t, count], a byte each on their way to a device."""
    if symbols.device.type != "cpu":
        return symbols.unsqueeze(2) == torch.arange(count, device=symbols.device)
    numbers = symbols.numpy()  # as in _rows
    return torch.from_numpy(numbers[:, :, None] == np.arange(count, dtype=numbers.dtype))


def as_samples(stored: Tensor, flips: Tensor | None = None) -> Tensor:
    """Gathered samples [n, *shape] as nets see them: uint8 images and videos scaled to [-1, 1],
    bool tokens as 0 and 1, mirrored where flips [n] bool says so.
    """
    if stored.dtype == torch.bool:
        return stored.float()
    samples = stored.float() if stored.dtype in (torch.uint8, torch.float16) else stored
    if stored.dtype == torch.uint8:
        samples.div_(127.5).sub_(1)
    if flips is None:
        return samples
    return torch.where(flips.view(-1, *[1] * (samples.dim() - 1)), samples.flip(-1), samples)


def as_given(stored: Mapping[str, Tensor], flips: Tensor | None = None) -> dict[str, Tensor]:
    """What is given [n, ...] as nets see it: images scaled, and mirrored as their samples are."""
    return {
        name: as_samples(each, flips if each.dim() >= 4 else None) for name, each in stored.items()
    }


def digest(samples: Tensor) -> str:
    """SHA-256 over type, shape and every byte of samples [n, ...], in 64 hexadecimal digits; equal
    samples have equal ones, wherever they lie in memory.
    """
    found = hashlib.sha256(f"{samples.dtype} {list(samples.shape)} ".encode())
    size = max(samples[:1].numel() * samples.element_size(), 1)
    step = max(BLOCK // size, 1)
    for start in range(0, len(samples), step):
        block = samples[start : start + step].detach().cpu().contiguous()
        found.update(block.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
