"""What several commands need."""

from __future__ import annotations

import json
from typing import Any

import click

from ..errors import GanzooError, one_line
from ..plugins import Zoo, zoo


def loaded() -> Zoo:
    """The installed plugins; one warning line for each broken one."""
    found = zoo()
    for plugin in found.broken:
        click.echo(f"Warning: plugin {plain(plugin.who)} is broken and left out: {plain(plugin.broken)}", err=True)
    return found


def plain(text: object) -> str:
    """Text from plugins and files without control characters, which a terminal would obey."""
    return one_line(GanzooError(str(text)))


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout: drawn on a terminal, tab-separated elsewhere."""
    if not click.get_text_stream("stdout").isatty():
        for row in rows:
            click.echo("\t".join(plain(cell) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, box=box.SIMPLE, title_justify="left")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(drawn)
