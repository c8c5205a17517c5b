"""`ganzoo list`: the components that are installed."""

from __future__ import annotations

import click

from ..hookspecs import KINDS, PLURALS
from ._shared import drawn, loaded, print_json, table


def _kind(text: str) -> str:
    """A kind by its singular, its plural or its flag's short name."""
    short = {"gen": "generator", "disc": "discriminator", "reg": "regularizer", "aug": "augmentation"}
    return short.get(text) or next((kind for kind in KINDS if text in (kind, PLURALS[kind])), text)


@click.command("list", short_help="List the components that are installed.")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str | None, as_json: bool) -> None:
    """List components: all, or those of one KIND (generators, losses, regularizers, ...)."""
    components = loaded().registry.components(_kind(kind) if kind else None)
    if as_json:
        print_json(
            [
                {
                    "kind": c.kind,
                    "name": c.name,
                    "plugin": c.plugin,
                    "distribution": c.distribution,
                    "version": c.version,
                    "summary": c.summary,
                    "paper": c.paper,
                }
                for c in components
            ]
        )
        return
    if not components:
        click.echo(f"no {kind or 'component'} is installed", err=True)
    if not drawn():
        table("", [""] * 5, [[c.kind, c.name, c.summary, c.paper, f"{c.distribution}:{c.plugin}"] for c in components])
        return
    width = max((len(c.name) for c in components), default=0)
    for each in KINDS:
        rows = [
            [c.name.ljust(width), ", ".join(filter(None, (c.summary, c.paper))), c.distribution]
            for c in components
            if c.kind == each
        ]
        if rows:
            table(PLURALS[each], ["", " ", "  "], rows, wrap=" ")
            click.echo()
    click.echo("ganzoo info NAME shows the options of one")
