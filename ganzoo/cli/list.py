"""`ganzoo list`: the components that are installed."""

from __future__ import annotations

import click

from ..components.catalogue import install_line, offered
from ..components.kinds import KINDS, called
from ..components.registry import Component
from ..errors import GanzooError
from ._complete import kinds
from ._echo import echo
from ._shared import drawn, loaded, print_json, table


@click.command("list", short_help="List the components that are installed.")
@click.argument("kind", required=False, shell_complete=kinds)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also those of ganzoo's catalogue whose plugin is not installed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str | None, everything: bool, as_json: bool) -> None:
    """List components: all, or those of one KIND (generators, losses, regularizers, ...)."""
    found = loaded()
    wanted = called(kind) if kind else None
    components = found.registry.components(wanted)
    here = {plugin.distribution for plugin in found.plugins}
    missing = (
        [c for c in offered() if c["distribution"] not in here and wanted in (None, c["kind"])]
        if everything
        else []
    )
    if as_json:
        print_json(
            [
                {
                    "kind": c.kind,
                    "name": c.name,
                    "plugin": c.plugin,
                    "distribution": c.distribution,
                    "version": c.version,
                    **dict(zip(("summary", "paper"), _said(c), strict=True)),
                    "installed": True,
                }
                for c in components
            ]
            + [{**c, "version": "", "paper": "", "installed": False} for c in missing]
        )
        return
    if not components:
        echo(f"no {wanted or 'component'} is installed", err=True)
    if drawn():
        _draw(components, missing)
    else:
        _print_rows(components, missing)


def _said(component: Component) -> tuple[str, str]:
    """Summary and paper; of a recipe that cannot be read, why."""
    try:
        return component.summary, component.paper
    except GanzooError as error:
        return f"BROKEN: {error}", ""


def _print_rows(components: list[Component], missing: list[dict[str, str]]) -> None:
    """A line a component, for programs."""
    rows = [[c.kind, c.name, *_said(c), f"{c.distribution}:{c.plugin}"] for c in components]
    for c in missing:
        owner = f"{c['distribution']}:{c['plugin']} (not installed)"
        rows.append([c["kind"], c["name"], c["summary"], "", owner])
    table("", [""] * 5, rows)


def _draw(components: list[Component], missing: list[dict[str, str]]) -> None:
    """A table a kind, for a person."""
    width = max((len(c.name) for c in components), default=0)
    for each in KINDS:
        rows = [
            [c.name.ljust(width), ", ".join(filter(None, _said(c))), c.distribution]
            for c in components
            if c.kind == each
        ]
        if rows:
            table(KINDS[each].plural, ["", " ", "  "], rows, wrap=" ")
            echo()
    if missing:
        rows = [
            [
                c["name"],
                f"{c['kind']}; {c['summary']}",
                install_line(c["distribution"], "ganzoo install"),
            ]
            for c in missing
        ]
        table("not installed", ["", " ", "  "], rows, wrap=" ")
        echo()
    echo("ganzoo info NAME shows the options of one")
