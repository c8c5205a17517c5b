"""`ganzoo new-plugin NAME`: a plugin project to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..components import loading
from ..components.kinds import KINDS, called
from ..errors import UsageError, nearest
from ._complete import kinds as complete_kinds
from ._echo import echo


@click.command(
    "new-plugin", short_help="Write a plugin project that installs, passes its tests and trains."
)
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    metavar="KIND",
    multiple=True,
    shell_complete=complete_kinds,
    default=["loss"],
    help="Of component, loss by default; may repeat.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path(),
    help="Where the folder ganzoo-NAME is made.",
)
def command(name: str, kinds: tuple[str, ...], out: Path) -> None:
    """Write the project ganzoo-NAME: a package with one working
    component of each KIND, its entry point, tests, README and CI.

    \b
    ganzoo new-plugin soft --kind generator --kind loss
    """
    from ..scaffold.new_plugin import write_project

    chosen = [called(kind) for kind in kinds]
    for given, kind in zip(kinds, chosen, strict=True):
        if kind not in KINDS:
            raise UsageError(
                f"--kind {given}: no such kind{nearest(given, KINDS)} (kinds: {', '.join(KINDS)})"
            )
    folder = write_project(name, chosen, out, loading.inventory().registry)
    where = shlex.quote(str(folder))
    echo(f"wrote {folder}, with one {', one '.join(dict.fromkeys(chosen))}, called {name}")
    echo("next:")
    echo(f"  ganzoo install -e {where}")
    echo(f"  ganzoo check-plugin ganzoo-{name}")
    echo(f"  ganzoo info {name}")
