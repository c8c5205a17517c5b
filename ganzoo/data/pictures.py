"""Any folder or zip of pictures as a data set, decoded once and kept in the cache."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..contracts import Dataset
from ..errors import BadData, one_line
from ..io.activity import LARGE, doing, mebibytes
from ..io.device_memory import planned_memory
from .cache import Writer, read_store, store_path
from .decoding import Pixels, decode, parse_background
from .lazy import from_torch
from .resizing import check_resolution
from .scanning import Progress, Scan, check_channels, describe, reason, survey
from .source import Broken, Entry, Source, open_source
from .threads import in_chunks, processors

RUN = 8 << 20  # bytes of pixels decoded as one piece of work, at most 64 pictures
THREADED = 64 * 64  # pixels; below, threads wait for each other longer than they work


@dataclass(frozen=True)
class _Plan:
    """How pictures become samples."""

    resolution: tuple[int, int]
    channels: int
    background: str
    progress: Progress | None
    whole: bool = False

    def check(self, kept: Scan) -> None:
        """Raises BadData for a picture that cannot be read where all must be."""
        for broken in kept.broken[:1] if self.whole else ():
            raise BadData(f"{kept.path}: {broken.name}: {broken.reason}; its partner has no other")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, *self.resolution)

    def notes(self, kept: Scan) -> list[str]:
        """What was done, for the person to read."""
        return describe(kept, self.resolution, self.channels, self.background)


def load_pictures(
    path: Path | str,
    *,
    resolution: tuple[int, int] | None = None,
    channels: int | None = None,
    background: str = "white",
    progress: Progress | None = None,
    within: str = "",
    whole: bool = False,
    lazy: bool = False,
) -> Dataset:
    """The pictures of a folder or zip, [n, channels, *resolution] uint8, mapped from the cache.

    Channels are 4 if any picture has transparency, else 3 if any has colour, else 1; the resolution
    is the size that all have, else the largest power of two up to the median shorter side, 8 to
    256. Other sizes are scaled to cover (Lanczos) and cropped to the centre; transparency is laid
    on `background` when fewer than four channels are asked. Class folders become labels, unless a
    table beside the pictures (labels.json, labels.csv) says them; vectors are given as "vector".
    `progress(done, all)` is told of pictures decoded. What was done stands in the notes.

    within: the folder of the folder or zip whose pictures are meant, all of them if empty
    whole: whether every picture must be readable
    lazy: whether pictures are decoded each time that they are asked for, without a cache; so are
        those for which neither disk nor memory have room

    Raises BadData when there is no such folder or zip, or no
    readable picture in it; BadConfig for impossible options.
    """
    colour = parse_background(background)
    resolution = None if resolution is None else check_resolution(resolution)
    channels = None if channels is None else check_channels(channels)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(path))
        source.keep_within(within, paired=whole)
        key = [resolution, channels, colour, *([within] if within else []), *([True] * whole)]
        store = store_path(source.identity, key)
        ready = None if lazy else read_store(store)
        if ready is not None:
            return ready
        damaged = ["the cached pictures were damaged and are made again"] if store.exists() else []
        doing(f"reading the headers of {len(source.entries):,} pictures")
        found = survey(source)
        plan = _Plan(
            found.resolution(resolution), found.channels(channels), background, progress, whole
        )
        made = None if lazy else _kept(source, found, plan, store)
        if made is None:
            stack.pop_all()  # the source stays open
            return _lazily(source, found, plan)
        made.notes = [*damaged, *made.notes]
        return made


def _kept(source: Source, found: Scan, plan: _Plan, store: Path) -> Dataset | None:
    """The pictures decoded, in the cache or, if that cannot be used, in memory; None where neither
    has room.
    """
    size = len(found) * math.prod(plan.shape)
    form = "x".join(map(str, plan.shape))
    doing(f"decoding {len(found):,} pictures as {form}: {mebibytes(size)}", now=size > LARGE)
    try:
        return _into_store(source, found, plan, store)
    except OSError as error:
        why = error.strerror or one_line(error)
    free = planned_memory(torch.device("cpu"))
    if free is not None and size > free:
        return None
    made = _into_memory(source, found, plan)
    unused = f"kept in memory: the cache {store.parent} cannot be used ({why})"
    made.notes = [*made.notes, unused]
    return made


def _into_store(source: Source, found: Scan, plan: _Plan, store: Path) -> Dataset:
    """Decode into the cache; raises OSError when it cannot be written."""
    good: list[int] = []
    broken: list[Broken] = []
    with Writer(store, plan.shape, len(found)) as writer:
        for pixels, places, failed in _decoded(source, found, plan):
            writer.write(pixels)
            good += places
            broken += failed
        kept = found.kept(good, broken)
        plan.check(kept)
        writer.commit(_labels(kept), kept.classes, plan.notes(kept), kept.vectors)
    ready = read_store(store)
    if ready is None:
        raise OSError("what was written cannot be read back")
    return ready


def _into_memory(source: Source, found: Scan, plan: _Plan) -> Dataset:
    """Decode into memory; raises BadData when it is too small."""
    try:
        samples = torch.empty(len(found), *plan.shape, dtype=torch.uint8)
    except RuntimeError:
        size = len(found) * math.prod(plan.shape) / 2**30
        raise BadData(
            f"{found.path}: {size:.1f} GiB of pixels do not fit in memory; take a smaller "
            f"resolution"
        ) from None
    good: list[int] = []
    broken: list[Broken] = []
    for pixels, places, failed in _decoded(source, found, plan):
        samples[len(good) : len(good) + len(places)] = torch.from_numpy(pixels)
        good += places
        broken += failed
    kept = found.kept(good, broken)
    plan.check(kept)
    given = {} if kept.vectors is None else {"vector": kept.vectors}
    notes = plan.notes(kept)
    return Dataset(samples[: len(good)], _labels(kept), kept.classes, notes, given=given)


class _Pictures:
    """The pictures of a scan, decoded when they are asked for."""

    def __init__(self, source: Source, found: Scan, plan: _Plan) -> None:
        self.source, self.found, self.plan = source, found, plan
        self.colour = parse_background(plan.background)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, place: int) -> Any:
        pixels = np.empty(self.plan.shape, dtype=np.uint8)
        entry = self.found.entries[place]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = _decode_into(pixels, self.source, entry, self.plan, self.colour)
        if error is not None:
            raise BadData(f"{self.found.path}: {entry.name}: {error}")
        labels, vectors = self.found.labels, self.found.vectors
        label = None if labels is None else labels[place]
        if vectors is None:
            return torch.from_numpy(pixels), label
        return {"sample": torch.from_numpy(pixels), "label": label, "vector": vectors[place]}


def _lazily(source: Source, found: Scan, plan: _Plan) -> Dataset:
    """Pictures that stay in their files; one that cannot be decoded ends what asks for it."""
    plan.check(found)
    made = from_torch(_Pictures(source, found, plan), classes=found.classes, digest=source.identity)
    made.notes = [*plan.notes(found), "pictures are decoded each time that they are asked for"]
    return made


def _labels(kept: Scan) -> torch.Tensor | None:
    return None if kept.labels is None else torch.tensor(kept.labels)


def _decoded(
    source: Source, found: Scan, plan: _Plan
) -> Iterator[tuple[Pixels, list[int], list[Broken]]]:
    """Runs of pictures [k, c, h, w], their places in the scan, and those that failed."""

    colour = parse_background(plan.background)

    def run(places: Sequence[int]) -> tuple[Pixels, list[int], list[Broken]]:
        pixels = np.empty((len(places), *plan.shape), dtype=np.uint8)
        good: list[int] = []
        failed: list[Broken] = []
        for place in places:
            error = _decode_into(pixels[len(good)], source, found.entries[place], plan, colour)
            if error is None:
                good.append(place)
            else:
                failed.append(Broken(found.entries[place].name, error))
        return pixels[: len(good)], good, failed

    pixels = sum(h.height * h.width for h in found.headers) / len(found)
    # Samples of many megabytes are decoded one by one: results wait for their turn in memory.
    threads = processors() if pixels > THREADED and math.prod(plan.shape) <= RUN else 1
    chunk = max(1, min(64, RUN // math.prod(plan.shape)))
    done = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for result in in_chunks(run, range(len(found)), threads=threads, chunk=chunk):
            done += len(result[1]) + len(result[2])
            if plan.progress:
                plan.progress(done, len(found))
            yield result


def _decode_into(
    target: Pixels, source: Source, entry: Entry, plan: _Plan, colour: tuple[int, int, int]
) -> str | None:
    """Fill `target` [c, h, w]; the reason if the picture cannot be used."""
    try:
        with source.open(entry) as file:
            target[:] = decode(file, plan.resolution, plan.channels, colour)
    except Exception as error:  # a foreign file may make a codec raise anything
        return reason(error)
    return None
