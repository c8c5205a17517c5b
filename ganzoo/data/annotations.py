"""Labels and vectors of pictures, from tables that lie beside them: labels.json, labels.csv,
vectors.csv, and StyleGAN's dataset.json. Somebody else wrote them: their size, rows and values are
bounded.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any

import torch
from torch import Tensor

from ..errors import BadData, one_line, printable
from ..io.untrusted_files import parse_json
from .source import Entry, Source, folder_of

MAX_TABLE = 64 << 20  # bytes
MAX_CLASSES = 100_000
MAX_VECTOR = 4096  # numbers
LARGEST = 1e6  # of these
Row = tuple[str, list[Any]]  # a picture's name, and what is said of it


@dataclass(frozen=True)
class Told:
    """What tables say of pictures, in these pictures' order.

    classes: names; labels [n] of them; vectors [n, d] float32
    """

    classes: Sequence[str] = ()
    labels: Sequence[int] | None = None
    vectors: Tensor | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    none: bool = False  # whether a table says that there are no labels


def read_annotations(source: Source, names: Sequence[str], broken: Sequence[str]) -> Told:
    """What the tables of a folder or zip say of the pictures of these names.

    A table lies above all of its pictures, and names them as they lie below it; above two sets, it
    may say nothing of one, and of pairs give the name that both have. In labels.json,
    {"labels": [["a.png", 3], ...]} gives classes by number, and lists in the place of numbers give
    vectors; null in the place of the list says that there are no labels, whatever the folders. A
    dataset.json is read likewise, and passed over where it has no "labels": other programs write
    files of that name. A row of labels.csv is a name and a class, by number or by name, or a
    vector; one of vectors.csv a name and a vector.

    broken: names of pictures that are left out. Raises BadData for a table that cannot be read so,
    and for pictures of which it says nothing.
    """
    found: dict[str, tuple[str, list[list[Any]]]] = {}
    notes: list[str] = []
    none = False
    for entry, reason in source.tables:
        where = f"{source.path}: {printable(entry.name)}"
        if reason is not None:
            raise BadData(f"{where}: {reason}")
        rows = _rows(source, entry, where)
        if rows is None:
            none = True
            continue
        if not rows:
            continue
        of_each, unknown = _in_order(rows, entry.name, source, names, broken, where)
        if not of_each:
            continue
        vectors = entry.name.endswith("vectors.csv") or _are_vectors(of_each)
        kind = "vectors" if vectors else "labels"
        if kind in found:
            raise BadData(f"{where}: {printable(found[kind][0])} has {kind} already; keep one")
        found[kind] = entry.name, of_each
        if unknown:
            more = f"{len(unknown):,} names in {printable(entry.name)} are of no picture here"
            notes.append(f"{more}, as {printable(unknown[0])}")
    classes, labels, vectors_ = (), None, None
    if "labels" in found:
        name, of_each = found["labels"]
        classes, labels = _classes(of_each, f"{source.path}: {printable(name)}")  # type: ignore[assignment]
        notes.append(f"labels from {printable(name)}: {len(classes)} classes")
    if "vectors" in found:
        name, of_each = found["vectors"]
        vectors_ = _vectors(of_each, f"{source.path}: {printable(name)}")
        notes.append(f"vectors of {vectors_.shape[1]:,} numbers from {printable(name)}")
    return Told(classes, labels, vectors_, notes, none and "labels" not in found)


def _rows(source: Source, entry: Entry, where: str) -> list[Row] | None:
    """The rows of a table, of which a stranger's has none; None for one that says that there are no
    labels.
    """
    if entry.size > MAX_TABLE:
        raise BadData(f"{where}: larger than {MAX_TABLE >> 20} MiB")
    try:
        with source.open(entry) as file:
            content = file.read(MAX_TABLE + 1)
        if len(content) > MAX_TABLE:
            raise BadData(f"{where}: larger than {MAX_TABLE >> 20} MiB")
        if not entry.name.endswith(".json"):
            return _csv_rows(content)
        tree = parse_json(content)
        named = isinstance(tree, dict) and "labels" in tree
        ours = not entry.name.endswith("dataset.json") or named
        return _json_rows(tree) if ours else []
    except BadData:
        raise
    except JSONDecodeError as error:
        raise BadData(f"{where}: no JSON: {printable(str(error))}") from None
    except Exception as error:  # a foreign file may make a codec raise anything
        reason = str(error) if type(error) is ValueError else one_line(error)
        raise BadData(f"{where}: {printable(reason)}") from None


def _json_rows(tree: Any) -> list[Row] | None:
    listed = tree.get("labels", ()) if isinstance(tree, dict) else ()
    if listed is None:
        return None
    rows: list[Row] = []
    for pair in listed if isinstance(listed, list) and listed else [None]:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise ValueError('no {"labels": [["NAME.png", LABEL], ...]}')
        rows.append((pair[0], pair[1] if isinstance(pair[1], list) else [pair[1]]))
    many = any(isinstance(pair[1], list) for pair in listed)
    if many and not all(isinstance(pair[1], list) for pair in listed):
        raise ValueError("numbers and lists of them; give one kind")
    return [(name, [list(values)] if many else values) for name, values in rows]


def _csv_rows(content: bytes) -> list[Row]:
    lines = content.decode("utf-8-sig").splitlines()
    rows: list[Row] = []
    for number, cells in enumerate(csv.reader(lines, strict=True), 1):
        cells = [cell.strip() for cell in cells]
        if not any(cells) or (number == 1 and cells[0].lower() in ("file", "name", "image")):
            continue
        if len(cells) < 2:
            raise ValueError(f"line {number} is no name and label")
        rows.append((cells[0], cells[1:]))
    if not rows:
        raise ValueError("has no rows")
    return rows


def _in_order(
    rows: list[Row],
    table: str,
    source: Source,
    names: Sequence[str],
    broken: Sequence[str],
    where: str,
) -> tuple[list[list[Any]], list[str]]:
    """What is said of each picture, of none where a table speaks of the other set alone; and the
    names of no picture.
    """
    start = folder_of(table)
    known = {source.within + name for name in (*names, *broken)}
    pictures = known | source.beside
    said: dict[str, list[Any]] = {}
    for name, values in rows:
        below = name.replace("\\", "/").removeprefix("./")
        path, shared = start + below, source.within + below
        if source.paired and shared in known and path not in pictures:
            path = shared
        if path in said:
            raise BadData(f"{where}: names {printable(name)} twice")
        said[path] = values
    unknown = [path.removeprefix(start) for path in said if path not in pictures]
    if known.isdisjoint(said) and not source.beside.isdisjoint(said):
        return [], unknown
    missing = [name for name in names if source.within + name not in said]
    if missing:
        first = f"{len(missing):,} pictures, as {printable(missing[0])}"
        raise BadData(f"{where}: says nothing of {first}; name every picture, or take it away")
    return [said[source.within + name] for name in names], unknown


def _are_vectors(of_each: list[list[Any]]) -> bool:
    """Whether each picture has several values, or a list of them."""
    return any(len(values) > 1 or isinstance(values[0], list) for values in of_each)


def _classes(of_each: list[list[Any]], where: str) -> tuple[list[str], list[int]]:
    """Names of classes, and the number of each picture's: the number that is written, or that of
    its name in the order of names.
    """
    values = [values[0] for values in of_each]
    if not any(_is_number(value) for value in values):
        if not all(isinstance(value, str) and value for value in values):
            raise BadData(f"{where}: a label is a whole number from 0, or a name")
        names = sorted(set(values))
        _check_count(len(names), where)
        number = {name: i for i, name in enumerate(names)}
        return [printable(name) for name in names], [number[value] for value in values]
    if not all(_is_number(value) for value in values):
        raise BadData(f"{where}: labels are numbers and others; give one kind")
    labels = [int(value) for value in values]
    count = max(labels) + 1
    _check_count(count, where)
    return [str(i) for i in range(count)], labels


def _is_number(value: Any) -> bool:
    """Whether a value is a whole number from 0, or text that is one."""
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) < 10
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _check_count(count: int, where: str) -> None:
    if count > MAX_CLASSES:
        raise BadData(f"{where}: {count:,} classes; at most {MAX_CLASSES:,} are taken")


def _vectors(of_each: list[list[Any]], where: str) -> Tensor:
    """Vectors [n, d], all of one length."""
    rows = [values[0] if isinstance(values[0], list) else values for values in of_each]
    length = len(rows[0])
    if not 1 <= length <= MAX_VECTOR:
        raise BadData(f"{where}: vectors of {length:,} numbers; 1 to {MAX_VECTOR:,} are taken")
    if any(len(row) != length for row in rows):
        raise BadData(f"{where}: vectors of several lengths")
    if any(isinstance(value, bool | list | dict) or value is None for row in rows for value in row):
        raise BadData(f"{where}: vectors hold more than numbers")
    try:
        numbers = [[float(value) for value in row] for row in rows]
    except (ValueError, OverflowError):
        raise BadData(f"{where}: vectors hold more than numbers") from None
    if not all(math.isfinite(value) and abs(value) <= LARGEST for row in numbers for value in row):
        raise BadData(f"{where}: a number that is not finite, or beyond {LARGEST:,.0f}")
    return torch.tensor(numbers, dtype=torch.float32)
