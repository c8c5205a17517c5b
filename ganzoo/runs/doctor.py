"""What ails a run, told from its log and its settings: what, since when, why, and what to do.

A rule is a function of a `Case`. It fires on what lasts to the end of the log, never on one line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ..components.registry import Registry
from ..contracts import GradientPenalty
from ..engine.health import AHEAD, ALIKE, MISLED, NARROW
from ..errors import GanzooError, plain_line
from . import log as run_log
from .listing import Run, whole_run

# A sign counts that has lasted to the end of the log, over a quarter of it and so many lines.
SHARE, LINES = 0.25, 4
# Where a logit is 17, float32 knows no number between its sigmoid and 1 (2 ** -24 = e ** -16.6):
# losses of logarithms have no gradient left.
LOGIT = 17.0
GROWN = 10.0  # times that it had in its first quarter: a large number that does not move is none
STALE = 0.1  # of the average that are still the weights of the start; chosen
SLOWER = 0.5  # what rates are multiplied by


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    since: images at which it began. evidence: figures in words. reason, source: why that is bad,
    and who showed it. change: settings that are the way out, by path.
    """

    rule: str
    since: int
    evidence: str
    reason: str
    source: str
    change: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return {**self.__dict__, "change": dict(self.change)}


@dataclass
class Case:
    """A run as the rules see it.

    lines: the figures of each line of its log, in order. events: its other lines. penalty: the name
    of a gradient penalty at real samples, "" where none is installed or the run has one.
    """

    run: Run
    lines: list[dict[str, float]]
    events: list[dict[str, Any]]
    penalty: str = ""

    def column(self, name: str) -> list[float]:
        """A figure in every line, nan where a line has it not."""
        return [line.get(name, math.nan) for line in self.lines]

    def images(self, index: int) -> int:
        """The images of a line."""
        return int(self.lines[index]["images"])

    def rate(self, side: str) -> dict[str, float]:
        """The change that slows a player: its rate, or where its rate moves, the rate's start."""
        for key in (f"optim.{side}.lr", f"optim.{side}.lr.from"):
            value = run_log.number(self.run.settings.get(key))
            if value is not None:
                return {key: value * SLOWER}
        return {}

    def tamed(self) -> dict[str, Any]:
        """The change that holds the discriminator back: a gradient penalty, or a lower rate."""
        return {f"reg.{self.penalty}": True} if self.penalty else self.rate("disc")


def lasting(signs: Sequence[bool]) -> int | None:
    """The first line since which a sign holds to the end, or None when that is too short a time."""
    count = next((i for i, sign in enumerate(reversed(signs)) if not sign), len(signs))
    return len(signs) - count if count >= max(LINES, SHARE * len(signs)) else None


def _quarters(values: Sequence[float]) -> list[float]:
    """The medians of four equal parts; none of too few values."""
    known = [value for value in values if not math.isnan(value)]
    size = len(known) // 4
    if size < 1:
        return []
    return [median(known[i * size : (i + 1) * size]) for i in range(3)] + [
        median(known[3 * size :])
    ]


# The rules.


def not_finite(case: Case) -> Finding | None:
    """A loss, gradient or weight was not finite: the first part is in the line."""
    found = [e for e in case.events if e.get("event") in ("not finite", "rollback")]
    if not found:
        return None
    reason = plain_line(str(found[0].get("reason", "")))[:300]
    return Finding(
        "not finite",
        run_log.images_of(found[0]),
        reason,
        "one undefined number makes all weights undefined; rates and unbounded losses do it",
        "Goodfellow et al. 2016, Deep Learning, 10.11.1",
        {**case.rate("gen"), **case.rate("disc"), "optim.disc.clip_norm": 1.0},
    )


def collapse(case: Case) -> Finding | None:
    """Samples are alike, as a whole or in a few heaps."""
    spread, variety = case.column("spread"), case.column("variety")
    since = lasting([a < NARROW or b < ALIKE for a, b in zip(spread, variety, strict=True)])
    if since is None:
        return None
    return Finding(
        "mode collapse",
        case.images(since),
        f"samples vary {spread[-1]:.1%} as much as real ones and lie {variety[-1]:.0%} as far from "
        f"their neighbours; below {NARROW:.0%} or {ALIKE:.0%} since then",
        "the generator answers the discriminator of the moment with its best sample; a penalty on "
        "the discriminator's slope at real samples lets both come to rest",
        "Mescheder et al. 2018 (arXiv:1801.04406)",
        case.tamed(),
    )


def too_strong(case: Case) -> Finding | None:
    """The discriminator is right nearly always."""
    rank = case.column("rank")
    since = lasting([value > AHEAD for value in rank])
    if since is None:
        return None
    return Finding(
        "discriminator too strong",
        case.images(since),
        f"it judged {rank[-1]:.1%} of the pairs rightly; above {AHEAD:.0%} since then",
        "a discriminator that separates the two perfectly has no slope that tells the generator "
        "where to go",
        "Arjovsky and Bottou 2017 (arXiv:1701.04862)",
        case.tamed(),
    )


def too_weak(case: Case) -> Finding | None:
    """The discriminator takes generated samples for real ones."""
    rank = case.column("rank")
    since = lasting([value < MISLED for value in rank])
    rate = {path: value / SLOWER**2 for path, value in case.rate("disc").items()}
    if since is None:
        return None
    return Finding(
        "discriminator too weak",
        case.images(since),
        f"it judged {rank[-1]:.1%} of the pairs rightly; below {MISLED:.0%}, which is less than "
        "chance, since then",
        "a generator that is ahead learns the discriminator's faults and not the data",
        "Heusel et al. 2017 (arXiv:1706.08500): the discriminator must be the faster of the two",
        rate,
    )


def runaway(case: Case) -> Finding | None:
    """The logits grow without end."""
    size = [
        max(abs(a), abs(b)) for a, b in zip(*map(case.column, ("D(real)", "D(fake)")), strict=True)
    ]
    parts = _quarters(size)
    since = lasting([value > LOGIT for value in size])
    if since is None or not parts or parts[-1] < GROWN * parts[0]:
        return None
    return Finding(
        "logits run away",
        case.images(since),
        f"the larger of the mean logits was {parts[0]:.3g} in the first quarter of the log and "
        f"{parts[-1]:.3g} in the last",
        "nothing holds the discriminator's slope, which is what the generator is paid by",
        "Gulrajani et al. 2017 (arXiv:1704.00028)",
        case.tamed(),
    )


def stale_average(case: Case) -> Finding | None:
    """The averaged generator, which samples are drawn from, is still that of the start."""
    settings = case.run.settings
    half_life = run_log.number(settings.get("average.half_life"))
    if half_life is None:
        half_life = run_log.number(settings.get("average.half_life.from")) or 0.0
    limited = run_log.number(settings.get("average.ramp")) or 0.0
    done = max(case.run.images, 1)
    if not half_life or limited:
        return None
    share = 0.5 ** (done / half_life)
    if share < STALE:
        return None
    return Finding(
        "stale average",
        0,
        f"{share:.0%} of the averaged generator is the weights before any update: its half-life is "
        f"{half_life:,.0f} images, and {done:,} were shown",
        "pictures, scores and the generator file are the average's, not the live generator's",
        "Karras et al. 2018 (arXiv:1710.10196), who draw from an average of the weights",
        {"average.ramp": 0.05},
    )


Rule = Callable[[Case], Finding | None]
RULES: tuple[Rule, ...] = (
    not_finite,
    collapse,
    too_strong,
    too_weak,
    runaway,
    stale_average,
)


def open_case(folder: Path, registry: Registry) -> Case:
    """A run with its log; raises GanzooError for one that has too short a log to judge."""
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
    return Case(run, lines, events, _penalty(run, registry))


def _penalty(run: Run, registry: Registry) -> str:
    """A penalty on the slope at real samples that the run could have; "" where it has any."""
    used = run.of_family("reg")
    found = ""
    for component in registry.components("regularizer"):
        part = component.load()
        if isinstance(part, type) and issubclass(part, GradientPenalty):
            if component.name in used:
                return ""
            if part.at == "real" and not found:
                found = component.name
    return found


def examine(case: Case) -> list[Finding]:
    """What the rules find, by when it began."""
    found = [finding for rule in RULES if (finding := rule(case)) is not None]
    return sorted(found, key=lambda finding: finding.since)
