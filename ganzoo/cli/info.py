"""`ganzoo info NAME`: everything about one component."""

from __future__ import annotations

import inspect
from typing import Any

import click

from ..config import FAMILIES
from ..errors import UnknownComponent, nearest
from ..hookspecs import KINDS
from ..options import REQUIRED
from ..registry import Component, Registry
from ._shared import loaded, plain, print_json, table
from .list import _kind

TRAITS = ("sorts", "conditional", "partner", "per_sample", "adapts", "labels", "side", "at", "needs")


@click.command("info", short_help="Show a component's options, traits and companions.")
@click.argument("name")
@click.option("--kind", help="When components of several kinds have this name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, kind: str | None, as_json: bool) -> None:
    """Show what NAME is: its options with types and defaults, its traits, the recipes that use it."""
    registry = loaded().registry
    found = _find(registry, name, _kind(kind) if kind else None)
    described = [describe(component, registry) for component in found]
    if as_json:
        print_json(described)
        return
    for about in described:
        _show(about)


def _find(registry: Registry, name: str, kind: str | None) -> list[Component]:
    """The components of that name, of every kind that has one."""
    kinds = [kind] if kind else [k for k in KINDS if any(c.name == name.rpartition("/")[2] for c in registry.components(k))]
    if not kinds:
        known = {c.name for c in registry.components()}
        raise UnknownComponent(f"no component named {name!r}{nearest(name, known)}; ganzoo list shows all")
    return [registry.get(k, name) for k in kinds]


def describe(component: Component, registry: Registry) -> dict[str, Any]:
    """A component as plain values."""
    about: dict[str, Any] = {
        "kind": component.kind,
        "name": component.name,
        "plugin": component.plugin,
        "distribution": component.distribution,
        "version": component.version,
        "summary": component.summary,
        "paper": component.paper,
    }
    if component.kind == "recipe":
        return about | {"settings": component.recipe()}
    factory = component.load()
    about["traits"] = {
        name: value
        for name in TRAITS
        if (value := inspect.getattr_static(factory, name, None)) not in (None, {}, False)
        and isinstance(value, str | bool | tuple | dict)
    }
    about["options"] = {
        option.name: {
            "type": option.type,
            "default": None if option.default is REQUIRED else str(option.default),
            "help": option.help,
        }
        for option in component.options().values()
    }
    about["recipes"] = [recipe.name for recipe in registry.components("recipe") if _uses(recipe.recipe(), component)]
    return about


def _uses(recipe: dict[str, Any], component: Component) -> bool:
    sections = {"generator": "gen", "discriminator": "disc", "loss": "loss", "dataset": "data"}
    if component.kind in sections:
        return bool(recipe.get(sections[component.kind], {}).get("name") == component.name)
    if component.kind == "optimizer":
        return any(part.get("name") == component.name for part in recipe.get("optim", {}).values())
    family = next((family for family, kind in FAMILIES.items() if kind == component.kind), "")
    return component.name in recipe.get(family, {})


def _show(about: dict[str, Any]) -> None:
    click.echo(f"{about['kind']} {about['name']}: {plain(about['summary'])}")
    click.echo(
        f"  from {about['distribution']}:{about['plugin']} {about['version']}" + (f", {about['paper']}" if about["paper"] else "")
    )
    for name, value in about.get("traits", {}).items():
        click.echo(f"  {name}: {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
    if about.get("options"):
        rows = [
            [name, o["type"], "must be given" if o["default"] is None else o["default"], o["help"]]
            for name, o in about["options"].items()
        ]
        table("options", ["option", "type", "default", "help"], rows)
    if about.get("recipes"):
        click.echo(f"  recipes: {', '.join(about['recipes'])}")
    if "settings" in about:
        import tomlkit

        click.echo(tomlkit.dumps(about["settings"]))
