"""`ganzoo install NAME...`: pip, into the environment that runs ganzoo."""

from __future__ import annotations

import click

from ..components.catalogue import distributions
from ..errors import UsageError
from . import _pip
from ._echo import echo
from ._shared import plain


@click.command(
    "install", short_help="Install plugins with pip, into the environment that runs ganzoo."
)
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("-U", "--upgrade", is_flag=True, help="Upgrade to the newest version.")
@click.option(
    "-e",
    "--editable",
    metavar="PATH",
    multiple=True,
    help="A project's folder, used where it lies; may repeat.",
)
def command(names: tuple[str, ...], upgrade: bool, editable: tuple[str, ...]) -> None:
    """Install distributions (ganzoo-NAME), or anything else
    that pip takes; the command line that is run is shown.

    \b
    ganzoo install ganzoo-soft
    ganzoo install -e ./ganzoo-soft
    """
    if not names and not editable:
        raise UsageError("NAME: say what to install: ganzoo install ganzoo-NAME, or -e FOLDER")
    _pip.check_words("NAME", names)
    _pip.check_words("--editable", editable)
    for name in names:
        if name not in distributions():
            echo(
                f"note: {plain(name)} is not in ganzoo's catalogue; a plugin's code runs with all "
                f"your rights",
                err=True,
            )
    options = [*(["--upgrade"] if upgrade else []), *(f"--editable={path}" for path in editable)]
    _pip.run(["install"], options, names)
    echo("installed; ganzoo plugins shows what is loaded, and what is broken", err=True)
