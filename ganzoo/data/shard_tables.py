"""Which samples a shard holds: members of a tar that share a name up to its first dot."""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from ..errors import one_line, printable
from ..io.untrusted_files import open_regular, parse_json
from .annotations import MAX_CLASSES
from .kept import kept
from .source import MAX_BYTES, PICTURE, Broken
from .tars import Damaged, Member, members

VERSION = "ganzoo-shard-table-1"
MAX_SAMPLES = 500_000  # of one shard
MAX_LABEL = 256  # bytes of a .cls
MAX_JSON = 1 << 20
NAMED = 20  # members that are left out, named
SLOW = 0.2  # seconds that reading a shard's headers must take for its table to be kept
MEMBER = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)  # key, and what it holds
FIRST, SECOND, TOLD = range(3)  # columns of a table: a picture or A of a pair, B, the JSON


class Unusable(ValueError):
    """A sample that cannot be used, and why."""


@dataclass(frozen=True)
class Table:
    """The samples of a shard.

    places: int64 [n, 3, 2], offset and size of the picture (A of a pair), of B and of the JSON, 0
        where there is none
    labels: int64 [n], the number that is written, or the place of a name in `names`; -1 for none
    left: members that are left out, the first of them; lost: samples that are; others: files of no
        sample
    """

    places: Tensor
    labels: Tensor
    names: tuple[str, ...] = ()
    left: tuple[Broken, ...] = ()
    lost: int = 0
    others: int = 0

    def __len__(self) -> int:
        return len(self.places)


class _Sample(NamedTuple):
    places: list[int]
    label: int | str | None


@dataclass
class _Found:
    """What was found so far; labels are numbers, those of names in the order in which they came."""

    places: array[int] = field(default_factory=lambda: array("q"))
    labels: array[int] = field(default_factory=lambda: array("q"))
    names: dict[str, int] = field(default_factory=dict)
    numbers: bool = False
    left: list[Broken] = field(default_factory=list)
    lost: int = 0
    others: int = 0

    def take(self, sample: _Sample) -> None:
        """Add a sample."""
        label = sample.label
        if isinstance(label, str):
            label = self.names.setdefault(label, len(self.names))
        elif label is not None:
            self.numbers = True
        if self.names and (self.numbers or len(self.names) > MAX_CLASSES):
            many = f"more than {MAX_CLASSES:,} classes"
            raise Damaged("labels are numbers and names" if self.numbers else many)
        self.places.extend(sample.places)
        self.labels.append(-1 if label is None else label)

    def leave(self, name: str, reason: str) -> None:
        """Count a sample that is left out."""
        self.lost += 1
        if len(self.left) < NAMED:
            self.left.append(Broken(printable(name), reason))


def read_table(path: Path) -> Table:
    """The table of a shard on this machine, from the cache if it was read before.

    Raises Damaged for a file that is no tar, or damaged; OSError where it cannot be read.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        about = os.fstat(file.fileno())
        key = [VERSION, str(path.resolve()), about.st_size, about.st_mtime_ns]

        def make() -> dict[str, Tensor]:
            return _as_tensors(_scanned(file, about.st_size))

        return _of_tensors(kept("shard-tables", key, make, _fits, SLOW))


def label_in(tree: Any) -> int | str | None:
    """The label that a sample's JSON says; None for none."""
    found = tree.get("label") if isinstance(tree, dict) else None
    if found is None:
        return None
    if isinstance(found, str) and 0 < len(found) <= MAX_LABEL:
        return found
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 31:
        return found
    raise Unusable("a label that is no whole number from 0, and no short name")


def told(content: bytes) -> Any:
    """What a sample's JSON says."""
    try:
        return parse_json(content)
    except ValueError as error:
        raise Unusable(f"no JSON: {printable(str(error))}") from None


def _scanned(file: BinaryIO, length: int) -> Table:
    found = _Found()
    for key, group in groupby(_named(file, length, found), lambda each: each[0]):
        if len(found.labels) >= MAX_SAMPLES:
            raise Damaged(f"more than {MAX_SAMPLES:,} samples")
        try:
            sample = _sample(file, ((kind, member) for _, kind, member in group))
        except Unusable as error:
            found.leave(key, str(error))
            continue
        if sample is None:
            found.others += 1
        else:
            found.take(sample)
    places, labels = (torch.tensor(each, dtype=torch.long) for each in (found.places, found.labels))
    names = tuple(found.names)
    left = tuple(found.left)
    return Table(places.view(-1, 3, 2), labels, names, left, found.lost, found.others)


def _named(file: BinaryIO, length: int, found: _Found) -> Iterator[tuple[str, str, Member]]:
    """(key, what it holds, member) of all members that are read."""
    for member in members(file, length):
        match = MEMBER.fullmatch(member.name)
        if member.reason is not None:
            found.leave(member.name, member.reason)
        elif match is None:
            found.others += 1
        else:
            yield match[1], match[2].lower(), member


def _sample(file: BinaryIO, group: Iterable[tuple[str, Member]]) -> _Sample | None:
    """The sample that members of one key make; None where none of them is of one."""
    of: dict[str, Member] = {}
    for kind, member in group:
        role = _role(kind)
        if role is None:
            continue
        if role in of:
            raise Unusable("the same twice")
        _check_size(role, member)
        of[role] = member
    if not of:
        return None
    if ("a" in of) != ("b" in of):
        raise Unusable("a picture without its partner")
    drawn = of.get("a") or of.get("picture")
    if drawn is None:
        raise Unusable("no picture")
    places = [n for each in (drawn, of.get("b"), of.get("json")) for n in _place(each)]
    return _Sample(places, _label(file, of))


def _role(kind: str) -> str | None:
    """What a member is of its sample: "picture", "a", "b", "cls", "json"; None for another file."""
    if kind in ("cls", "json"):
        return kind
    side, dot, rest = kind.partition(".")
    if not dot:
        return "picture" if PICTURE.search(f".{kind}") else None
    return side if side in ("a", "b") and PICTURE.fullmatch(f".{rest}") else None


def _check_size(role: str, member: Member) -> None:
    largest = {"cls": MAX_LABEL, "json": MAX_JSON}.get(role, MAX_BYTES)
    if not 0 < member.size <= largest:
        raise Unusable("empty" if not member.size else f"larger than {largest:,} bytes")


def _place(member: Member | None) -> tuple[int, int]:
    return (0, 0) if member is None else (member.offset, member.size)


def _label(file: BinaryIO, of: dict[str, Member]) -> int | str | None:
    """What .cls says, else what the JSON does."""
    in_json = label_in(told(_content(file, of["json"]))) if "json" in of else None
    if "cls" not in of:
        return in_json
    try:
        text = _content(file, of["cls"]).decode().strip()
    except UnicodeDecodeError:
        raise Unusable("a label that is no text") from None
    if re.fullmatch(r"[0-9]{1,9}", text):
        return int(text)
    if not text:
        raise Unusable("a label without a letter")
    return text


def _content(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(member.size)


def _as_tensors(table: Table) -> dict[str, Tensor]:
    about = json.dumps([table.names, table.left, table.lost, table.others]).encode()
    plain = torch.frombuffer(bytearray(about), dtype=torch.uint8)
    return {"places": table.places, "labels": table.labels, "about": plain}


def _of_tensors(tensors: Any) -> Table:
    names, left, lost, others = json.loads(bytes(tensors["about"].numpy()))
    broken = tuple(Broken(*each) for each in left)
    return Table(tensors["places"], tensors["labels"], tuple(names), broken, lost, others)


def _fits(tensors: Any) -> bool:
    try:
        table = _of_tensors(tensors)
    except (KeyError, TypeError, ValueError):
        return False
    return table.places.shape[1:] == (3, 2) and table.labels.shape == table.places.shape[:1]


def failed(error: Exception) -> str:
    """Why a shard or a member of it cannot be read, short."""
    if isinstance(error, Unusable | Damaged):
        return str(error)
    return error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
