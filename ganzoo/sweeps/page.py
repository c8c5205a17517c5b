"""The report of a sweep as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import plain_line

ROWS = 20  # settings that are shown; report.json has all
KS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # settings of a budget that are shown


def page(about: Mapping[str, Any]) -> str:
    """Tables of what a report says, for a person."""
    parts = [["# Sweep", "", *_head(about)], _settings(about), _best(about)]
    parts += [_factors(about), _levels(about)]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _head(about: Mapping[str, Any]) -> list[str]:
    survival = about["survival"]
    seconds = f", at most {about['seconds']:g} s of training" if about["seconds"] else ""
    ways = ", ".join(f"{count} {word}" for word, count in about["statuses"].items())
    lines = [
        f"{about['ended']} of {about['trials']} trials have ended ({ways or 'none'}); each was "
        f"to be shown {about['images']:,} images{seconds}; {about['seeds']} "
        f"seed{'s' if about['seeds'] > 1 else ''} a setting.",
        "",
        f"Survived, which is finite to the end and not collapsed by the last line of its log: "
        f"{_rate(survival)}.",
        "",
    ]
    if about["refused"]:
        lines += [f"Scores are not compared: {about['refused']}.", ""]
    reasons = [f"- {count} x {_cell(reason)}" for reason, count in about["reasons"].items()]
    return [*lines, *(["Why trials ended:", "", *reasons[:ROWS], ""] if reasons else [])]


def _settings(about: Mapping[str, Any]) -> list[str]:
    better = "larger is better" if about["larger"] else "smaller is better"
    title = f"{about['score']} ({better})" if about["score"] else "score"
    rows = [
        [row["setting"], tried(row["values"]), f"{row['survived']} of {row['of']}",
         "pruned" if row["pruned"] == row["of"] else _spread(row["score"])]
        for row in about["settings"][:ROWS]
    ]  # fmt: skip
    lines = _table("Settings", ["", "setting", "survived", title], rows)
    more = len(about["settings"]) - ROWS
    note = "Means over seeds with their 95 % bootstrap interval, which is too narrow for few seeds."
    if more > 0:
        note += f" {more} more settings are in report.json."
    return [*lines, note, ""] if lines else []


def _best(about: Mapping[str, Any]) -> list[str]:
    rows = about["best_of"]
    shown = [row for row in rows if row["settings"] in KS or row is rows[-1]]
    cells = [[r["settings"], _n(r["mean"]), f"{_n(r['low'])} to {_n(r['high'])}"] for r in shown]
    title = "What a budget buys"
    lines = _table(title, ["settings tried", "best, on average", "in 90 % of cases"], cells)
    note = (
        "The best of so many of these settings, over all ways to choose them (Lucic et al. 2018)."
    )
    return [*lines, note, ""] if lines else []


def _factors(about: Mapping[str, Any]) -> list[str]:
    rows = [
        [row["option"], f"{row['share']:.0%}", f"{row['by_chance']:.0%}", f"{row['p']:.2g}"]
        for row in about["factors"]
    ]
    lines = _table("What matters", ["option", "explains", "by chance", "p"], rows)
    note = (
        "The share of the variance of the settings' ranks that an option explains by itself, what "
        "it would explain with its values shuffled, and how often as much."
    )
    return [*lines, note, ""] if lines else []


def _levels(about: Mapping[str, Any]) -> list[str]:
    rows = [
        [row["option"] or "the base", "" if row["value"] is None else worded(row["value"]),
         _rate(row["survival"]), _spread(row["score"], "trials"),
         "" if row["against"] is None else f"x{row['against']:.3g}"]
        for row in about["levels"]
    ]  # fmt: skip
    columns = ["option", "value", "survived", about["score"] or "score", "against the base"]
    shown = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
    return _table("Value by value", columns[:shown], [row[:shown] for row in rows])


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [" | ".join(map(_cell, row)) for row in rows]
    if not lines:
        return []
    heads = " | ".join(map(_cell, columns))
    head = [f"## {title}", "", f"| {heads} |", f"|{'---|' * len(columns)}"]
    return [*head, *(f"| {line} |" for line in lines), ""]


def _cell(value: Any) -> str:
    return plain_line(str(value)).replace("|", "\\|")


def tried(values: Mapping[str, Any]) -> str:
    """A setting in words."""
    return ", ".join(f"{key}={worded(value)}" for key, value in values.items()) or "the base"


def worded(value: Any) -> str:
    """A value that is tried, as a person reads it."""
    if isinstance(value, Mapping) and value.keys() == {"times"}:
        return f"x{value['times']:g}"
    if isinstance(value, Mapping) and all(isinstance(own, Mapping) for own in value.values()):
        return "+".join(name + _options(own) for name, own in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _options(own: Mapping[str, Any]) -> str:
    """The options of a part that is tried, as in r1(weight=0.1)."""
    given = ", ".join(f"{key}={worded(value)}" for key, value in own.items())
    return f"({given})" if given else ""


def _rate(rate: Mapping[str, Any]) -> str:
    if rate["share"] is None:
        return "-"
    counted = f"{rate['count']} of {rate['total']}"
    return f"{counted} ({rate['low']:.0%} to {rate['high']:.0%})"


def _spread(each: Mapping[str, Any], of: str = "seeds") -> str:
    if each["mean"] is None:
        return "-"
    if each["low"] is None:
        return _n(each["mean"])
    return f"{_n(each['mean'])} [{_n(each['low'])}, {_n(each['high'])}], {each['count']} {of}"


def _n(value: float) -> str:
    return f"{value:.4g}"
