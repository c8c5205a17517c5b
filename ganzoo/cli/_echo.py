"""Printing: the one place through which a command's words reach a terminal."""

from __future__ import annotations

import click

from ..errors import printable


def echo(text: str = "", *, err: bool = False) -> None:
    """One line on stdout or stderr, whatever names of files and
    plugins are in it; tabs stay, and nothing else that steers.

    All that commands print comes through here, or through
    `print_json`, `table` and `say`, which clean it likewise.
    """
    click.echo("\t".join(map(printable, text.split("\t"))), err=err)
