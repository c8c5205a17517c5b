"""log.jsonl: one line a report, appended; lines of
updates that will happen again are dropped on resume.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import BadFile, GanzooError
from ..io import untrusted_folder as inside
from ..io.files import write_chunks

FILE = "log.jsonl"
ENDED = "ended early"  # the event of a training that ended in order before its goal
LONGEST = 1 << 20  # bytes of a line that is kept; ours have a thousand
LARGEST = 1 << 30  # bytes of a log; a million lines
TAIL = 1 << 16  # bytes, in which the last line lies


def append(folder: Path, line: Mapping[str, Any]) -> None:
    """Add a line; raises GanzooError when the disk is full or the folder gone."""
    path = folder / FILE
    try:
        inside.append(path, folder, (json.dumps(line) + "\n").encode())
    except OSError as error:
        raise GanzooError(f"{path}: cannot be written: {error.strerror}") from error


def reached(folder: Path) -> int:
    """The images of the last whole line, 0 if there is none."""
    try:
        with inside.open_file(folder / FILE, folder) as file:
            file.seek(max(file.seek(0, os.SEEK_END) - TAIL, 0))
            lines = file.read(TAIL).decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return 0
    for text in reversed(lines):
        images = _images(text)
        if images is not None:
            return images
    return 0


def _images(text: str) -> int | None:
    """The images of a line, or None when it is no line of a log."""
    try:
        images = json.loads(text)["images"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return images if isinstance(images, int) else None


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
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            done = _images(text)
            if done is not None and done <= images:
                yield text.encode() + b"\n"
