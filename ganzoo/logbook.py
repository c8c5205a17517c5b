"""log.jsonl: one line a report, appended; lines of updates that will happen again are dropped on resume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import GanzooError
from .files import write_text

FILE = "log.jsonl"


def append(folder: Path, line: Mapping[str, Any]) -> None:
    """Add a line; raises GanzooError when the disk is full or the folder gone."""
    try:
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise GanzooError(f"{folder / FILE}: cannot be written: {error.strerror}") from error


def forget_after(folder: Path, images: int) -> None:
    """Drop the lines after the state that a training goes on from, and one that a crash cut."""
    path = folder / FILE
    if not path.exists():
        return
    kept = []
    for text in path.read_text("utf-8", errors="replace").splitlines():
        try:
            if json.loads(text)["images"] <= images:
                kept.append(text)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    write_text(path, "".join(f"{text}\n" for text in kept))
