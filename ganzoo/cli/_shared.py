"""What several commands need."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from ..components.loading import Zoo, zoo
from ..config.counts import parse_count
from ..errors import BadOption, UsageError, plain_line
from ._echo import echo
from ._voice import speaks


class Whole(click.IntRange):
    """A whole number in a range; outside of it, the library's own words for that."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or BadOption."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            raise BadOption(bounds(self, value, int), key=_name(param), value=value) from None


class Real(click.FloatRange):
    """A number in a range, as Whole."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or BadOption."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            raise BadOption(bounds(self, value, float), key=_name(param), value=value) from None


class Count(click.ParamType[int]):
    """A count that may be written 50k."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or UsageError."""
        try:
            number = parse_count(value)
        except ValueError as error:
            raise UsageError(str(error), key="count", value=value) from None
        if not isinstance(number, int) or number < 1:
            raise UsageError("give 1 or more, as in 50k", key="count", value=value)
        return number


def bounds(limits: click.IntRange | click.FloatRange, value: Any, number: type) -> str:
    """What to give instead of a value that is no number, or outside of the limits."""
    try:
        low = limits.min is not None and number(value) < limits.min
    except ValueError:
        return "give a whole number" if number is int else "give a number"
    if limits.min_open:
        return f"give more than {limits.min:g}"
    return f"give {limits.min} or more" if low else f"give {limits.max} or less"


def _name(param: click.Parameter | None) -> str:
    return (param.name if param else None) or ""


def counted(number: int, noun: str) -> str:
    """`1 sample`, `2 samples`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def loaded() -> Zoo:
    """The installed plugins; one warning line for each broken one."""
    found = zoo()
    for plugin in found.broken if speaks() else ():
        echo(
            f"Warning: plugin {plain(plugin.who)} is broken and left out: {plain(plugin.broken)}",
            err=True,
        )
    return found


def plain(text: object) -> str:
    """Text from plugins and files without control characters, which a terminal would obey."""
    return plain_line(str(text))


def print_json(value: Any) -> None:
    """JSON on stdout, indented; what JSON has no form for (a date in a recipe) as text."""
    text = json.dumps(value, indent=2, default=str)  # in ASCII; what steers is escaped, but for DEL
    click.echo(text.replace("\x7f", "\\u007f"))


def drawn() -> bool:
    """Whether stdout is a terminal, for a person; a program gets tabs."""
    return sys.stdout.isatty()


SHORT = 36  # characters of a cell that is never broken


def table(
    title: str, columns: list[str], rows: list[list[str]], *, wrap: str = "", always: bool = False
) -> None:
    """A table on stdout: drawn on a terminal (or `always`), tab-separated elsewhere. wrap: the
    column whose text takes the room that is left, by default the last.
    """
    if not (drawn() or always):
        for row in rows:
            echo("\t".join(plain(cell) for cell in row))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    lines = Table(
        box=None,
        show_header=any(c.strip() for c in columns),
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for number, column in enumerate(columns):
        longest = max((len(row[number]) for row in rows), default=0)
        whole = column != (wrap or columns[-1]) and (number == 0 or longest <= SHORT)
        lines.add_column(column, no_wrap=whole, overflow="fold")
    for row in rows:
        lines.add_row(*(Text(plain(cell)) for cell in row))
    console = Console(width=None if drawn() else 100)
    with console.capture() as capture:
        if title:
            console.print(Text(plain(title), style="bold"), soft_wrap=True)
        console.print(Padding(lines, (0, 0, 0, 2 if title else 0)))
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
