"""The pictures of shards as a data set: read and decoded when a batch is gathered, in an order that
stays near, with what cannot be read left out within a share.
"""

from __future__ import annotations

import hashlib
import io
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ..contracts import Batch, Dataset
from ..errors import BadData, printable
from ..io.activity import doing
from ..spec import Runs
from .annotations import LARGEST, MAX_CLASSES, MAX_VECTOR
from .decoding import Header, decode, parse_background, read_header
from .fetching import Fetched, is_url, shown_url
from .lazy import Lazy, from_torch
from .resizing import check_resolution
from .scanning import NAMED, Scan, check_channels, reason
from .shard_tables import FIRST, SECOND, TOLD, Table, Unusable, told
from .shards import MAX_SHARDS, Shard, open_shards
from .source import Broken
from .threads import in_chunks, processors

MAX_SAMPLES = 50_000_000  # of all shards: a table takes 56 bytes for each
LOOKED = 256  # pictures whose headers say the resolution and channels of all
READERS = 16  # threads that read and decode, at least: they wait for the disk more than they work
GIB = 1 << 30


@dataclass(eq=False, repr=False)
class Shards(Lazy):
    """Samples in shards.

    lengths: samples of each shard; window: shards that are read at a time; near: those of the
        shards that are here, or of the first
    """

    lengths: Sequence[int] = ()
    window: int = 1
    near: int = 0
    losses: _Losses | None = None

    @property
    def at_hand(self) -> int:
        """How many of the first samples are to be had soon."""
        return self.near

    @property
    def runs(self) -> Runs:
        """Samples that lie together, and how many such runs are read at a time."""
        return Runs(self.lengths, self.window)

    def gather(self, indices: Tensor) -> Batch:
        """The samples at these indices [n], another one in the place of each that cannot be read;
        says which those are. Raises BadData where they are more than the share that may be.
        """
        found = super().gather(indices)
        news = self.losses.news() if self.losses else []
        if news:
            doing(f"left out: {_some(news)}", now=True)
        return found


def load_shards(
    path: Path | str,
    *,
    resolution: tuple[int, int] | None = None,
    channels: int | None = None,
    background: str = "white",
    given: Literal["A", "B"] = "A",
    skip: Annotated[float, Field(ge=0, lt=1)] = 0.01,
    window: Annotated[int, Field(ge=1, le=MAX_SHARDS)] = 16,
    cache: Annotated[float, Field(gt=0, le=1e6)] = 20.0,
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0,
) -> Dataset:
    """The pictures of shards, [n, channels, *resolution] uint8, decoded when they are asked for.

    A shard is a tar; members of one name up to its first dot are a sample: a picture
    (KEY.png, KEY.jpg, ...), or a pair (KEY.a.png and KEY.b.png), with a label in KEY.cls or as
    "label" in KEY.json, where "vector" may be numbers that are given with it. Resolution and
    channels are chosen as `load_pictures` does, by the headers of some pictures.

    path: a folder of shards, one shard, or a pattern of names or addresses (http, https) such as
        shards/{000..099}.tar; an index.json beside them is held to
    given: the picture of a pair that is not drawn
    skip: share of the samples that may be left out because they cannot be read
    window: shards whose samples are shuffled together
    cache: GiB that shards from addresses may take in the cache; timeout: seconds that a server may
        be silent

    Raises BadData where there are no shards or no samples, or more than the share cannot be read.
    """
    parse_background(background)
    resolution = None if resolution is None else check_resolution(resolution)
    channels = None if channels is None else check_channels(channels)
    where = shown_url(str(path)) if is_url(str(path)) else str(path)
    shards, classes = open_shards(path, Fetched(int(cache * GIB), timeout))
    doing(f"reading which samples {len(shards):,} shards hold")
    kept, losses, others = _readable(shards, where, skip)
    labels = _Labels.of(kept, classes, where)
    looked = _look(kept, where)
    plan = _Plan(
        looked.resolution(resolution), looked.channels(channels), parse_background(background)
    )
    items = _Samples(kept, plan, labels, given, losses)
    made = from_torch(
        items,
        classes=labels.classes,
        threads=max(READERS, processors()),
        digest=_digest(kept),
    )
    made.notes = [
        *_notes(items, looked, losses, others),
        f"decoded each time that they are asked for, from {min(window, len(kept)):,} of "
        f"{len(kept):,} shards at a time",
    ]
    about = {each.name: getattr(made, each.name) for each in fields(cast(Lazy, made))}
    lengths = [shard.count() for shard in kept]
    near = sum(lengths) if kept[0].path else lengths[0]
    return Shards(**about, lengths=lengths, window=window, near=near, losses=losses)


class _Plan(NamedTuple):
    """How pictures become samples."""

    resolution: tuple[int, int]
    channels: int
    colour: tuple[int, int, int]

    def decoded(self, content: bytes) -> Tensor:
        """A picture [c, h, w]; raises Unusable."""
        try:
            pixels = decode(io.BytesIO(content), *self)
        except Exception as error:  # a foreign file may make a codec raise anything
            raise Unusable(reason(error)) from None
        return torch.from_numpy(np.array(pixels))  # a copy: Pillow's memory is read-only


class _Losses:
    """Samples that cannot be read, of all that there are, and the share that may be."""

    def __init__(self, where: str, share: float) -> None:
        self.where, self.share = where, share
        self.whole = self.lost = 0
        self.named: list[Broken] = []
        self._known: set[tuple[int, int]] = set()
        self._untold: list[Broken] = []
        self._lock = threading.Lock()

    def add(self, lost: Broken, count: int = 1) -> None:
        """Count so many, and name them."""
        self.lost += count
        self.named.append(lost)

    def meet(self, place: tuple[int, int], lost: Broken, count: int) -> None:
        """Count what turns out to be unusable when it is read; raises BadData beyond the share."""
        with self._lock:
            if place not in self._known:
                self._known.add(place)
                self._untold.append(lost)
                self.add(lost, count)
            self.check()

    def news(self) -> list[Broken]:
        """What was met since this was asked last."""
        with self._lock:
            told, self._untold = self._untold, []
        return told

    def check(self) -> None:
        """Raises BadData where more than the share are lost."""
        if self.lost <= self.share * self.whole:
            return
        last = self.named[-1]
        allowed = math.ceil(1e4 * self.lost / self.whole) / 1e4
        raise BadData(
            f"{self.where}: {self.lost:,} of {self.whole:,} samples cannot be read, as "
            f"{last.name} ({last.reason}), more than the share of {self.share:g}",
            remedy="fix them, or set" if allowed < 1 else "",
            change={"data.skip": allowed} if allowed < 1 else {},
        )


def _readable(shards: list[Shard], where: str, share: float) -> tuple[list[Shard], _Losses, int]:
    """The shards that can be read, what is lost, and how many files are of no sample."""

    def look(some: Sequence[Shard]) -> list[tuple[Shard, int | Unusable]]:
        found: list[tuple[Shard, int | Unusable]] = []
        for shard in some:
            try:
                found.append((shard, shard.count()))
            except Unusable as error:
                found.append((shard, error))
        return found

    kept: list[Shard] = []
    losses, whole, others = _Losses(where, share), 0, 0
    bad: list[tuple[Shard, Unusable]] = []
    for results in in_chunks(look, shards, threads=READERS, chunk=1):
        for shard, found in results:
            if isinstance(found, Unusable):
                bad.append((shard, found))
                continue
            kept.append(shard)
            whole += found
            if whole > MAX_SAMPLES:
                raise BadData(f"{where}: more than {MAX_SAMPLES:,} samples")
            if shard.known is not None:
                others += shard.known.others
                losses.lost += shard.known.lost
                losses.named += shard.known.left
    if not kept:
        raise BadData(f"{where}: no shard can be read, as {bad[0][0].name}: {bad[0][1]}")
    for shard, error in bad:
        usual = -(-whole // len(kept))
        losses.add(Broken(shard.name, str(error)), shard.listed.count if shard.listed else usual)
    losses.whole = whole + losses.lost
    losses.check()
    return kept, losses, others


@dataclass
class _Labels:
    """The classes of all shards, in the order of their labels."""

    classes: Sequence[str]

    @classmethod
    def of(cls, shards: Sequence[Shard], named: Sequence[str], where: str) -> _Labels:
        """Those that an index names, else those that the samples have."""
        tables = [shard.known for shard in shards if shard.known is not None]
        if len(named) > MAX_CLASSES:
            raise BadData(f"{where}: {len(named):,} classes; at most {MAX_CLASSES:,} are taken")
        if named or len(tables) < len(shards):
            return cls([printable(name) for name in named])
        without = sum(int((table.labels < 0).sum()) for table in tables)
        if without == sum(map(len, tables)):
            return cls(())
        if without:
            message = f"{where}: {without:,} samples have no label, and others have"
            raise BadData(message, remedy="give all of them one, or none")
        names = {name for table in tables for name in table.names}
        if names and not all(table.names for table in tables):
            raise BadData(f"{where}: labels are numbers and names", remedy="give one kind")
        count = len(names) or 1 + max(int(table.labels.max()) for table in tables)
        if count > MAX_CLASSES:
            raise BadData(f"{where}: {count:,} classes; at most {MAX_CLASSES:,} are taken")
        return cls(sorted(names) if names else [str(number) for number in range(count)])

    def label(self, table: Table, row: int) -> int | None:
        """The label of a sample; raises Unusable where it is none of these."""
        if not self.classes:
            return None
        label = int(table.labels[row])
        if label >= 0 and table.names:
            label = self._numbers.get(table.names[label], -1)
        if not 0 <= label < len(self.classes):
            raise Unusable("without a label of these classes")
        return label

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}


class _Samples:
    """The samples of shards, decoded when they are asked for."""

    def __init__(
        self, shards: Sequence[Shard], plan: _Plan, labels: _Labels, given: str, losses: _Losses
    ) -> None:
        self.shards, self.plan, self.labels, self.given = shards, plan, labels, given
        self.losses = losses
        self.ends = np.cumsum([shard.count() for shard in shards])
        self.form: tuple[bool, int] | None = None  # paired, numbers of a vector: as the first is

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A sample, the next one that can be read in the place of one that cannot."""
        place = index
        for _ in range(len(self)):
            number = int(np.searchsorted(self.ends, place, side="right"))
            shard, row = (
                self.shards[number],
                place - int(self.ends[number]) + self.shards[number].count(),
            )
            try:
                table = shard.table()
            except Unusable as error:
                self.losses.meet((number, -1), Broken(shard.name, str(error)), shard.count())
                place = int(self.ends[number]) % len(self)
                continue
            try:
                return self._sample(shard, table, row)
            except Unusable as error:
                name = f"{shard.name}: {shard.name_of(int(table.places[row, FIRST, 0]))}"
                self.losses.meet((number, row), Broken(name, str(error)), 1)
                place = (place + 1) % len(self)
        raise BadData(f"{self.losses.where}: none of its samples can be read")

    def _sample(self, shard: Shard, table: Table, row: int) -> dict[str, Any]:
        places = table.places[row].tolist()
        label = self.labels.label(table, row)
        vector = self._vector(shard, places)
        paired = places[SECOND][1] > 0
        if self.form is not None and self.form != (paired, len(vector)):
            raise Unusable("of another form than the others")
        pictures = [
            self.plan.decoded(shard.read(places[column]))
            for column in ((FIRST, SECOND) if paired else (FIRST,))
        ]
        if self.given == "A":
            pictures.reverse()
        self.form = (paired, len(vector))
        found: dict[str, Any] = {"sample": pictures[0], "label": label}
        if paired:
            found["image"] = pictures[1]
        return found | ({"vector": torch.tensor(vector)} if vector else {})

    def _vector(self, shard: Shard, places: Sequence[Sequence[int]]) -> list[float]:
        """The numbers that are given with a sample."""
        tree = told(shard.read(places[TOLD])) if places[TOLD][1] else None
        found = tree.get("vector", []) if isinstance(tree, dict) else []
        if not (isinstance(found, list) and len(found) <= MAX_VECTOR):
            raise Unusable(f"a vector that is no list of at most {MAX_VECTOR:,} numbers")
        if not all(type(n) in (int, float) and abs(n) <= LARGEST for n in found):
            raise Unusable(f"a vector that holds more than numbers up to {LARGEST:,.0f}")
        return [float(n) for n in found]


def _look(shards: Sequence[Shard], where: str) -> Scan:
    """The headers of some pictures, spread over the shards that are on this machine."""
    near = [shard for shard in shards if shard.path or shard.known] or shards[:1]
    ends = np.cumsum([shard.count() for shard in near])
    count = int(ends[-1])
    chosen = np.unique(np.linspace(0, count - 1, min(LOOKED, count)).astype(np.int64))

    def look(places: Sequence[int]) -> list[Header]:
        found = []
        for place in places:
            number = int(np.searchsorted(ends, place, side="right"))
            shard = near[number]
            try:
                rows = shard.table().places[place - int(ends[number]) + shard.count()]
                for row in rows[[FIRST, SECOND]].tolist():
                    if row[1]:
                        found.append(read_header(io.BytesIO(shard.read(row))))
            except BadData:
                raise
            except Exception:  # it is named when a training meets it
                continue
        return found

    results = in_chunks(look, chosen.tolist(), threads=READERS, chunk=8)
    headers = [header for some in results for header in some]
    if not headers:
        raise BadData(f"{where}: none of its pictures can be read")
    return Scan(Path(where), "shards", (), headers, (), 0, (), None)


def _notes(items: _Samples, looked: Scan, losses: _Losses, others: int) -> list[str]:
    """What was done, for the person to read."""
    height, width = items.plan.resolution
    size = f"{items.plan.channels}x{height}x{width}"
    notes = [f"{len(items):,} samples as {size} (channels x height x width)"]
    unlike = len(looked.headers) - looked.sizes[items.plan.resolution]
    if unlike:
        notes.append(
            f"{unlike:,} of {len(looked.headers):,} pictures looked at are of another size; such "
            f"are scaled to cover {height}x{width} and cropped to the centre"
        )
    kinds = {(header.alpha, header.colour) for header in looked.headers}
    if len(kinds) > 1:
        notes.append(f"pictures of several kinds (grey, colours, alpha) become {size[0]} channels")
    if items.labels.classes:
        notes.append(f"labels of {len(items.labels.classes):,} classes")
    if items.form and items.form[0]:
        notes.append(f"paired: {items.given} is given")
    if others:
        notes.append(f"{others:,} other files left out")
    if losses.lost:
        notes.append(f"{losses.lost:,} samples left out: {_some(losses.named)}")
    return notes


def _some(broken: Sequence[Broken]) -> str:
    """The first of what is broken, by name."""
    named = ", ".join(f"{each.name} ({each.reason})" for each in broken[:NAMED])
    return named + (f" and {len(broken) - NAMED:,} more" if len(broken) > NAMED else "")


def _digest(shards: Sequence[Shard]) -> str:
    """What tells these data from others, wherever they lie."""
    known = "\n".join(f"{shard.name} {shard.count()} {shard.known_by()}" for shard in shards)
    return hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()
