"""The log's lines and the scores as tables, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.contracts import Tracker

from .shared import flat

LINES, SCORES = "log.csv", "scores.csv"


class Tables(Tracker):
    """Writes the log's lines and the scores as tables into the run folder.

    `log.csv` has a row a line of the log, `scores.csv` one a measurement, both with `images` first.
    A figure that comes later adds a column. A resumed training goes on below the rows that it
    begins after. Without a run folder nothing is written.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._columns: dict[str, list[str]] = {}

    def start(self, run: Mapping[str, Any], folder: Path | None, images: int) -> None:
        """Keep the rows up to so many images, of a training that goes on."""
        self._folder, self._columns = folder, {}
        for path in (folder / LINES, folder / SCORES) if folder is not None else ():
            if path.exists():
                columns, rows = _read(path)
                _write(path, columns, [row for row in rows if _images(row) <= images])
                self._columns[path.name] = columns

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a row to the lines."""
        self._add(LINES, dict(flat(record)))

    def score(self, scores: Mapping[str, float], images: int) -> None:
        """Add a row to the scores."""
        self._add(SCORES, {"images": images, **scores})

    def _add(self, name: str, row: Mapping[str, Any]) -> None:
        if self._folder is None:
            return
        path, columns = self._folder / name, self._columns.setdefault(name, [])
        new = [key for key in row if key not in columns]
        if new:
            rows = _read(path)[1] if columns else []
            columns += new
            _write(path, columns, [*rows, row])
            return
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns).writerow(row)


def _read(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and whole rows; one that a crash cut has no number of images, or too few cells."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if None not in row.values() and _images(row) >= 0]
        return list(reader.fieldnames or []), rows


def _images(row: Mapping[str, Any]) -> int:
    """The images of a row, -1 where it has none."""
    text = str(row.get("images"))
    return int(text) if text.isascii() and text.isdigit() else -1


def _write(path: Path, columns: list[str], rows: list[Any]) -> None:
    """Write a table so that a reader finds the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    with temporary.open("x", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)
