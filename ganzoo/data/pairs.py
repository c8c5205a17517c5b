"""Two sets of pictures: of which each belongs to one of the other set, or of which none does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..contracts import Dataset
from ..errors import BadData, Incompatible
from .lazy import Items, Lazy, from_torch
from .source import open_source

PAIRED, UNPAIRED = ("A", "B"), ("trainA", "trainB")
Load = Callable[..., Dataset]  # load_pictures with the settings of a training


@dataclass(frozen=True)
class Layout:
    """Two folders of a folder or zip, and whether pictures of one name belong together."""

    a: str
    b: str
    paired: bool


def layout_of(path: Path | str, pairs: str) -> Layout | None:
    """The two sets in a folder or zip: A and B, paired if their names are equal, or trainA and
    trainB, unpaired; None where there are none.

    pairs: "auto", "yes" or "no", which insist, or "off". Raises BadData when A and B are to be
    paired and a picture has no partner.
    """
    if pairs == "off":
        return None
    with open_source(path) as source:
        names = [entry.name for entry in source.entries]
    above = _common(names)
    folders = {name.removeprefix(above).partition("/")[0] for name in names}
    if folders >= set(UNPAIRED):
        return Layout(above + UNPAIRED[0], above + UNPAIRED[1], paired=False)
    if folders != set(PAIRED):
        if pairs == "auto":
            return None
        raise BadData(f"{path}: has no folders {PAIRED[0]} and {PAIRED[1]}")
    first, second = (above + name for name in PAIRED)
    if pairs == "no":
        return Layout(first, second, paired=False)
    alone = sorted(_within(names, first) ^ _within(names, second))
    if alone and pairs == "auto":
        return None  # two classes that happen to be called so
    if alone:
        raise BadData(f"{path}: {alone[0]} is in one of {PAIRED[0]} and {PAIRED[1]} only")
    return Layout(first, second, paired=True)


def _common(names: Sequence[str]) -> str:
    """The top folder that all lie in, with its slash, unless it is one of those that are meant."""
    tops = {name.partition("/")[0] for name in names}
    inside = all("/" in name.partition("/")[2] for name in names)
    if len(tops) != 1 or not inside or tops & {*PAIRED, *UNPAIRED}:
        return ""
    return f"{tops.pop()}/"


def _within(names: Sequence[str], folder: str) -> set[str]:
    start = f"{folder}/"
    return {name.removeprefix(start) for name in names if name.startswith(start)}


def load_two(load: Load, layout: Layout, given: str) -> Dataset:
    """Both sets: the samples, and what is given with them ("image") or beside them ("other").

    load: what loads one, by the folder that it is `within`
    given: the set that is not drawn, "A" or "B"
    """
    first = load(within=layout.a, whole=layout.paired)
    second = load(within=layout.b, whole=layout.paired)
    source, drawn = (first, second) if given == "A" else (second, first)
    notes = list(dict.fromkeys([*source.notes, *drawn.notes]))  # of one table above both, once
    if not layout.paired:
        notes.append(f"unpaired: {len(source):,} pictures given, {len(drawn):,} to draw")
        return replace(drawn, labels=None, classes=(), notes=notes, others={"other": source})
    if len(source) != len(drawn):
        raise BadData(f"{len(first)} pictures in {layout.a} and {len(second)} in {layout.b}")
    notes.append(f"paired: {len(drawn):,} pictures, {given} is given")
    named = drawn if drawn.classes else source  # a table may lie beside either
    if isinstance(drawn, Lazy) and isinstance(source, Lazy):
        items = _Joined(drawn.items, source.items)
        return _lazily(items, notes, drawn, source, classes=named.classes)
    beside = {**source.given, **drawn.given, "image": source.samples}
    return replace(drawn, labels=named.labels, classes=named.classes, notes=notes, given=beside)


def _told(item: Any) -> dict[str, Any]:
    """What is said of a picture, and the picture as "sample"."""
    found = item if isinstance(item, dict) else {"sample": item[0], "label": item[1]}
    return {name: value for name, value in found.items() if value is not None}


class _Joined:
    """Pictures with those that belong to them."""

    def __init__(self, drawn: Items, source: Items) -> None:
        self.drawn, self.source = drawn, source

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, place: int) -> dict[str, Any]:
        source, drawn = _told(self.source[place]), _told(self.drawn[place])
        return source | drawn | {"image": source["sample"]}


class _Halved:
    """Pictures as their halves, of which one is given."""

    def __init__(self, pictures: Items, given: str) -> None:
        self.pictures, self.given = pictures, given

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, place: int) -> dict[str, Any]:
        found = _told(self.pictures[place])
        left, right = found["sample"].chunk(2, 2)
        source, drawn = (left, right) if self.given == "A" else (right, left)
        return found | {"sample": drawn, "image": source}


def _lazily(items: Items, notes: list[str], *sources: Lazy, classes: Sequence[str] = ()) -> Dataset:
    known = hashlib.sha256(" ".join(source.digest for source in sources).encode()).hexdigest()
    made = from_torch(items, classes=classes, digest=known)
    made.notes = notes
    return made


def split(dataset: Dataset, given: str) -> Dataset:
    """Pictures that hold a pair side by side: the left half is A, the right one B.

    Raises Incompatible for an odd width.
    """
    width = dataset.samples.shape[3]
    if width % 2:
        message = f"these pictures are {width} wide, which has no half"
        raise Incompatible(message, section="data", key="split", value=2)
    notes = [*dataset.notes, f"two pictures in each, side by side: {given} is given"]
    if isinstance(dataset, Lazy):
        items = _Halved(dataset.items, given)
        return _lazily(items, notes, dataset, classes=dataset.classes)
    left, right = dataset.samples.split(width // 2, 3)
    source, drawn = (left, right) if given == "A" else (right, left)
    beside = {**dataset.given, "image": source}
    return replace(dataset, samples=drawn, notes=notes, digest="", given=beside)
