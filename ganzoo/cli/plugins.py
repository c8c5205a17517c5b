"""`ganzoo plugins`: what is loaded and what is broken."""

from __future__ import annotations

from collections import Counter

import click

from ..components import loading
from ..components.kinds import KINDS
from ._shared import print_json, table


@click.command("plugins", short_help="Show the plugins that are loaded, and those that are broken.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Show every plugin, where it comes from, what it offers, and why it is broken if it is."""
    plugins = loading.inventory().plugins
    counts = [Counter(c.kind for c in p.components) for p in plugins]
    if as_json:
        print_json(
            [
                {
                    "plugin": p.name,
                    "distribution": p.distribution,
                    "version": p.version,
                    "components": dict(count),
                    "broken": p.broken or None,
                }
                for p, count in zip(plugins, counts, strict=True)
            ]
        )
        return
    rows = [
        [
            p.name,
            f"{p.distribution} {p.version}",
            f"BROKEN: {p.broken}"
            if p.broken
            else ", ".join(
                f"{n} {kind if n == 1 else KINDS[kind].plural}" for kind, n in count.items()
            ),
        ]
        for p, count in zip(plugins, counts, strict=True)
    ]
    table("plugins", ["plugin", "distribution", "offers"], rows)
