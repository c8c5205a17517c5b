"""`ganzoo data inspect PATH`: what a folder or zip of pictures holds, and what training would do with it."""

from __future__ import annotations

from pathlib import Path

import click

from ._shared import plain, print_json, table


@click.group("data", short_help="Look at data before training on it.")
def command() -> None:
    """Look at data before training on it."""


@command.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect_command(path: Path, as_json: bool) -> None:
    """Say what PATH, a folder or zip of pictures, holds: sizes, channels, classes, broken files, and what training would do."""
    from ..data import inspect

    found = inspect(path)
    if as_json:
        print_json(found)
        return
    rows = []
    for key, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = "; ".join(str(v) if not isinstance(v, dict) else " ".join(f"{x}" for x in v.values()) for v in value[:20])
        rows.append([key.replace("_", " "), plain(value)])
    table(str(path), ["", "found"], rows)
