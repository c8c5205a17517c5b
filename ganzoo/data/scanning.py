"""What a folder or zip of pictures holds, from the
headers of its files, and what training makes of it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median_low

from torch import Tensor

from ..errors import BadConfig, BadData, one_line, plain_line, printable
from .annotations import read_annotations
from .decoding import MODES, Header, read_header
from .resizing import check_resolution
from .source import Broken, Entry, Source, open_source
from .threads import in_chunks, processors

Progress = Callable[[int, int], None]
SMALLEST, LARGEST = 8, 256  # sides that the automatic resolution chooses between
MAX_PIXELS_STORED = (
    100  # pixels a byte on disk, of all pictures together; above MAX_PIXELS_FREE only
)
MAX_PIXELS_FREE = 256 << 20
NAMED = 5  # broken files named in a note; `ganzoo data inspect` names all


@dataclass(frozen=True)
class Scan:
    """The pictures of a folder or zip by their headers,
    class folders as labels, and what was left out.
    """

    path: Path
    kind: str  # "folder" or "zip"
    entries: Sequence[Entry]
    headers: Sequence[Header]  # one for each entry
    broken: Sequence[Broken]
    others: int  # files that do not claim to be pictures
    classes: Sequence[str]
    labels: Sequence[int] | None  # one for each entry, or None where nothing says them
    vectors: Tensor | None = field(default=None, compare=False)  # [entries, d]
    told: Sequence[str] = ()  # where labels and vectors come from

    def __len__(self) -> int:
        return len(self.entries)

    def kept(self, places: Sequence[int], failed: Sequence[Broken]) -> Scan:
        """The scan of the pictures at these places alone; raises BadData when there are none."""
        none_left(self.path, len(places), [*self.broken, *failed], self.others)
        labels = None if self.labels is None else [self.labels[i] for i in places]
        vectors = None if self.vectors is None else self.vectors[list(places)]
        entries, headers = [self.entries[i] for i in places], [self.headers[i] for i in places]
        return replace(
            self,
            entries=entries,
            headers=headers,
            labels=labels,
            vectors=vectors,
            broken=sorted([*self.broken, *failed]),
        )

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many pictures have each (height, width)."""
        return Counter((h.height, h.width) for h in self.headers)

    @property
    def modes(self) -> Counter[str]:
        """How many pictures have each of Pillow's modes."""
        return Counter(h.mode for h in self.headers)

    @property
    def animated(self) -> int:
        """Files with more than one frame."""
        return sum(h.animated for h in self.headers)

    @property
    def transparent(self) -> int:
        """Pictures with an alpha channel or a transparent colour."""
        return sum(h.alpha for h in self.headers)

    def resolution(self, asked: tuple[int, int] | None) -> tuple[int, int]:
        """(height, width) to train at: as asked, else the
        common size, else a power of two near the median.
        """
        if asked is not None:
            return check_resolution(asked)
        if len(self.sizes) == 1:
            return check_resolution(next(iter(self.sizes)))
        side = median_low([min(h.height, h.width) for h in self.headers])
        side = max(SMALLEST, min(LARGEST, 1 << (side.bit_length() - 1)))
        return side, side

    def channels(self, asked: int | None) -> int:
        """1, 3 or 4: as asked, else 4 with any transparency, 3 with any colour."""
        if asked is not None:
            return check_channels(asked)
        if self.transparent:
            return 4
        return 3 if any(h.colour for h in self.headers) else 1


def check_channels(channels: int) -> int:
    """The same, if pictures can have as many; raises BadConfig."""
    if channels not in MODES:
        raise BadConfig(
            "pictures have 1 (grey), 3 (RGB) or 4 (RGBA)",
            section="data",
            key="channels",
            value=channels,
        )
    return channels


def scan(path: Path | str, *, verify: bool = False, progress: Progress | None = None) -> Scan:
    """Read the headers of all pictures in a folder or
    zip; `verify` decodes each, to find truncated ones.

    Raises BadData when there is no such folder or zip, or no picture in it.
    """
    with open_source(path) as source:
        return survey(source, verify=verify, progress=progress)


def survey(source: Source, *, verify: bool = False, progress: Progress | None = None) -> Scan:
    """The scan of an open source."""

    def look(entries: Sequence[Entry]) -> list[tuple[Entry, Header | str]]:
        return [(entry, _look(source, entry, verify)) for entry in entries]

    entries: list[Entry] = []
    headers: list[Header] = []
    broken = list(source.refused)
    done = pixels = 0
    stored = source.stored
    most = max(MAX_PIXELS_FREE, MAX_PIXELS_STORED * stored)
    threads = (
        processors()
        if verify and sum(e.size for e in source.entries) > 4096 * len(source.entries)
        else 1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's opinions on metadata
        for results in in_chunks(look, source.entries, threads=threads, chunk=4 if verify else 64):
            for entry, found in results:
                if isinstance(found, str):
                    broken.append(Broken(entry.name, found))
                else:
                    entries.append(entry)
                    headers.append(found)
                    pixels += found.height * found.width
            if pixels > most:
                raise BadData(
                    f"{source.path}: {pixels >> 20} Mpixel or more in {stored >> 10} KiB; refused "
                    f"as decompression bombs"
                )
            done += len(results)
            if progress:
                progress(done, len(source.entries))
    none_left(source.path, len(entries), broken, source.others)
    names = [e.name for e in entries]
    told = read_annotations(source, names, [b.name for b in broken])
    classes, labels = told.classes, told.labels
    notes = list(told.notes)
    if labels is None and not told.none:
        classes, labels = class_folders(names)
        notes += [] if labels is None else [f"labels from {len(classes)} class folders"]
    broken, others = sorted(broken), source.others
    return Scan(
        source.path,
        source.kind,
        entries,
        headers,
        broken,
        others,
        classes,
        labels,
        told.vectors,
        notes,
    )


def none_left(path: Path, pictures: int, broken: Sequence[Broken], others: int) -> None:
    """Raise BadData when there is nothing to train on."""
    if pictures:
        return
    if broken:
        first = f"{printable(broken[0].name)}: {broken[0].reason}"
        raise BadData(f"{path}: none of its {len(broken)} pictures can be read ({first})")
    raise BadData(
        f"{path}: no pictures in it" + (f", only {others} other files" if others else ""),
        remedy="give a folder or zip of png, jpg, webp or other pictures",
    )


def class_folders(names: Sequence[str]) -> tuple[list[str], list[int] | None]:
    """Classes and labels when all names lie in two or more
    top folders; a common top folder is looked through.
    """
    parts = [name.split("/") for name in names]
    depth, shortest = 0, min((len(p) for p in parts), default=0)
    while depth + 1 < shortest and len({p[depth] for p in parts}) == 1:
        depth += 1
    if depth + 1 >= shortest:
        return [], None
    classes = sorted({p[depth] for p in parts})
    number = {name: i for i, name in enumerate(classes)}
    return [printable(name) for name in classes], [number[p[depth]] for p in parts]


def describe(found: Scan, resolution: tuple[int, int], channels: int, background: str) -> list[str]:
    """What training does with the pictures, in sentences."""
    height, width = resolution
    changed = len(found) - found.sizes[resolution]
    notes = [f"{len(found):,} pictures as {channels}x{height}x{width} (channels x height x width)"]
    if changed:
        notes.append(
            f"{changed:,} of another size are scaled to cover {height}x{width} and cropped to the "
            f"centre"
        )
    if found.transparent:
        does = (
            "keep it, black where nothing is seen" if channels == 4 else f"are laid on {background}"
        )
        notes.append(f"{found.transparent:,} with transparency {does}")
    if channels == 4 and found.transparent < len(found):
        notes.append(f"{len(found) - found.transparent:,} without transparency become opaque")
    if channels == 1 and (coloured := sum(h.colour for h in found.headers)):
        notes.append(f"{coloured:,} in colour become grey")
    if found.animated:
        notes.append(f"{found.animated:,} animated: their first frame")
    notes += found.told
    if found.others:
        notes.append(f"{found.others:,} other files left out")
    if found.broken:
        named = ", ".join(f"{printable(b.name)} ({b.reason})" for b in found.broken[:NAMED])
        more = f" and {len(found.broken) - NAMED:,} more" if len(found.broken) > NAMED else ""
        notes.append(f"{len(found.broken):,} broken left out: {named}{more}")
    return notes


def _look(source: Source, entry: Entry, verify: bool) -> Header | str:
    """The header of an entry, or why there is none."""
    try:
        with source.open(entry) as file:
            return read_header(file, verify=verify)
    except Exception as error:  # a foreign file may make a codec raise anything
        return reason(error)


def reason(error: Exception) -> str:
    """Why a picture cannot be used, short."""
    return plain_line(str(error)) if type(error) is ValueError and str(error) else one_line(error)
