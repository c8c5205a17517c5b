"""`ganzoo info NAME`: everything about one component."""

from __future__ import annotations

import inspect
from typing import Any

import click

from .. import config as configuration
from ..components.kinds import KINDS, SINGLE, called
from ..components.options import REQUIRED
from ..components.registry import Component, Registry
from ..components.traits import has, wants
from ..errors import GanzooError, UnknownComponent, nearest
from ._complete import components, kinds
from ._echo import echo
from ._patience import patience
from ._shared import loaded, plain, print_json, table

TRAITS = (
    "modalities",
    "conditional",
    "partner",
    "per_sample",
    "adapts",
    "labels",
    "side",
    "at",
    "needs",
)
SAID = {
    "modalities": "data",
    "per_sample": "per sample",
    "at": "slope at",
    "conditional": "reads labels",
}  # traits for a person


@click.command("info", short_help="Show a component's options, traits and companions.")
@click.argument("name", shell_complete=components())
@click.option(
    "--kind", shell_complete=kinds, help="When components of several kinds have this name."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, kind: str | None, as_json: bool) -> None:
    """Show what NAME is: its options with types and defaults,
    its traits, what it goes with, the recipes that use it.
    """
    registry = loaded().registry
    found = _find(registry, name, called(kind) if kind else None)
    with patience():
        described = [describe(component, registry) for component in found]
    if as_json:
        print_json(described)
        return
    for i, about in enumerate(described):
        if i:
            echo()
        _show(about)


def _find(registry: Registry, name: str, kind: str | None) -> list[Component]:
    """The components of that name, of every kind that has one."""
    kinds = (
        [kind]
        if kind
        else [
            k
            for k in KINDS
            if any(c.name == name.rpartition("/")[2] for c in registry.components(k))
        ]
    )
    if not kinds:
        known = {c.called: c.name for c in registry.components()}
        raise UnknownComponent(
            f"no component named {name!r}{nearest(name, known.values(), known)}; ganzoo list "
            f"shows all"
        )
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
    if "per_sample" in about["traits"].get("adapts", {}):
        del about["traits"]["per_sample"]  # it depends on options, and is said with them
    about["options"] = {
        option.name: {
            "type": option.type,
            "default": None if option.default is REQUIRED else str(option.default),
            "help": option.help,
        }
        for option in component.options().values()
    }
    about["goes_with"] = companions(component, factory, registry)
    about["recipes"] = [
        recipe.name for recipe in registry.components("recipe") if _uses(recipe, component)
    ]
    return about


def companions(component: Component, factory: Any, registry: Registry) -> dict[str, list[str]]:
    """Parts of other kinds that this one can be trained
    with, with the option that it takes where it takes one.
    """
    found: dict[str, list[str]] = {}
    if component.kind in ("generator", "discriminator"):
        other = "discriminator" if component.kind == "generator" else "generator"
        found[KINDS[other].plural] = [
            c.name
            for c, net in _loaded(registry, other)
            if set(getattr(net, "modalities", ())) & set(getattr(factory, "modalities", ()))
        ]
    for kind, trait in wants(factory):
        pairs = [(c.name, _gives(part, trait)) for c, part in _loaded(registry, kind)]
        able = [name + how for name, how in pairs if how is not None]
        plural = KINDS[kind].plural
        found[plural] = [name for name in found.get(plural, able) if name in able]
    if KINDS[component.kind].net and component.kind in SINGLE.values():
        found["regularizers"] = [
            c.name + how
            for c, part in _loaded(registry, "regularizer")
            if (how := _suits(factory, component.kind, part)) is not None
        ]
    return found


def _suits(factory: Any, kind: str, asker: Any) -> str | None:
    """How a part of a kind comes by all that another needs of it, or None when it does not."""
    ways = [_gives(factory, trait) for k, trait in wants(asker) if k == kind]
    return None if None in ways else "".join(dict.fromkeys(way or "" for way in ways))


def _loaded(registry: Registry, kind: str) -> list[tuple[Component, Any]]:
    """The components of a kind with their factories; those that cannot be imported are left out."""
    found = []
    for component in registry.components(kind):
        try:
            found.append((component, component.load()))
        except GanzooError:
            continue
    return found


def _gives(factory: Any, trait: str) -> str | None:
    """How a part comes by a trait: nothing to do, ` (norm=layer)`, or None when it has it not."""
    remedy = getattr(factory, "adapts", {}).get(trait)
    if remedy:
        return " (" + ", ".join(f"{key}={value}" for key, value in remedy.items()) + ")"
    return "" if has(factory, trait) else None


def _uses(source: Component, component: Component) -> bool:
    """Whether a recipe names a component; one that cannot be read names none."""
    try:
        recipe = source.recipe()
    except GanzooError:
        return False
    used = {(kind, name) for _, kind, name in configuration.named(recipe)}
    return (component.kind, component.name) in used


def _default(value: str | None) -> str:
    """An option's default, to read."""
    if value is None:
        return "must be given"
    return "none" if value == "None" else value


def _show(about: dict[str, Any]) -> None:
    """The same for a person."""
    rows = [
        ["paper", about["paper"]],
        ["from", f"{about['distribution']}:{about['plugin']} {about['version']}"],
    ]
    for name, value in about.get("traits", {}).items():
        rows.append([SAID.get(name, name), _words(value)])
    rows += [
        ["goes with", f"{kind}: {', '.join(names) or 'none'}"]
        for kind, names in about.get("goes_with", {}).items()
    ]
    rows.append(["recipes", ", ".join(about.get("recipes", ()))])
    rows.append(["source", about.get("settings", {}).get("source", "")])
    echo(f"{about['kind']} {about['name']}: {plain(about['summary'])}")
    table("", ["", " "], [[f"  {key}", value] for key, value in rows if value], always=True)
    if about.get("options"):
        prefix = KINDS[about["kind"]].options.format(name=about["name"])
        options = [
            [
                prefix + name,
                o["type"],
                _default(o["default"]),
                o["help"],
            ]
            for name, o in about["options"].items()
        ]
        table("options, for --set", ["option", "type", "default", "help"], options, always=True)
    if "settings" in about:
        import tomlkit

        said = ("summary", "paper", "source")
        echo(
            tomlkit.dumps(
                {key: value for key, value in about["settings"].items() if key not in said}
            ).rstrip()
        )


def _words(value: Any) -> str:
    """A trait's value without Python's brackets."""
    if isinstance(value, dict):
        inner = [
            f"{key} with " + " ".join(f"{k}={x}" for k, x in v.items())
            if isinstance(v, dict)
            else f"{key} {v}"
            for key, v in value.items()
        ]
        return ", ".join(inner)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "yes" if value is True else str(value)
