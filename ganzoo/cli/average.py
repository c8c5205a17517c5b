"""`ganzoo average RUN`: an average of the generator whose length is chosen after the training."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import GanzooError, UsageError, one_line
from ._echo import echo
from ._patience import patience
from ._shared import Count, counted, loaded

LARGE = 0.05  # of a profile that is off, which is worth a line


@click.command("average", short_help="Average a generator over a length chosen afterwards.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--length",
    type=float,
    default=0.1,
    show_default=True,
    help="Of the average, as a share of the training: 0.01 to 0.25.",
)
@click.option("--at", type=Count(), help="Up to so many images, at which there are snapshots.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("average.safetensors"),
    show_default=True,
    help="The generator file to write.",
)
def command(run: Path, length: float, at: int | None, out: Path) -> None:
    """Average the generator of RUN over any length, from the snapshots that it kept.

    \b
    ganzoo train --set average.snapshots=10k
    ganzoo average runs/0001-digits-dcgan-rpgan-r1-r2 --length 0.15 --out long.safetensors
    ganzoo generate long.safetensors
    """
    from ..io.files import check_folder

    if out.suffix.lower() != ".safetensors":
        raise UsageError(f"--out {out}: write a name that ends in .safetensors")
    check_folder(out.parent, "out", out)
    registry = loaded().registry
    with patience():
        from .. import averaging
    with patience("averaging"):
        made = averaging.average(run, length, at, registry)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        written = averaging.write(out, made)
    except OSError as error:
        raise GanzooError(
            f"--out {out}: cannot be written: {error.strerror or one_line(error)}"
        ) from None
    for path, each in zip(written, made, strict=True):
        images = each.header.training["images"]
        echo(
            f"{path}  (length {length:g} up to {images:,} images, "
            f"of {counted(each.snapshots, 'snapshot')})"
        )
    worst = max(each.misfit for each in made)
    if worst > LARGE:
        echo(
            f"note: these snapshots come within {worst:.0%} of such an average; more of them come "
            "nearer",
            err=True,
        )
