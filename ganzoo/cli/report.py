"""`ganzoo report RUN...`: one page about runs, to look at, send and keep."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..errors import UsageError
from ._echo import echo
from ._patience import patience
from ._shared import loaded
from .doctor import remedy


@click.command("report", short_help="Write one page about runs.")
@click.argument("runs", metavar="RUN...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE.html",
    help="The page; it holds all it shows.",
)
def command(runs: tuple[Path, ...], out: Path) -> None:
    """Write a page about runs: curves, samples over time, interpolation, nearest training samples,
    scores, health, settings.

    The page is one file, needs no network, and holds some training samples where these are at hand.
    """
    from ..io.files import check_folder

    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out}: write a name that ends in .html")
    check_folder(out.parent, "out", out)
    registry = loaded().registry
    with patience():
        from ..report import account, page

        out.parent.mkdir(parents=True, exist_ok=True)
        size = page.write(runs, out, registry, account.Commands(_repeat, remedy))
    echo(f"{out}  ({size / 1e6:.1f} MB)")


def _repeat(run: Path) -> str:
    """The command that trains the same anew."""
    return f"ganzoo train --config {shlex.quote(str(run / 'run.toml'))}"
