"""What the results of a sweep say: who survived, what was best, what that took, what mattered."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from ..io.files import write_text
from ..measure import differs
from ..runs.compare import bootstrap
from .page import page
from .plan import Plan
from .results import Result
from .settings import ALONE

JSON, PAGE = "report.json", "report.md"
CONFIDENCE = 0.95
SHUFFLES = 2000  # of a factor's values, for its chance
GROUPS = 4  # that numbers from a range are put into, by size


def write(folder: Path, plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    """Write report.json and report.md, and return what is in them."""
    found = report(plan, results)
    write_text(folder / JSON, json.dumps(found, indent=2) + "\n")
    write_text(folder / PAGE, page(found))
    return found


def report(plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    """Everything, as plain values."""
    results = [r for r in results if r.status != "failed"]
    refused = score_refused(results)
    scored = [] if refused else [r for r in results if r.score is not None]
    larger = any(r.larger for r in scored)
    settings = by_setting(results, scored, larger)
    about: dict[str, Any] = {
        "design": plan.design,
        "images": plan.images,
        "seconds": plan.seconds,
        "seeds": plan.seeds,
        "trials": len(plan.trials),
        "ended": len(results),
        "statuses": _counts([r.status for r in results]),
        "survival": rate(sum(r.survived for r in results), len(results)),
        "score": plan.score or next((r.measured for r in scored), ""),
        "larger": larger,
        "refused": refused,
        "settings": settings,
        "reasons": _counts([r.reason for r in results if r.reason]),
    }
    goodness = [_goodness(row, larger) for row in settings]
    # Of trials that were pruned nobody knows what they would have come to.
    drawn = bool(scored) and plan.design != ALONE and not plan.halving
    about["best_of"] = best_of(goodness, larger) if drawn else []
    about["factors"] = factors(settings, goodness) if drawn else []
    about["levels"] = levels(plan, results, scored)
    return about


def _counts(words: Sequence[str]) -> dict[str, int]:
    """How often each word is there, the most frequent first."""
    return dict(sorted(((w, words.count(w)) for w in {*words}), key=lambda p: (-p[1], p[0])))


def score_refused(results: Sequence[Result]) -> str:
    """Why scores may not stand in one column, or nothing: their protocols differ."""
    scored = [r for r in results if r.score is not None]
    for other in scored[1:]:
        if fields := differs(scored[0].protocol, other.protocol):
            return f"{', '.join(fields)} differs between trials {scored[0].trial} and {other.trial}"
    return ""


def rate(count: int, total: int) -> dict[str, Any]:
    """A share with Wilson's interval (1927), which holds for few trials too."""
    if not total:
        return {"count": 0, "total": 0, "share": None, "low": None, "high": None}
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2) / (1 + z * z / total)
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return {"count": count, "total": total, "share": share, "low": low, "high": high}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The mean with its bootstrap interval; none of a single value."""
    if not values:
        return {"mean": None, "low": None, "high": None, "count": 0}
    interval = bootstrap(values) or (None, None)
    mean = math.fsum(values) / len(values)
    return {"mean": mean, "low": interval[0], "high": interval[1], "count": len(values)}


def by_setting(
    results: Sequence[Result], scored: Sequence[Result], larger: bool
) -> list[dict[str, Any]]:
    """A row for each setting, the best first: its values, who survived, the score over seeds."""
    rows = []
    for number in sorted({r.setting for r in results}):
        own = [r for r in results if r.setting == number]
        values = [r.score for r in scored if r.setting == number and r.score is not None]
        row = {
            "setting": number,
            "values": own[0].values,
            "trials": [r.trial for r in own],
            "survived": sum(r.survived for r in own),
            "of": len(own),
            "pruned": sum(r.status == "pruned" for r in own),
            "score": spread(values),
        }
        rows.append(row)
    return sorted(rows, key=lambda row: -_goodness(row, larger))


def _goodness(row: Mapping[str, Any], larger: bool) -> float:
    """A setting's mean score, larger better. One of whose trials any has no score (it died, or was
    pruned) is below all others.
    """
    mean = row["score"]["mean"]
    if mean is None or row["score"]["count"] < row["of"]:
        return -math.inf
    return float(mean if larger else -mean)


def best_of(goodness: Sequence[float], larger: bool) -> list[dict[str, Any]]:
    """The best of k settings taken at random of those that were tried, for k from 1 on: its mean
    over all choices of k, and the 5 and 95 % points (Lucic et al. 2018: what a budget buys). Exact,
    by counting choices, without drawing any.

    Settings without a score count as the worst that any had.
    """
    known = [value for value in goodness if math.isfinite(value)]
    if not known:
        return []
    values = sorted((v if math.isfinite(v) else min(known) for v in goodness), reverse=True)
    rows = []
    for k in range(1, len(values) + 1):
        chances = _chances(len(values), k)
        mean = math.fsum(p * value for p, value in zip(chances, values, strict=True))
        low, high = _quantile(values, chances, 0.05), _quantile(values, chances, 0.95)
        sign = 1 if larger else -1
        points = sorted((sign * low, sign * high))
        rows.append({"settings": k, "mean": sign * mean, "low": points[0], "high": points[1]})
    return rows


def _chances(total: int, k: int) -> list[float]:
    """How likely the i-th best of all is the best of k: C(total - 1 - i, k - 1) / C(total, k), each
    of the one before: binomials of many settings have thousands of digits.
    """
    found = [k / total]
    for i in range(1, total):
        found.append(found[-1] * max(total - k - i + 1, 0) / (total - i))
    return found


def _quantile(values: Sequence[float], chances: Sequence[float], share: float) -> float:
    """The smallest value, of values in falling order, below or at which that share lies."""
    below = 0.0
    for value, chance in zip(reversed(values), reversed(chances), strict=True):
        below += chance
        if below >= share - 1e-12:
            return value
    return values[0]


# Which factors matter.


def factors(
    settings: Sequence[Mapping[str, Any]], goodness: Sequence[float]
) -> list[dict[str, Any]]:
    """Of each option the share of the variance of the settings' ranks that its values explain by
    themselves (the main effect of a functional analysis of variance, Hutter et al. 2014), what
    chance alone would explain, and how often as much: by shuffling its values over the settings.

    Ranks, since scores of trainings that went wrong have no scale; numbers of a range are taken in
    GROUPS groups of equal size. What options do together only is in no row.
    """
    ranks = _ranks(goodness)
    stream = random.Random(0)
    rounds = max(200, min(SHUFFLES, 400_000 // len(ranks)))
    rows = []
    for key in settings[0]["values"]:
        groups = _groups([row["values"].get(key) for row in settings])
        # A value of its own for each setting explains all, as any numbering would.
        if not 1 < len({*groups}) < len(groups) or len({*ranks}) < 2:
            continue
        share, more, sums = _explained(groups, ranks), 0, 0.0
        shuffled = list(groups)
        for _ in range(rounds):
            stream.shuffle(shuffled)
            other = _explained(shuffled, ranks)
            sums += other
            more += other >= share - 1e-12
        p = (more + 1) / (rounds + 1)
        rows.append({"option": key, "share": share, "by_chance": sums / rounds, "p": p})
    return sorted(rows, key=lambda row: -row["share"])


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, equal values with the mean of theirs."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]


def _explained(groups: Sequence[Any], ranks: Sequence[float]) -> float:
    """Variance between groups over all variance."""
    mean = math.fsum(ranks) / len(ranks)
    sums: dict[Any, list[float]] = {}
    for group, value in zip(groups, ranks, strict=True):
        sums.setdefault(group, []).append(value)
    between = math.fsum(len(v) * (math.fsum(v) / len(v) - mean) ** 2 for v in sums.values())
    return between / math.fsum((value - mean) ** 2 for value in ranks)


def _number(value: Any) -> float | None:
    """A value that has an order."""
    if isinstance(value, Mapping) and value.keys() == {"times"}:
        return float(value["times"])
    if isinstance(value, list):  # the first number of a list: Adam's beta
        return next((n for each in value if (n := _number(each)) is not None), None)
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def _groups(values: Sequence[Any]) -> list[str]:
    """Values as they are where they are few, numbers else in groups of equal size."""
    names = [repr(value) for value in values]
    numbers = [_number(value) for value in values]
    known = sorted(n for n in numbers if n is not None)
    if len({*names}) <= max(GROUPS, math.isqrt(len(values))) or len(known) < len(values):
        return names
    edges = [known[len(known) * i // GROUPS] for i in range(1, GROUPS)]
    return [str(sum(n >= edge for edge in edges)) for n in numbers if n is not None]


# What becomes of the recipe.


def levels(plan: Plan, results: Sequence[Result], scored: Sequence[Result]) -> list[dict[str, Any]]:
    """A row for each value of each option: how many trials survived, and their scores. Where each
    value was tried by itself, the first row is the recipe as it is, and `against` says how many
    times its mean score a value has.
    """
    if not results:
        return []
    alone = plan.design == ALONE
    base = [r.score for r in scored if alone and not r.values and r.score is not None]
    rows = [_level("", None, [r for r in results if not r.values], base, [])] if alone else []
    for key in dict.fromkeys(key for r in results for key in r.values):
        own = [r for r in results if key in r.values]
        for chosen in _grouped(own, key):
            trials = {r.trial for r in chosen}
            values = [r.score for r in scored if r.trial in trials and r.score is not None]
            rows.append(_level(key, _shown([r.values[key] for r in chosen]), chosen, values, base))
    return rows


def _grouped(own: Sequence[Result], key: str) -> list[list[Result]]:
    """Results by their value of an option, or by groups of values; numbers by size."""
    groups: dict[str, list[Result]] = {}
    for group, result in zip(_groups([r.values[key] for r in own]), own, strict=True):
        groups.setdefault(group, []).append(result)
    return sorted(groups.values(), key=lambda found: _size(found[0].values[key]))


def _size(value: Any) -> float:
    number = _number(value)
    return math.inf if number is None else number


def _shown(values: Sequence[Any]) -> Any:
    """The value, or from which to which the group goes."""
    if len({repr(value) for value in values}) == 1:
        return values[0]
    numbers = [n for value in values if (n := _number(value)) is not None]
    return f"{min(numbers):.3g} to {max(numbers):.3g}"


def _level(
    key: str, value: Any, own: Sequence[Result], scores: Sequence[float], base: Sequence[float]
) -> dict[str, Any]:
    ratio = None
    if scores and any(base):
        ratio = (math.fsum(scores) / len(scores)) / (math.fsum(base) / len(base))
    survival = rate(sum(r.survived for r in own), len(own))
    about = {"option": key, "value": value, "survival": survival, "score": spread(scores)}
    return about | {"against": ratio}
