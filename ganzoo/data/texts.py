"""Texts: the lines of a .txt file, or of several in a folder, as tokens of single letters.

The files are read twice, so that nothing but what becomes samples is kept in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from ..contracts import Dataset
from ..errors import BadData, one_line, printable
from ..io.device_memory import planned_memory
from ..io.untrusted_files import open_regular
from .source import PICTURE, refuse_system

MAX_BYTES = 1 << 30  # of one file
MAX_LINES = 20_000_000
MAX_LINE = 1 << 20  # letters of one, before it is cut
MAX_FILES = 1000
MAX_SYMBOLS = 512
MAX_LENGTH = 4096
LONGEST = 256  # letters of a sample unless more are asked for
Length = Annotated[int, Field(ge=0, le=MAX_LENGTH)]


@dataclass
class _Found:
    """What the first reading learns."""

    lines: int = 0
    empty: int = 0
    longest: int = 0
    letters: set[str] = field(default_factory=set)


def is_texts(path: Path) -> bool:
    """Whether it is a .txt file, or a folder of such files without pictures or folders."""
    if path.suffix.lower() == ".txt" and not path.is_dir():
        return True
    try:
        names = [e.name for e in os.scandir(path) if not e.name.startswith(".")]
        folders = any(entry.is_dir() for entry in os.scandir(path))
    except OSError:
        return False
    texts = [name for name in names if name.lower().endswith(".txt")]
    return bool(texts) and not folders and not any(PICTURE.search(name) for name in names)


def load_texts(path: Path | str, *, length: Length = 0) -> Dataset:
    """The lines of a .txt file in UTF-8, or of all in a folder, as the numbers of their letters
    [n, length]; empty lines are left out.

    The alphabet is "", which fills up short lines, then all letters in the order of their codes;
    what cannot be printed is one letter, U+FFFD. Of several files each is a class.

    length: letters of a sample, of which longer lines are cut; 0 takes the longest line, at most
        256

    Raises BadData for files without text, in another encoding, or of more than 512 letters.
    """
    path = Path(path)
    files = _files(path)
    found = _survey(files)
    if not found.lines:
        raise BadData(f"{path}: no lines with text in it")
    if len(found.letters) >= MAX_SYMBOLS:
        raise BadData(
            f"{path}: {len(found.letters):,} different letters, and {MAX_SYMBOLS - 1} are the most"
        )
    size = length or min(found.longest, LONGEST)
    alphabet = ("", *sorted(found.letters))
    kind = np.uint8 if len(alphabet) <= 256 else np.int16
    free = planned_memory(torch.device("cpu"))
    if free is not None and found.lines * size * np.dtype(kind).itemsize > free:
        need = found.lines * size * np.dtype(kind).itemsize / 2**30
        raise BadData(
            f"{path}: {need:.1f} GiB of letters do not fit in memory",
            remedy="cut the lines by",
            change={"data.length": max(size // 4, 1)},
        )
    symbols = np.zeros((found.lines, size), dtype=kind)
    labels, cut = _filled(files, alphabet, symbols)
    classes = [printable(file.stem) for file in files] if len(files) > 1 else []
    notes = [f"{found.lines:,} lines of up to {size} letters, {len(alphabet)} symbols with padding"]
    notes += [f"empty lines left out: {found.empty:,}"] if found.empty else []
    notes += [f"lines cut after {size} letters: {cut:,}"] if cut else []
    notes += [f"labels from {len(classes)} files"] if classes else []
    return Dataset(
        torch.from_numpy(symbols),
        torch.from_numpy(labels) if classes else None,
        classes,
        notes,
        alphabet=alphabet,
    )


def _files(path: Path) -> list[Path]:
    """The .txt files, in the order of their names."""
    if not path.is_dir():
        return [path]
    refuse_system(path)
    found = sorted(p for p in path.iterdir() if p.suffix.lower() == ".txt")
    found = [p for p in found if not p.name.startswith(".")]
    if len(found) > MAX_FILES:
        raise BadData(f"{path}: more than {MAX_FILES:,} files; join them, a line each sample")
    return found


def _lines(file: Path) -> Iterator[str]:
    """The lines of a file, cleaned and without spaces at their ends; empty ones too."""
    try:
        handle = open_regular(file)
        with os.fdopen(handle, encoding="utf-8-sig") as opened:
            if os.fstat(handle).st_size > MAX_BYTES:
                raise BadData(f"{file}: larger than {MAX_BYTES >> 20:,} MiB; give a part of it")
            while line := opened.readline(MAX_LINE):
                if len(line) == MAX_LINE:
                    raise BadData(f"{file}: a line of more than {MAX_LINE:,} letters")
                yield printable(line.strip())
    except OSError as error:
        raise BadData(f"{file}: {error.strerror or one_line(error)}") from None
    except UnicodeDecodeError:
        raise BadData(f"{file}: no text in UTF-8") from None


def _survey(files: Sequence[Path]) -> _Found:
    """How many lines there are, and of which letters."""
    found = _Found()
    for file in files:
        for line in _lines(file):
            found.lines += bool(line)
            found.empty += not line
            found.longest = max(found.longest, len(line))
            found.letters.update(line)
            if found.lines > MAX_LINES:
                raise BadData(f"{file}: more than {MAX_LINES:,} lines; give a part of them")
    return found


def _filled(
    files: Sequence[Path], alphabet: Sequence[str], symbols: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], int]:
    """Write the lines' numbers; (number of its file for each, how many lines were cut)."""
    count, size = symbols.shape
    labels = np.zeros(count, dtype=np.int64)
    numbers = {letter: number for number, letter in enumerate(alphabet) if letter}
    row = cut = 0
    for label, file in enumerate(files):
        for line in filter(None, _lines(file)):
            kept = line[:size]
            cut += len(kept) < len(line)
            try:
                symbols[row, : len(kept)] = [numbers[letter] for letter in kept]
            except (KeyError, IndexError):
                raise BadData(f"{file}: changed while it was read") from None
            labels[row] = label
            row += 1
    if row < count:
        raise BadData(f"{files[-1]}: changed while it was read")
    return labels, cut
