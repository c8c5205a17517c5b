"""A run as the rules about its log see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ..components.registry import Registry
from ..config.schedules import is_schedule, parse_schedule
from ..contracts import GradientPenalty
from ..errors import GanzooError
from ..runs import log as run_log
from ..runs.listing import Run, whole_run

# A sign counts that has lasted to the end of the log, over a quarter of it and so many lines.
SHARE, LINES = 0.25, 4
SCHEDULE = ("from", "to", "shape", "over", "after")  # what a setting that moves is told by
ENDS = ("real", "fake")  # where penalties draw the slope to zero, and not to one
SLOWER = 0.5  # what rates are multiplied by


@dataclass
class Case:
    """A log with the settings that it was written under.

    settings: by their dotted names. images: shown so far. lines: the figures of each line, in
    order. events: its other lines. penalties: names of the run's gradient penalties at real or at
    generated samples, which draw the slope there to zero. remedy: the name of one at real samples,
    "" where none is installed or the run has a gradient penalty. live: whether the training goes
    on, so that what stands at its end is not what is now.
    """

    settings: dict[str, Any]
    images: int
    goal: int
    lines: list[dict[str, float]]
    events: list[dict[str, Any]]
    penalties: Sequence[str] = ()
    remedy: str = ""
    live: bool = False

    def column(self, name: str) -> list[float]:
        """A figure in every line, nan where a line has it not."""
        return [line.get(name, math.nan) for line in self.lines]

    def at(self, index: int) -> int:
        """The images of a line."""
        return int(self.lines[index]["images"])

    def number(self, path: str) -> float | None:
        """A setting; of one that moves, where it is now."""
        named = {key: self.settings.get(f"{path}.{key}") for key in SCHEDULE}
        table = {key: value for key, value in named.items() if value is not None}
        if is_schedule(table):
            return parse_schedule(table).at(self.images, self.goal)
        return run_log.number(self.settings.get(path))

    def times(self, path: str, factor: float) -> dict[str, float]:
        """The change that multiplies a setting, of one that moves its start; none without one."""
        for key in (path, f"{path}.from"):
            value = run_log.number(self.settings.get(key))
            if value is not None:
                return {key: value * factor}
        return {}

    def rate(self, side: str, factor: float = SLOWER) -> dict[str, float]:
        """The change that slows a player."""
        return self.times(f"optim.{side}.lr", factor)

    def tamed(self) -> dict[str, Any]:
        """The change that holds the discriminator back: a gradient penalty, or a lower rate."""
        return {f"reg.{self.remedy}": True} if self.remedy else self.rate("disc")


def lasting(signs: Sequence[bool]) -> int | None:
    """The first line since which a sign holds to the end, or None when that is too short a time.

    One line without it between two with it is noise; the last line must have it.
    """
    if not any(signs[-1:]):
        return None
    first = len(signs) - 1
    while first and (signs[first - 1] or (first > 1 and signs[first - 2])):
        first -= 1 if signs[first - 1] else 2
    return first if len(signs) - first >= max(LINES, SHARE * len(signs)) else None


def calm(values: Sequence[float]) -> list[float]:
    """The median of each value and its neighbours."""
    return [median(values[max(i - 1, 0) : i + 2]) for i in range(len(values))]


def quarters(values: Sequence[float]) -> list[float]:
    """The medians of four equal parts; none of too few values."""
    known = [value for value in values if not math.isnan(value)]
    size = len(known) // 4
    if size < 1:
        return []
    return [median(known[i * size : (i + 1) * size]) for i in range(3)] + [
        median(known[3 * size :])
    ]


def open_case(folder: Path, registry: Registry) -> Case:
    """A run's log; raises GanzooError for one that has too short a log to judge."""
    run = whole_run(folder)
    lines, events = [], []
    for line in run_log.log_lines(folder):
        if "event" in line:
            events.append(line)
        elif run_log.images_of(line):
            lines.append(run_log.figures(line))
    if len(lines) < LINES and not events:
        raise GanzooError(
            f"{folder}: its log has {len(lines)} lines, and {LINES} are needed to judge a run",
            remedy="lines come every so many images",
            change={"log.images": max(run.goal // 50, 1)},
        )
    return Case(run.settings, run.images, run.goal, lines, events, *penalties(run, registry))


def penalties(run: Run, registry: Registry) -> tuple[list[str], str]:
    """The gradient penalties that a run has at samples, and one at real samples that it could have
    where it has none.
    """
    used, other, held = run.of_family("reg"), "", False
    found: list[str] = []
    for component in registry.components("regularizer"):
        part = component.load()
        if isinstance(part, type) and issubclass(part, GradientPenalty):
            held = held or component.name in used
            found += [component.name] * (component.name in used and part.at in ENDS)
            other = other or (component.name if part.at == "real" else "")
    return found, "" if held else other
