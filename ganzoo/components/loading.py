"""Finding and loading plugins: each by itself, so that a
broken one is a line in a report and nothing else stops.
"""

import contextlib
import difflib
import functools
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from .. import __version__
from ..errors import BrokenPlugin, one_line
from .catalogue import install_line
from .hooks import Hooks, Register
from .isolation import contained, off_stdout
from .kinds import KINDS
from .registry import Component, Registry, examine

GROUP = "ganzoo"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass
class Plugin:
    """One entry point: where it comes from, what it registered, and why it is broken if it is."""

    name: str
    distribution: str
    version: str
    target: str
    components: list[Component] = field(default_factory=list)
    broken: str = ""

    @property
    def who(self) -> str:
        return f"{self.distribution}:{self.name}"


@dataclass
class Zoo:
    """All plugins found, and the registry of what the sound ones offer."""

    plugins: list[Plugin]
    registry: Registry

    @property
    def broken(self) -> list[Plugin]:
        return [p for p in self.plugins if p.broken]


@functools.cache
def inventory() -> Zoo:
    """The installed plugins, loaded once a process, broken ones included."""
    return load(entry_points(group=GROUP))


def origins() -> set[str]:
    """The distributions that plugins come from, read
    from their metadata alone: no plugin is loaded.
    """
    return {_origin(entry.dist)[0] for entry in entry_points(group=GROUP)}


def zoo() -> Zoo:
    """The installed plugins; with GANZOO_STRICT_PLUGINS=1 a
    broken one raises BrokenPlugin instead of being left out.
    """
    found = inventory()
    if found.broken and os.environ.get("GANZOO_STRICT_PLUGINS") == "1":
        worst = found.broken[0]
        raise BrokenPlugin(
            f"plugin {worst.who} is broken: {worst.broken} (GANZOO_STRICT_PLUGINS=1)"
        )
    return found


def load(entries: Iterable[EntryPoint]) -> Zoo:
    """Load plugins from entry points; broken ones are kept with their reason."""
    found: list[Plugin] = []
    seen: set[tuple[str, str, str]] = set()
    pairs = [(Plugin(entry.name, *_origin(entry.dist), entry.value), entry) for entry in entries]
    for plugin, entry in sorted(pairs, key=lambda pair: (pair[0].distribution, pair[0].name)):
        key = (plugin.distribution, plugin.name, plugin.target)
        if key in seen or not _wanted(
            plugin.distribution
        ):  # an editable install can be listed twice
            continue
        seen.add(key)
        found.append(plugin)
        quiet = off_stdout() if plugin.distribution != "ganzoo" else contextlib.nullcontext()
        try:
            with contained(), quiet:
                _check_requirement(plugin, entry.dist)
                plugin.components = _collect(entry.load(), plugin)
        except Exception as error:
            plugin.broken = one_line(error)
    registry = Registry()
    for plugin in found:
        registry.add(plugin.components)
    return Zoo(found, registry)


def _trace(line: str) -> None:
    """GANZOO_TRACE_PLUGINS=1 shows every hook call and registration."""
    if os.environ.get("GANZOO_TRACE_PLUGINS") == "1":
        print(one_line(Exception(line)).removeprefix("Exception: "), file=sys.stderr)


def _wanted(distribution: str) -> bool:
    """GANZOO_LOAD_PLUGINS names the distributions to load beside the built-ins; unset means all."""
    chosen = os.environ.get("GANZOO_LOAD_PLUGINS")
    return (
        chosen is None
        or distribution == "ganzoo"
        or distribution in {part.strip() for part in chosen.split(",")}
    )


def _origin(distribution: Distribution | None) -> tuple[str, str]:
    """Name and version of a distribution, whose metadata may be damaged."""
    try:
        return (
            (distribution.name or "unknown", distribution.version or "")
            if distribution
            else ("unknown", "")
        )
    except Exception:  # importlib.metadata raises what it happens to meet
        return "unknown", ""


def _check_requirement(plugin: Plugin, distribution: Distribution | None) -> None:
    """Raise BrokenPlugin when a distribution's requirement of
    ganzoo, which says what the plugin is for, excludes this version.
    """
    texts = (distribution.requires if distribution else None) or ()
    if plugin.distribution == "ganzoo" or not any(
        text.lower().startswith("ganzoo") for text in texts
    ):
        return
    from packaging.requirements import (
        InvalidRequirement,
        Requirement,
    )  # late: only third parties' plugins need it
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    try:
        running, needs = (
            Version(__version__),
            [Requirement(text) for text in texts if text.lower().startswith("ganzoo")],
        )
    except (
        InvalidRequirement,
        InvalidVersion,
    ):  # a checkout that was never installed has no version
        return
    for need in needs:
        applies = canonicalize_name(need.name) == "ganzoo" and (
            need.marker is None or need.marker.evaluate({"extra": ""})
        )
        if (
            applies
            and running.release != (0,)
            and not need.specifier.contains(running, prereleases=True)
        ):
            way = f"install a version of {plugin.distribution} for it: "
            way += install_line(plugin.distribution, "ganzoo install -U")
            raise BrokenPlugin(
                f"it is for ganzoo {need.specifier}, and this is ganzoo {__version__}; {way}"
            )


def _collect(module: Any, plugin: Plugin) -> list[Component]:
    """Call one plugin's hooks and return what they register; its
    manager is its own, so a broken one leaves nothing behind.
    """
    manager = pluggy.PluginManager("ganzoo")
    manager.add_hookspecs(Hooks)
    manager.register(module, name=plugin.who)
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec() and not all(hook.optionalhook for hook in caller.get_hookimpls()):
            raise BrokenPlugin(
                f"unknown hook {caller.name!r} in ganzoo {__version__}; {_hint(caller.name)}"
            )
    components: list[Component] = []
    for kind in KINDS.values():
        hook = getattr(manager.hook, kind.hook)
        for implementation in hook.get_hookimpls():
            _trace(f"{plugin.who}: {hook.name}")
            implementation.function(_register(kind.name, plugin, components))
    return components


def _hint(hook: str) -> str:
    """The hook that a misspelt one may be; only the part after `register_` tells hooks apart."""
    close = difflib.get_close_matches(
        hook.removeprefix("register_"),
        [kind.plural for kind in KINDS.values()],
        n=1,
        cutoff=0.7,
    )
    return f"did you mean 'register_{close[0]}'?" if close else "a newer ganzoo may have it"


def _register(kind: str, plugin: Plugin, components: list[Component]) -> Register:
    """The `register` callback of one kind, bound to the plugin that will call it."""

    def register(name: str, factory: object, **about: str) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"{kind} name {name!r}: use lower-case letters, digits, '-', '.', '_'")
        fits = (
            isinstance(factory, str | Path)
            if kind == "recipe"
            else callable(factory) or (isinstance(factory, str) and ":" in factory)
        )
        if not fits:
            raise TypeError(
                f"{kind} {name!r}: {factory!r} is no class, function or dotted name "
                f"'package.module:Name'"
            )
        if kind == "recipe":
            if not Path(str(factory)).is_file():
                raise FileNotFoundError(f"recipe {name!r}: no file {factory}")
        elif not isinstance(factory, str):
            examine(factory, f"{kind} {name!r}")
        if any(not isinstance(text, str) for text in about.values()) or set(about) - {
            "summary",
            "paper",
            *(("recipe",) if kind == "dataset" else ()),
        }:
            raise TypeError(
                f"{kind} {name!r}: about takes summary and paper, and of data recipe, all text; "
                f"traits are attributes of the class"
            )
        if any(c.kind == kind and c.name == name for c in components):
            raise ValueError(f"{kind} {name!r} is registered twice")
        _trace(f"{plugin.who}:   {kind} {name} = {factory}")
        components.append(
            Component(kind, name, factory, plugin.name, plugin.distribution, plugin.version, about)
        )

    return register
