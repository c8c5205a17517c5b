"""The log of a run, read by others: it may be a stranger's, so it is read within limits, and no
link is followed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import BadFile, plain_line, shown
from ..io import untrusted_folder as inside
from ..io.untrusted_files import parse_json
from ..training.log_file import FILE as LOG
from ..training.log_file import LONGEST, TAIL

MOST = 256 << 20  # bytes of a log that is read whole: 250,000 lines
DEEP = 8  # of tables within a line; ours have three
NAMES = 1000  # figures of one line, and letters of a name

Line = dict[str, Any]


def last_lines(run: Path) -> list[Line]:
    """The last line of figures, and the events that lie in the last 64 KiB of the log; none
    without a log. The other lines are not looked at: a thousand runs are listed in seconds.

    Raises BadFile for a line that is none; a last one without its end was cut by a crash and is
    left out, as a resume does.
    """
    try:
        file = inside.open_file(run / LOG, run)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadFile(f"{run / LOG}: {error.strerror}") from None
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - TAIL, 0))
        lines = file.read(TAIL).split(b"\n")
    whole = lines[1 if size > TAIL else 0 : -1]
    if size > TAIL and not whole:
        raise BadFile(f"{run / LOG}: its last line is damaged: longer than any")
    last = len(whole) - 1
    while last > 0 and b'"event"' in whole[last]:
        last -= 1
    wanted = [i for i, text in enumerate(whole) if i >= last or b'"event"' in text]
    return [_line(whole[i], run / LOG, f"line {i - len(whole)} from its end") for i in wanted]


def log_lines(run: Path) -> Iterator[Line]:
    """Every whole line of the log; raises BadFile naming one that is none, or where there is no
    log, or one larger than is read.
    """
    path = run / LOG
    try:
        file = inside.open_file(path, run)
    except FileNotFoundError:
        raise BadFile(f"{path}: missing") from None
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    with file:
        if file.seek(0, os.SEEK_END) > MOST:
            raise BadFile(f"{path}: larger than {MOST >> 20:,} MiB, which is not read")
        file.seek(0)
        yield from _parsed(file, path)


def _parsed(file: BinaryIO, path: Path) -> Iterator[Line]:
    number = 0
    while text := file.readline(LONGEST):
        number += 1
        if text.endswith(b"\n") or len(text) == LONGEST:  # else cut by a crash, or being written
            yield _line(text, path, f"line {number}")


def _line(text: bytes, path: Path, where: str) -> Line:
    """A line's values; raises BadFile for what is no table of JSON."""
    try:
        line = parse_json(text)
    except ValueError:
        line = None
    if isinstance(line, dict) and len(line) <= NAMES:
        return {plain_line(key)[:NAMES]: value for key, value in line.items()}
    raise BadFile(
        f"{path}: {where} is damaged: {shown(text[:40].strip().decode('utf-8', 'replace'))}",
        remedy="delete that line",
    )


def number(value: object) -> float | None:
    """A finite number of a file, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def figures(line: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """All finite numbers of a line, by dotted names."""
    found: dict[str, float] = {}
    for key, value in line.items():
        name = f"{prefix}{plain_line(key)}"
        if isinstance(value, Mapping) and prefix.count(".") < DEEP:
            found |= figures(value, name + ".")
        elif (plain := number(value)) is not None:
            found[name] = plain
    return found


def images_of(line: Mapping[str, Any]) -> int:
    """The images that a line was written after; 0 where it does not say."""
    images = line.get("images")
    return images if type(images) is int and 0 <= images < 1 << 62 else 0
