"""`ganzoo uninstall NAME...`: pip, out of the environment
that runs ganzoo; loads no plugin, so a broken one can go.
"""

from __future__ import annotations

import re

import click

from ..components.loading import origins
from ..errors import UsageError, nearest, shown
from . import _pip


@click.command("uninstall", short_help="Uninstall plugins with pip, broken ones too.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(names: tuple[str, ...], yes: bool) -> None:
    """Uninstall distributions that brought plugins, by
    the names in the second column of `ganzoo plugins`.
    """
    _pip.check_words("NAME", names)
    known = origins() - {"ganzoo"}
    for name in names:
        if _canonical(name) not in map(_canonical, known):
            hint = nearest(name, known) or f" (there are: {', '.join(sorted(known)) or 'none'})"
            raise UsageError(
                f"NAME {shown(name)}: no plugin was installed by it{hint}; for all else use "
                f"python -m pip"
            )
    _pip.run(["uninstall"], ["--yes"] if yes else [], names)


def _canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
