"""Tables: a .csv file whose first line names its columns, or rows of numbers without names, which
are points.

The file is read twice, so that nothing but what becomes samples is kept in memory.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch

from ..contracts import Column, Dataset
from ..errors import BadConfig, BadData, nearest, one_line, printable, shown
from ..io.device_memory import planned_memory
from ..io.untrusted_files import open_regular

MAX_BYTES = 1 << 30  # of the file
MAX_ROWS = 10_000_000
MAX_COLUMNS = 256
MAX_VALUES = 256  # different texts in a category
MAX_CLASSES = 1000
MAX_WIDTH = 4096  # numbers in a sample
MAX_LETTERS = 100  # of a name or a category's text
DELIMITERS = ",;\t|"
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
WHOLE = re.compile(r"[+-]?[0-9]{1,15}", re.ASCII)


@dataclass
class _Found:
    """What the first reading learns of a column."""

    name: str
    numbers: int = 0
    whole: bool = True
    empty: int = 0  # the line of the first empty cell
    text: str = ""  # the first cell that is no number
    values: dict[str, int] = field(default_factory=dict)  # text -> how often, up to a limit

    def take(self, cell: str, line: int) -> None:
        if as_number(cell) is not None:
            self.numbers += 1
            self.whole = self.whole and WHOLE.fullmatch(cell) is not None
        elif not cell:
            self.empty = self.empty or line
        else:
            self.text = self.text or cell
        if cell in self.values or len(self.values) <= MAX_CLASSES:
            self.values[cell] = self.values.get(cell, 0) + 1

    def ordered(self) -> list[str]:
        """Its texts in order, numbers by their size."""
        if self.text or self.empty:
            return sorted(self.values)
        return sorted(self.values, key=float)


def as_number(cell: str) -> float | None:
    """The finite number that a cell holds; None for a text."""
    if not NUMBER.fullmatch(cell):
        return None
    value = float(cell)
    return value if math.isfinite(value) else None


class _File:
    """The rows of a .csv file, as often as they are wanted; raises BadData for what is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            handle = open_regular(path)
        except OSError as error:
            raise BadData(f"{path}: {error.strerror or one_line(error)}") from None
        self._file = os.fdopen(handle, encoding="utf-8-sig", newline="")
        if os.fstat(handle).st_size > MAX_BYTES:
            self.close()
            raise BadData(f"{path}: larger than {MAX_BYTES >> 20:,} MiB; give a part of it")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(number of its last line, cells) of each row that is not empty."""
        self._file.seek(0)
        try:
            first = self._file.readline(1 << 16)
            delimiter = max(DELIMITERS, key=first.count)
            self._file.seek(0)
            reader = csv.reader(self._file, delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, [printable(cell.strip()) for cell in row]
        except UnicodeDecodeError:
            raise BadData(f"{self.path}: no text in UTF-8") from None
        except csv.Error as error:
            raise BadData(f"{self.path}: no table ({error})") from None


def load_table(
    path: Path | str, *, label: str = "", categories: str = "", drop: str = ""
) -> Dataset:
    """The rows of a .csv file: a table if its first line names columns, else points [n, d].

    Numbers become (x - mean) / deviation; a column with other texts is a category, one number for
    each text, of which one is 1 and the others are 0. Cells are separated by commas, semicolons,
    tabs or bars, whichever the first line has most of.

    label: the column that holds the classes, which is no part of the samples
    categories: columns whose numbers are names, separated by commas
    drop: columns to leave out, separated by commas

    Raises BadData for rows of several lengths, empty cells among numbers, a column of too many
    different texts, and files beyond the limits; BadConfig for columns that are not there.
    """
    file = _File(Path(path))
    try:
        return _read(file, label, categories, drop)
    finally:
        file.close()


def _read(file: _File, label: str, categories: str, drop: str) -> Dataset:
    first = next(file.rows(), None)
    if first is None:
        raise BadData(f"{file.path}: empty")
    names = first[1]
    if len(names) > MAX_COLUMNS:
        raise BadData(f"{file.path}: {len(names):,} columns, more than {MAX_COLUMNS}")
    headed = any(as_number(name) is None for name in names)
    if not headed:
        names = [f"x{number + 1}" for number in range(len(names))]
    _check_names(file.path, names)
    dropped, named = _listed(drop, names, "drop"), _listed(categories, names, "categories")
    _listed(label, names, "label")
    found, count = _survey(file, names, skip=headed)
    if not count:
        raise BadData(f"{file.path}: names columns, and has no rows")
    kept = [each for each in found if each.name not in (label, *dropped)]
    if not kept:
        raise BadData(f"{file.path}: no column is left")
    table = headed or bool(label or named or dropped)
    columns = [_column(file.path, each, each.name in named, drop) for each in kept]
    classes = _classes(file.path, found, label)
    samples, labels = _filled(file, names, columns, label, classes, count, skip=headed)
    notes = _notes(count, columns, label, classes, [*dropped]) if table else []
    if not table:
        points = samples.astype(np.float32)
        notes = [f"{count:,} points of {len(columns)} numbers: the file names no columns"]
        return Dataset(torch.from_numpy(points), notes=notes)
    scaled, columns = _standardised(samples, columns)
    return Dataset(
        torch.from_numpy(scaled),
        torch.from_numpy(labels) if label else None,
        classes,
        notes,
        columns=tuple(columns),
    )


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Raises BadData for columns without a name of their own."""
    for number, name in enumerate(names, 1):
        if not name:
            raise BadData(f"{path}: column {number} has no name in the first line")
        if len(name) > MAX_LETTERS:
            raise BadData(f"{path}: column {number} has a name of {len(name):,} letters")
        if names.index(name) + 1 < number:
            raise BadData(f"{path}: two columns are called {shown(name)}")


def _listed(text: str, names: Sequence[str], key: str) -> list[str]:
    """Names of columns that an option gives; raises BadConfig for one that is not there."""
    if text in names:  # it may hold a comma
        return [text]
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in names:
            message = f"no column is called {shown(name)}{nearest(name, names)}"
            raise BadConfig(message, section="data", key=key, value=text)
    return wanted


def _survey(file: _File, names: Sequence[str], skip: bool) -> tuple[list[_Found], int]:
    """What the columns hold, and how many rows there are."""
    found = [_Found(name) for name in names]
    count = 0
    for line, cells in _body(file, skip):
        if len(cells) != len(names):
            raise BadData(
                f"{file.path}: line {line} has {len(cells)} cells, and the first line {len(names)}"
            )
        count += 1
        if count > MAX_ROWS:
            raise BadData(f"{file.path}: more than {MAX_ROWS:,} rows; give a part of it")
        for each, cell in zip(found, cells, strict=True):
            each.take(cell, line)
    return found, count


def _body(file: _File, skip: bool) -> Iterator[tuple[int, list[str]]]:
    """The rows without the names."""
    rows = file.rows()
    if skip:
        next(rows, None)
    yield from rows


def _column(path: Path, found: _Found, named: bool, drop: str) -> Column:
    """What a column is."""
    if found.numbers and not (found.text or found.empty or named):
        return Column(found.name, whole=found.whole)

    def refuse(message: str) -> NoReturn:
        others = f"{drop},{found.name}" if drop else found.name
        raise BadData(
            f"{path}: column {shown(found.name)} {message}",
            remedy="leave it out by",
            change={"data.drop": others},
        )

    if found.numbers and not found.text and not named:
        refuse(f"holds numbers, and nothing in line {found.empty}")
    longest = max(map(len, found.values))
    if len(found.values) > MAX_VALUES or longest > MAX_LETTERS:
        many = f"more than {MAX_VALUES}" if len(found.values) > MAX_VALUES else "too long"
        example = shown(found.text[:MAX_LETTERS] or next(iter(found.values)))
        refuse(f"holds {many} different texts, as {example}")
    return Column(found.name, tuple(found.ordered()))


def _classes(path: Path, found: Sequence[_Found], label: str) -> list[str]:
    """The texts of the column that holds the classes."""
    if not label:
        return []
    named = next(each for each in found if each.name == label)
    if len(named.values) > MAX_CLASSES or max(map(len, named.values)) > MAX_LETTERS:
        raise BadData(
            f"{path}: column {shown(label)} holds more than {MAX_CLASSES:,} classes, or longer "
            f"names than {MAX_LETTERS} letters"
        )
    return named.ordered()


def _filled(
    file: _File,
    names: Sequence[str],
    columns: Sequence[Column],
    label: str,
    classes: Sequence[str],
    count: int,
    skip: bool,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(samples [n, d] in the table's own units, labels [n]), by a second reading."""
    width = sum(column.width for column in columns)
    free = planned_memory(torch.device("cpu"))
    if width > MAX_WIDTH:
        raise BadData(f"{file.path}: a row takes {width:,} numbers, more than {MAX_WIDTH:,}")
    if free is not None and 12 * count * width > free:  # here, and standardised
        size = 12 * count * width / 2**30
        raise BadData(f"{file.path}: {size:.1f} GiB of numbers do not fit in memory")
    samples = np.zeros((count, width))
    labels = np.zeros(count if label else 0, dtype=np.int64)
    writers = _writers(names, columns)
    place, numbers = names.index(label) if label else 0, {t: i for i, t in enumerate(classes)}
    row = -1
    try:
        for row, (_, cells) in enumerate(_body(file, skip)):
            for at, write in writers:
                write(samples[row], cells[at])
            if label:
                labels[row] = numbers[cells[place]]
    except (KeyError, IndexError, ValueError, TypeError):
        row = -1
    if row + 1 != count:
        raise BadData(f"{file.path}: changed while it was read")
    return samples, labels


Write = Callable[[npt.NDArray[np.float64], str], None]


def _writers(names: Sequence[str], columns: Sequence[Column]) -> list[tuple[int, Write]]:
    """(place of its cell in a row, what puts the cell into a sample) for each column."""
    found: list[tuple[int, Write]] = []
    start = 0
    for column in columns:
        write = _category(start, column) if column.values else _number(start)
        found.append((names.index(column.name), write))
        start += column.width
    return found


def _number(start: int) -> Write:
    def write(sample: npt.NDArray[np.float64], cell: str) -> None:
        sample[start] = float(cell)

    return write


def _category(start: int, column: Column) -> Write:
    places = {text: start + number for number, text in enumerate(column.values)}

    def write(sample: npt.NDArray[np.float64], cell: str) -> None:
        sample[places[cell]] = 1.0

    return write


def _standardised(
    samples: npt.NDArray[np.float64], columns: Sequence[Column]
) -> tuple[npt.NDArray[np.float32], list[Column]]:
    """Numbers with mean 0 and deviation 1, 0 where all are alike, and columns that say so."""
    made = samples.astype(np.float32)
    told = []
    start = 0
    for column in columns:
        if not column.values:
            values = samples[:, start]
            centre = float(values.mean())
            scale = float(values.std())
            if values.min() == values.max():
                centre, scale = float(values[0]), 0.0
            made[:, start] = (values - centre) / (scale or 1.0)
            column = Column(column.name, (), centre, scale, column.whole)
        told.append(column)
        start += column.width
    return made, told


def _notes(
    count: int,
    columns: Sequence[Column],
    label: str,
    classes: Sequence[str],
    dropped: Sequence[str],
) -> list[str]:
    """What was made of the file, for the person to read."""
    numbers = sum(not column.values for column in columns)
    width = sum(column.width for column in columns)
    notes = [
        f"rows: {count:,}; columns of numbers: {numbers}, of categories: {len(columns) - numbers}; "
        f"numbers in a sample: {width}"
    ]
    if label:
        notes.append(f"labels from column {label}: {len(classes):,} classes")
    if dropped:
        notes.append(f"left out: {', '.join(dropped)}")
    return notes
