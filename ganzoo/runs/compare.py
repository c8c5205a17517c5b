"""Runs side by side: what differs in their settings, what they scored under one protocol, and their
logs and pictures after equally many images.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..errors import BadFile, GanzooError, UsageError, one_line, shown
from ..io import untrusted_folder as inside
from ..io.files import check_folder, write_bytes
from ..measure import differs, scores_file
from . import log as run_log
from .listing import Run, tell_apart, whole_run

# Settings that make no other training of it: how often it is looked at, and where it runs.
BESIDE = ("train.seed", "train.device", "data.root", "data.resident", "data.budget")
BESIDE_SECTIONS = ("samples", "checkpoint", "log", "measure", "metric", "tracker")
NEAR = 0.9  # of the images that all have: as far back is gone for a line that all have
RESAMPLES = 10_000
CONFIDENCE = 0.95
PICTURE = re.compile(r"([0-9]{9,15})\.png")
LARGEST = 1 << 28  # bytes of a picture's file
PIXELS = 1 << 26  # of one picture
SHEET = 1 << 28  # pixels of all of them side by side
GAP, CAPTION = 8, 16


@dataclass
class Group:
    """Runs of equal settings but the seed; label: the letter that it has in tables."""

    label: str
    runs: list[Run] = field(default_factory=list)

    @property
    def seeds(self) -> list[Any]:
        """Of its runs."""
        return [run.settings.get("train.seed") for run in self.runs]


def groups(folders: Sequence[Path]) -> list[Group]:
    """The runs, those of equal settings but the seed together; a second one of a seed is a group of
    its own. Raises GanzooError for what is no run or a broken one, UsageError for too few.
    """
    if len(folders) < 2:
        raise UsageError("give two runs or more to compare", key="runs")
    found: dict[Any, list[Run]] = {}
    seen: Counter[Any] = Counter()
    places: set[Path] = set()
    for folder in folders:
        place = folder.resolve()
        if place in places:
            raise UsageError(f"{folder} is given twice")
        places.add(place)
        run = whole_run(folder)
        key = repr(sorted(_own(run.settings).items()))
        seed = key, repr(run.settings.get("train.seed"))
        found.setdefault((key, seen[seed]), []).append(run)
        seen[seed] += 1
    tell_apart([run for runs in found.values() for run in runs])
    return [Group(_letters(i), runs) for i, runs in enumerate(found.values())]


def _own(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that make a training what it is."""
    return {
        key: value
        for key, value in settings.items()
        if value != {}  # what a section without any is
        and key not in BESIDE
        and key.partition(".")[0] not in BESIDE_SECTIONS
    }


def _letters(number: int) -> str:
    """a to z, then aa, ab, ..."""
    more, last = divmod(number, 26)
    return (_letters(more - 1) if more else "") + chr(ord("a") + last)


def settings_that_differ(found: Sequence[Group]) -> dict[str, dict[str, Any]]:
    """Setting -> group -> value, of those that are not the same in all; None where a group has it
    not. Seeds are told with the groups.
    """
    per = {group.label: _own(group.runs[0].settings) for group in found}
    keys = sorted({key for settings in per.values() for key in settings})
    table = {key: {label: each.get(key) for label, each in per.items()} for key in keys}
    return {key: row for key, row in table.items() if len({repr(v) for v in row.values()}) > 1}


# Scores.


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """The percentile interval of the mean at CONFIDENCE; None of a single value, which has none.

    Of a few values it is too narrow: docs/runs.md has by how much.
    """
    if len(values) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    means = np.asarray(values, dtype=np.float64)[drawn].mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _spread(values: Sequence[float], over: str) -> dict[str, Any]:
    interval = bootstrap(values)
    return {
        "mean": math.fsum(values) / len(values),
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "count": len(values),
        "over": over,
    }


def last_scores(run: Run) -> dict[str, dict[str, Any]]:
    """`METRIC.FIGURE` -> the last that was measured, with its protocol. Raises BadFile."""
    return {
        f"{score.metric}.{name}": {
            **figure.model_dump(),
            "images": score.images,
            "protocol": score.protocol,
        }
        for score in scores_file.read(run.folder)
        for name, figure in score.figures.items()
    }


def scores(found: Sequence[Group]) -> dict[str, dict[str, Any]]:
    """`METRIC.FIGURE` -> what every group scored, with an interval: over the seeds of its runs
    where it has several, else over sample seeds. Where protocols differ there are no groups, and
    `refused` says in which field.
    """
    known = {
        (group.label, i): last_scores(run) for group in found for i, run in enumerate(group.runs)
    }
    names = list(dict.fromkeys(name for each in known.values() for name in each))
    return {name: _column(name, found, known) for name in names}


def _column(name: str, found: Sequence[Group], known: Mapping[Any, Any]) -> dict[str, Any]:
    measured = {place: each[name] for place, each in known.items() if name in each}
    first, *others = measured
    for other in others:
        a, b = measured[first]["protocol"], measured[other]["protocol"]
        fields = differs(a, b)
        if fields:
            key = fields[0]
            told = f"{shown(a.get(key))} in {first[0]}, {shown(b.get(key))} in {other[0]}"
            more = f", and {', '.join(fields[1:])}" if fields[1:] else ""
            return {"refused": f"{key} differs ({told}){more}", "groups": {}}
    rows: dict[str, dict[str, Any]] = {}
    for group in found:
        own = [measured[place] for place in measured if place[0] == group.label]
        if not own:
            continue
        several = len(own) > 1
        values = [each["value"] for each in own] if several else own[0]["values"]
        row = _spread(values or [own[0]["value"]], "seeds" if several else "draws")
        row["images"] = sorted({each["images"] for each in own})
        rows[group.label] = row
    floors = [each["floor"] for each in measured.values() if each["floor"] is not None]
    return {
        "refused": "",
        "larger": measured[first]["larger"],
        "floor": math.fsum(floors) / len(floors) if floors else None,
        "protocol": measured[first]["protocol"],
        "groups": rows,
    }


# The log and the pictures, after equally many images.


def at_equal(counts: Sequence[Sequence[int]]) -> list[int]:
    """Of each run's counts of images, the one to look at: the largest that all have; where that is
    more than a tenth below what all have come to, of each the last one within that.

    Raises GanzooError when a run has none so early.
    """
    reach = min(max(each, default=0) for each in counts)
    common = max(set(counts[0]).intersection(*counts[1:]), default=0)
    if common and common >= NEAR * reach:
        return [common] * len(counts)
    chosen = [max((n for n in each if n <= reach), default=0) for each in counts]
    if not all(chosen):
        raise GanzooError(f"after {reach:,} images, to which all have come, not all have anything")
    return chosen


def log_figures(found: Sequence[Group]) -> dict[str, Any]:
    """The figures of the log after equally many images: `images` of each run, and of each figure
    that all have the groups' means and intervals. Raises BadFile.
    """
    runs = [run for group in found for run in group.runs]
    counts = [[*_counts(run)] for run in runs]
    chosen = at_equal(counts)
    lines = [_line_at(run, images) for run, images in zip(runs, chosen, strict=True)]
    names = [name for name in lines[0] if all(name in line for line in lines)]
    table: dict[str, dict[str, Any]] = {name: {} for name in names}
    each = iter(lines)
    for group in found:
        own = [next(each) for _ in group.runs]
        for name in names:
            table[name][group.label] = _spread([line[name] for line in own], "seeds")
    return {"images": chosen, "figures": table}


def _measured(line: Mapping[str, Any]) -> bool:
    return "event" not in line and run_log.images_of(line) > 0


def _counts(run: Run) -> set[int]:
    lines = run_log.log_lines(run.folder)
    return {run_log.images_of(line) for line in lines if _measured(line)}


def _line_at(run: Run, images: int) -> dict[str, float]:
    lines = run_log.log_lines(run.folder)
    line = next(each for each in lines if _measured(each) and run_log.images_of(each) == images)
    return {name: value for name, value in run_log.figures(line).items() if name != "images"}


def draw(found: Sequence[Group], out: Path) -> list[int]:
    """Write the runs' pictures after equally many images side by side, with the group's letter and
    the run's name above each; returns these counts. Raises GanzooError naming what is in the way.
    """
    check_folder(out.parent, "out", out)
    named = [(group.label, run) for group in found for run in group.runs]
    chosen = at_equal([drawn(run) for _, run in named])
    tiles = [
        picture(run.folder / "samples" / f"{images:09d}.png", run.folder)
        for (_, run), images in zip(named, chosen, strict=True)
    ]
    width = sum(tile.width for tile in tiles) + GAP * (len(tiles) + 1)
    height = max(tile.height for tile in tiles) + CAPTION + 2 * GAP
    if width * height > SHEET:
        raise GanzooError(f"a picture of {width:,}x{height:,} pixels; leave some runs out")
    sheet = Image.new("RGB", (width, height), "white")
    pen, left = ImageDraw.Draw(sheet), GAP
    for tile, (label, run), images in zip(tiles, named, chosen, strict=True):
        text = f"{label}  {run.name.encode('ascii', 'replace').decode()}  {images:,}"
        pen.text((left, GAP), text[: max(tile.width // 6, 1)], fill="#555555")
        sheet.paste(tile, (left, GAP + CAPTION))
        left += tile.width + GAP
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_bytes(out, buffer.getvalue())
    return chosen


def drawn(run: Run) -> list[int]:
    """The counts of images after which there are pictures; raises GanzooError without any."""
    listed = inside.listing(run.folder / "samples", run.folder)
    found = [int(name[1]) for path in listed if (name := PICTURE.fullmatch(path.name))]
    if not any(found):
        raise GanzooError(f"{run.folder}: no pictures in its folder samples")
    return found


def picture(path: Path, run: Path) -> Image.Image:
    """A picture of a run; raises BadFile for what is none, or larger than any."""
    try:
        with inside.open_file(path, run) as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise BadFile(f"{path}: larger than {LARGEST >> 20} MiB, which no picture is")
            with Image.open(file, formats=["PNG"]) as picture:
                if picture.width * picture.height > PIXELS:
                    raise BadFile(f"{path}: {picture.width}x{picture.height} pixels are too many")
                return picture.convert("RGB")
    except GanzooError:
        raise
    except Exception as error:  # a damaged file may make a codec raise anything
        raise BadFile(f"{path}: no picture: {one_line(error)}") from None


def compare(folders: Sequence[Path]) -> tuple[list[Group], dict[str, Any]]:
    """The groups, and everything that is said of them as plain values."""
    found = groups(folders)
    about = {
        group.label: [
            {key: run.values()[key] for key in ("name", "folder", "state", "images", "health")}
            | {"seed": run.settings.get("train.seed")}
            for run in group.runs
        ]
        for group in found
    }
    return found, {
        "groups": about,
        "settings": settings_that_differ(found),
        "scores": scores(found),
        "log": log_figures(found),
    }
