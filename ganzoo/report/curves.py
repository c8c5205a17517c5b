"""What a run's log and scores say over its images, thinned out for a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..measure import Score

LINES = 1000  # points of a curve, over all runs of a page
FEWEST = 100  # points of a curve
FIGURES = 48  # of a run
NONE = ("images", "updates")  # which say when, not how
CHARTS = {  # title -> figures of the log
    "Losses": ("discriminator.total", "generator.total"),
    "Mean logits": ("D(real)", "D(fake)"),
    "Pairs that the discriminator judged rightly": ("rank",),
    "Spread and variety of the samples, against real ones": ("spread", "variety"),
    "Norms of the gradients": ("discriminator.gradient", "generator.gradient"),
    "Images a second": ("images_per_second",),
}


def of_log(lines: Sequence[Mapping[str, float]], runs: int = 1) -> dict[str, Any]:
    """Figures of a log: `images` of each point, and `figures`, a list by name with None where there
    is none. Of a long log each point is the mean of so `many` lines that follow one another.
    """
    by_images = {int(line["images"]): line for line in lines}
    ordered = [by_images[images] for images in sorted(by_images)]
    most = max(LINES // runs, FEWEST)
    many = max(-(-len(ordered) // most), 1)
    parts = [ordered[i : i + many] for i in range(0, len(ordered), many)]
    charted = [name for names in CHARTS.values() for name in names]
    found = dict.fromkeys(name for line in ordered for name in line if name not in NONE)
    names = [name for name in charted if name in found]
    names += [name for name in found if name not in charted][: FIGURES - len(names)]
    return {
        "many": many,
        "images": [int(part[-1]["images"]) for part in parts],
        "figures": {name: [_mean(part, name) for part in parts] for name in names},
    }


def _mean(part: Iterable[Mapping[str, float]], name: str) -> float | None:
    values = [line[name] for line in part if name in line]
    return _short(sum(value / len(values) for value in values)) if values else None


def _short(value: float) -> float:
    short = float(f"{value:.5g}")
    return short if math.isfinite(short) else value  # the largest numbers round to none


def of_scores(scores: Sequence[Score]) -> dict[str, Any]:
    """`METRIC.FIGURE` -> its values over `images`, of those that were measured more than once."""
    found: dict[str, dict[int, float]] = {}
    for score in scores:
        for name, figure in score.figures.items():
            found.setdefault(f"{score.metric}.{name}", {})[score.images] = _short(figure.value)
    return {
        name: {"images": sorted(values), "values": [values[n] for n in sorted(values)]}
        for name, values in [*found.items()][:FIGURES]
        if len(values) > 1
    }


def charts(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Which figures stand in one chart: those of CHARTS that any run has, and one chart for each
    score; `source` says where they are found in a run.
    """
    made: list[dict[str, Any]] = []
    for title, names in CHARTS.items():
        known = [name for name in names if any(name in run["log"]["figures"] for run in runs)]
        if known:
            made.append({"title": title, "source": "log", "names": known})
    scored = dict.fromkeys(name for run in runs for name in run["scores"])
    made += [{"title": name, "source": "scores", "names": [name]} for name in scored]
    return made


def summary(log: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each figure its first and last value, the least and the largest: a table for whoever
    cannot see the curves.
    """
    rows = []
    for name, values in log["figures"].items():
        known = [value for value in values if value is not None]
        row = {"first": known[0], "least": min(known), "most": max(known), "last": known[-1]}
        rows.append({"name": name, **row})
    return rows
