"""What benchmarks.results and benchmarks.families share: sweeps whose trials are trained here, one
after another on one thread, a sweep for each seed, and what their reports say together.

Each trial that has ended is a line of its sweep's results.jsonl. A study that is begun again goes
on where it stood; Ctrl-C has the trial in hand saved first.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import ganzoo
from ganzoo.bench.machine_limits import machine
from ganzoo.cli._report import stops
from ganzoo.config import merge
from ganzoo.sweeps import plan as planning
from ganzoo.sweeps import report as reporting
from ganzoo.sweeps import results as recording
from ganzoo.sweeps.executors import Executor
from ganzoo.sweeps.page import worded
from ganzoo.sweeps.results import Result
from ganzoo.sweeps.trial import Outcome, Task, work

from .tables import table

Report = Mapping[str, Any]
COLUMNS = 100  # of a document's text
NAMED = 8  # settings that a sentence names
LEVEL = 0.05  # of a chance, below which it is called none
MACHINE = {"device": "cpu", "engine": "eager", "precision": "fp32"}
FEW = {  # a run folder costs little beside its training
    "samples": {"images": "10M"},
    "checkpoint": {"images": "10M"},
    "log": {"images": "1M"},
}


@dataclass(frozen=True)
class Study:
    """A question: a pipeline, what of it is tried, and the figure that says how good it is.

    about: what stands over its tables. base: a configuration, as ganzoo.train takes it. tries:
    option -> values, of which every combination is trained. score: METRIC.FIGURE. images: that
    each trial is shown
    """

    name: str
    about: str
    base: Mapping[str, Any]
    tries: Mapping[str, list[Any]]
    score: str
    images: int

    def place(self, folder: Path, seed: int) -> Path:
        """Where the sweep of a seed lies."""
        return folder / self.name / f"seed-{seed}"


class Here(Executor):
    """Trains a trial in this process when it is told of it, so that nothing runs beside it."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self.stopped = stopped
        self.outcomes: list[Outcome] = []

    @property
    def free(self) -> int:
        """One, once the last one's end was told."""
        return 0 if self.outcomes else 1

    def start(self, task: Task) -> None:
        """Train it to its end."""
        self.outcomes.append(work(task, self.stopped))

    def ended(self) -> list[Outcome]:
        """How it ended."""
        found, self.outcomes = self.outcomes, []
        return found

    def stop(self, number: int) -> None:
        """Nothing runs between two calls."""

    def close(self) -> None:
        """Likewise."""


def train(study: Study, folder: Path, seed: int, stopped: Callable[[], bool]) -> None:
    """What is not trained yet of a study with a seed."""
    given = merge(dict(study.base), {"train": {"seed": seed, "images": study.images}})
    place = study.place(folder, seed)
    place.parent.mkdir(parents=True, exist_ok=True)
    ganzoo.sweep(given, study.tries, place, score=study.score, executor=Here(stopped))


def train_all(studies: Iterable[Study], folder: Path, seeds: int) -> None:
    """Studies in order, each seed by seed, until all are trained or a person stops it."""
    heard: list[int] = []
    torch.set_num_threads(1)
    with stops(heard.append):
        for study in studies:
            for seed in range(seeds):
                train(study, folder, seed, lambda: bool(heard))
                if heard:
                    return
                print(f"{study.name}: seed {seed} is trained", flush=True)


def whole(study: Study, folder: Path) -> Report | None:
    """The report of the first seeds of which every trial has ended, as of one sweep; None where
    not one is whole.
    """
    found: list[list[Result]] = []
    while (place := study.place(folder, len(found))).is_dir():
        plan = planning.read(place)
        ended = [result for result in recording.read(place) if result.status != "failed"]
        if len(ended) < len(plan.trials):
            break
        found.append(ended)
    if not found:
        return None
    seeds = len(found)
    results = [
        result.model_copy(update={"trial": result.trial * seeds + seed})
        for seed, ended in enumerate(found)
        for result in ended
    ]
    return reporting.report(replace(planning.read(study.place(folder, 0)), seeds=seeds), results)


# In words.


def setting(row: Report) -> str:
    """A setting in words."""
    return ", ".join(worded(value) for value in row["values"].values()) or "as it is"


def interval(score: Report) -> str:
    """A mean score with its interval, where several seeds gave one."""
    if score["mean"] is None:
        return "-"
    mean = f"{score['mean']:.3g}"
    return mean if score["low"] is None else f"{mean} [{score['low']:.3g}, {score['high']:.3g}]"


def cell(row: Report) -> str:
    """A setting's score, and how many of its trainings survived where not all did."""
    died = f", {row['survived']} of {row['of']}" if row["survived"] < row["of"] else ""
    return interval(row["score"]) + died


def apart(one: Report, other: Report) -> bool:
    """Whether the intervals of two scores do not overlap, so that more than chance parts them."""
    if one["low"] is None or other["low"] is None:
        return False
    return bool(one["high"] < other["low"] or other["high"] < one["low"])


def crossed(study: Study, report: Report) -> str:
    """A table of settings of two options: a row for each value of the first."""
    rows, columns = study.tries.values()
    cells = {repr([*row["values"].values()]): cell(row) for row in report["settings"]}
    lines = [[worded(one), *(cells[repr([one, other])] for other in columns)] for one in rows]
    return table(["", *map(worded, columns)], lines)


def listed(report: Report) -> str:
    """A table of settings, the best first."""
    rows = [[setting(row), cell(row)] for row in report["settings"]]
    return table(["", report["score"]], rows)


def by_value(report: Report) -> str:
    """A table of each value of an option over all values of the others."""
    rows = [
        [worded(row["value"]), interval(row["score"]), _share(row["survival"])]
        for row in report["levels"]
    ]
    return table(["over all others", report["score"], "survived"], rows)


def _share(rate: Report) -> str:
    return f"{rate['count']} of {rate['total']}"


def said(report: Report) -> str:
    """What the tables say, in sentences."""
    lines = [_survival(report), *_best(report), *_winners(report), *_factors(report)]
    return "\n".join(
        textwrap.fill(f"- {line}", COLUMNS, subsequent_indent="  ", break_on_hyphens=False)
        for line in lines
    )


def _survival(report: Report) -> str:
    rate, died = report["survival"], [r for r in report["settings"] if r["survived"] < r["of"]]
    found = f"{_share(rate)} trainings survived ({rate['low']:.0%} to {rate['high']:.0%})"
    if not died:
        return f"{found}."
    names = "; ".join(f"{setting(row)} ({row['survived']} of {row['of']})" for row in died)
    return f"{found}. Not all did with {names}."


def _best(report: Report) -> list[str]:
    scored = [row for row in report["settings"] if row["score"]["mean"] is not None]
    if len(scored) < 2:
        return []
    best, worst = scored[0], scored[-1]
    lines = [
        f"Best is {setting(best)}, {interval(best['score'])}; worst {setting(worst)}, "
        f"{interval(worst['score'])}."
    ]
    if best["score"]["low"] is None:
        return [*lines, "One seed was trained, so no setting has an interval."]
    alike = [row for row in scored[1:] if not apart(best["score"], row["score"])]
    names = f": {'; '.join(map(setting, alike))}" if 0 < len(alike) <= NAMED else ""
    noise = (
        f"Of the {len(scored) - 1} others {len(alike)} have intervals that overlap the best's, so "
        f"these seeds do not tell them from it{names}."
    )
    return [*lines, noise]


def _winners(report: Report) -> list[str]:
    """Of each of several options the value that is best over all values of the others."""
    options = dict.fromkeys(row["option"] for row in report["levels"])
    if len(options) < 2:
        return []
    sign = -1 if report["larger"] else 1
    lines = []
    for option in options:
        rows = [
            r for r in report["levels"] if r["option"] == option and r["score"]["mean"] is not None
        ]
        best, *others = sorted(rows, key=lambda row: sign * row["score"]["mean"])
        alike = [row for row in others if not apart(best["score"], row["score"])]
        behind = [
            f"{worded(row['value'])} ({row['score']['mean'] / best['score']['mean']:.2g} times)"
            for row in others
            if row not in alike
        ]
        lines.append(
            f"Of `{option}`, over all others, {worded(best['value'])} is best, "
            f"{interval(best['score'])}. Not told from it: {_names(alike)}. Apart from it: "
            f"{', '.join(behind) or 'none'}."
        )
    return lines


def _names(rows: Sequence[Report]) -> str:
    return ", ".join(worded(row["value"]) for row in rows) or "none"


def _factors(report: Report) -> list[str]:
    lines = []
    for row in report["factors"]:
        noise = "more than chance" if row["p"] < LEVEL else "no more than chance"
        lines.append(
            f"`{row['option']}` explains {row['share']:.0%} of the variance of the settings' ranks "
            f"by itself: {noise} (shuffled {row['by_chance']:.0%}, p {row['p']:.2g})."
        )
    return lines


def measured(report: Report) -> str:
    """The line over a study's tables."""
    seeds = f"{report['seeds']} seed{'s' if report['seeds'] > 1 else ''}"
    better = "larger" if report["larger"] else "smaller"
    budget = f"{report['images']:,} samples a training, {seeds}"
    return f"{budget}; `{report['score']}`, {better} is better."


def measured_here() -> str:
    """Machine, software, date."""
    about = machine(torch.device("cpu"))
    return f"{about['device']}, one thread, torch {about['torch']}, {about['date']}."


def arguments(about: str | None, names: Sequence[str], seeds: int) -> argparse.ArgumentParser:
    """The command line of both."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where sweeps lie and go on")
    parser.add_argument("--document", type=Path, help="write the tables of what is whole into it")
    parser.add_argument("--only", choices=names, action="append", help="train these alone")
    parser.add_argument(
        "--seeds", type=int, default=seeds, help="0 trains nothing more, and writes the tables"
    )
    return parser
