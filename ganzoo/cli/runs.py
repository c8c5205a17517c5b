"""`ganzoo runs [FOLDER...]`: what runs there are, how far they came and how they do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._echo import echo
from ._shared import print_json, table

if TYPE_CHECKING:
    from ..runs.listing import Run

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
FIGURES = 3  # scores in a row: the first figure of as many metrics


@click.command("runs", short_help="List runs: state, health, scores.")
@click.argument("folders", metavar="[FOLDER...]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--sort",
    metavar="KEY",
    help="By a column, a score (swd.distance) or a setting (optim.gen.lr).",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option(
    "--filter",
    "filters",
    metavar="KEY=VALUE",
    multiple=True,
    help="Only those of which this holds: loss.name=hinge, reg.gp=true, state=finished.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all settings.")
def command(
    folders: tuple[Path, ...],
    sort: str | None,
    reverse: bool,
    filters: tuple[str, ...],
    as_json: bool,
) -> None:
    """List the runs that lie in each FOLDER (`runs` by default), or are one.

    \b
    ganzoo runs --sort age
    ganzoo runs --filter loss.name=hinge --filter reg.gp=true
    """
    from ..runs import listing as reading

    places = folders or (Path("runs"),)
    found = [reading.read_run(path) for place in places for path in reading.find(place)]
    reading.tell_apart(found)
    for text in filters:
        found = reading.choose(found, text)
    if sort:
        found = reading.order(found, sort)
    if reverse:
        found.reverse()
    if as_json:
        print_json([run.values() for run in found])
        return
    if not found:
        where = ", ".join(map(str, places))
        echo(f"no run in {where}" if not filters else f"no such run in {where}", err=True)
        return
    columns = ["run", "state", "images", "data", "parts", "health", "scores", "age"]
    table("", columns, [row(run) for run in found], wrap="health")


def row(run: Run) -> list[str]:
    """A run's cells."""
    if run.state == "broken":
        return [run.name, "broken", "", "", "", run.trouble, "", age(run.age())]
    parts = run.parts
    nets = [parts["gen"], parts["disc"], parts["loss"], "+".join(parts["reg"])]
    first: dict[str, str] = {}
    for name, value in run.scores.items():
        first.setdefault(name.partition(".")[0], f"{name} {value:.4g}")
    return [
        run.name,
        run.state,
        f"{run.images:,}/{run.goal:,}",
        run.data,
        " ".join(part for part in nets if part),
        run.verdict,
        ", ".join([*first.values()][:FIGURES]),
        age(run.age()),
    ]


def age(seconds: float) -> str:
    """`3 h`: the largest unit of which there is one."""
    for size, unit in UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"
