"""scores.jsonl of a run: one line for everything that a metric found."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ..errors import BadFile, GanzooError
from ..io import untrusted_folder as inside
from ..io.files import write_chunks
from ..io.untrusted_files import parse_json
from .records import Score

FILE = "scores.jsonl"
LARGEST = 1 << 26  # bytes of a file; ours have a thousand for each score


def append(folder: Path, scores: Iterable[Score]) -> None:
    """Add scores to a run's, in one piece; raises GanzooError where that cannot be written."""
    path = folder / FILE
    lines = "".join(json.dumps(score.model_dump()) + "\n" for score in scores)
    try:
        inside.append(path, folder, lines.encode())
    except OSError as error:
        raise GanzooError(f"{path}: cannot be written: {error.strerror}") from error


def read(folder: Path) -> list[Score]:
    """The scores of a run, without a last line that a crash cut; none without a file of them.

    Raises BadFile naming a line that is no score, and for a file that is larger than any is.
    """
    found = []
    for number, line in enumerate(_content(folder).split(b"\n")[:-1], 1):
        score = _score(line)
        if score is None:
            message = f"{folder / FILE}: line {number} is no score"
            raise BadFile(message, remedy="delete that line")
        found.append(score)
    return found


def forget_after(folder: Path, images: int) -> None:
    """Drop what was found after the state that a training goes on from, and a line that was cut."""
    lines = [(line, _score(line)) for line in _content(folder).splitlines()]
    kept = [line for line, score in lines if score is not None and score.images <= images]
    if len(kept) < len(lines):
        write_chunks(folder / FILE, (line + b"\n" for line in kept))


def _content(folder: Path) -> bytes:
    path = folder / FILE
    try:
        return inside.read(path, folder, LARGEST)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None


def _score(line: bytes) -> Score | None:
    try:
        return Score.model_validate(parse_json(line))
    except (ValueError, ValidationError):
        return None
