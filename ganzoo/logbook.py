"""log.jsonl: one line a report, appended; lines of updates that will happen again are dropped on resume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from . import inside
from .errors import BadFile, GanzooError
from .files import write_chunks

FILE = "log.jsonl"
LONGEST = 1 << 20  # bytes of a line that is kept; ours have a thousand
LARGEST = 1 << 30  # bytes of a log; a million lines


def append(folder: Path, line: Mapping[str, Any]) -> None:
    """Add a line; raises GanzooError when the disk is full or the folder gone."""
    path = folder / FILE
    try:
        inside.append(path, folder, (json.dumps(line) + "\n").encode())
    except OSError as error:
        raise GanzooError(f"{path}: cannot be written: {error.strerror}") from error


def forget_after(folder: Path, images: int) -> None:
    """Drop the lines after the state that a training goes on from, and one that a crash cut.

    Raises BadFile when the log is larger than any is.
    """
    path = folder / FILE
    try:
        file = inside.open_file(path, folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    if file.seek(0, 2) > LARGEST:
        file.close()
        raise BadFile(
            f"{path}: larger than {LARGEST >> 20:,} MiB, which no log is",
            remedy="move it away: the training writes a new one",
        )
    file.seek(0)
    write_chunks(path, _kept(file, images))


def _kept(file: BinaryIO, images: int) -> Iterator[bytes]:
    """The whole lines up to that many images, one at a time."""
    with file:  # closed before its successor takes its name, which Windows asks for
        while line := file.readline(LONGEST):
            try:
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                if json.loads(text)["images"] <= images:
                    yield text.encode() + b"\n"
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
