"""`ganzoo data inspect PATH`: what a folder or zip of
pictures holds, and what training would do with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from ._echo import echo
from ._patience import patience
from ._shared import loaded, plain, print_json, table

NAMED = 20  # classes and broken files that are named one by one


@click.group("data", short_help="Look at data before training on it.")
def command() -> None:
    """Look at data before training on it."""


@command.command("inspect", short_help="Say what a folder or zip of pictures holds.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--resolution", metavar="N|HxW", help="As for ganzoo train.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect_command(path: Path, resolution: str | None, as_json: bool) -> None:
    """Say what PATH, a folder or zip of pictures, holds: sizes,
    channels, classes, broken files, and what training would do.
    """
    if not path.exists() and any(
        c.name == str(path) for c in loaded().registry.components("dataset")
    ):
        raise UsageError(f"{path}: a data set, and not a folder or zip; see ganzoo info {path}")
    with patience():
        from ..data import inspect, parse_resolution
        from ._report import data_progress

    with patience("listing what is there"), data_progress() as progress:
        found = inspect(
            path, resolution=parse_resolution(resolution) if resolution else None, progress=progress
        )
    if as_json:
        print_json(found)
        return
    table(
        f"{found['path']}: a {found['kind']} of {found['pictures']:,} pictures",
        ["", " "],
        _rows(found),
        always=True,
    )
    echo("training would take")
    for note in found["training"]["notes"]:
        echo(f"  {plain(note)}")
    echo(f"  {found['training']['memory_mib']:,} MiB of pixels")


def _rows(found: dict[str, Any]) -> list[list[str]]:
    sizes = found["sizes"]
    common = ", ".join(
        f"{s['height']}x{s['width']} ({s['pictures']:,})" for s in sizes["common"][:5]
    )
    spread = "; ".join(
        f"{side} {sizes[side]['min']} to {sizes[side]['max']}" for side in ("height", "width")
    )
    broken = [f"{b['name']} ({b['reason']})" for b in found["broken"]]
    rows = [
        ["bytes", f"{found['bytes']:,}"],
        [
            "sizes",
            common
            if sizes["distinct"] <= 5
            else f"{sizes['distinct']:,} different; {spread}; mostly {common}",
        ],
        ["modes", _counts(found["modes"])],
        ["formats", _counts(found["formats"])],
        [
            "classes",
            f"{len(found['classes'])}: {_counts(found['classes'])}"
            if found["classes"]
            else "none (no class folders)",
        ],
        ["broken", f"{len(broken)}: {_some(broken)}" if broken else "none"],
    ]
    counted = ("transparent", "animated", "duplicates", "others")
    return rows + [
        [key if key != "others" else "other files", f"{found[key]:,}"]
        for key in counted
        if found[key]
    ]


def _counts(counts: dict[str, int]) -> str:
    return _some([f"{name} {n:,}" for name, n in counts.items()])


def _some(words: list[str]) -> str:
    return ", ".join(words[:NAMED]) + (
        f" and {len(words) - NAMED:,} more" if len(words) > NAMED else ""
    )
