"""Finding and loading plugins: each by itself, so that a broken one is a line in a report and nothing else stops."""

import functools
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from . import hookspecs
from .errors import BrokenPlugin, one_line
from .hookspecs import KINDS, PLURALS
from .registry import Component, Registry

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


def zoo() -> Zoo:
    """The installed plugins; with GANZOO_STRICT_PLUGINS=1 a broken one raises BrokenPlugin instead of being left out."""
    found = inventory()
    if found.broken and os.environ.get("GANZOO_STRICT_PLUGINS") == "1":
        worst = found.broken[0]
        raise BrokenPlugin(f"plugin {worst.who} is broken: {worst.broken} (GANZOO_STRICT_PLUGINS=1)")
    return found


def load(entries: Iterable[EntryPoint]) -> Zoo:
    """Load plugins from entry points; broken ones are kept with their reason."""
    manager = pluggy.PluginManager("ganzoo")
    manager.add_hookspecs(hookspecs)
    found: list[Plugin] = []
    seen: set[tuple[str, str, str]] = set()
    for entry in sorted(entries, key=lambda e: (e.dist.name if e.dist else "", e.name)):
        plugin = Plugin(
            entry.name,
            entry.dist.name if entry.dist else "unknown",
            entry.dist.version if entry.dist else "",
            entry.value,
        )
        key = (plugin.distribution, plugin.name, plugin.target)
        if key in seen or not _wanted(plugin.distribution):  # an editable install can be listed twice
            continue
        seen.add(key)
        found.append(plugin)
        try:
            plugin.components = _collect(manager, entry.load(), plugin)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may even call sys.exit at import; it must not stop the others
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
    return chosen is None or distribution == "ganzoo" or distribution in {part.strip() for part in chosen.split(",")}


def _collect(manager: pluggy.PluginManager, module: Any, plugin: Plugin) -> list[Component]:
    """Call one plugin's hooks and return what they register; on an error nothing of it stays in the manager."""
    components: list[Component] = []
    manager.register(module, name=plugin.who)
    try:
        manager.check_pending()
        for kind in KINDS:
            hook = getattr(manager.hook, f"register_{PLURALS[kind]}")
            for implementation in hook.get_hookimpls():
                if implementation.plugin_name == plugin.who:
                    _trace(f"{plugin.who}: {hook.name}")
                    implementation.function(_register(kind, plugin, components))
    except BaseException:
        manager.unregister(name=plugin.who)
        raise
    return components


def _register(kind: str, plugin: Plugin, components: list[Component]) -> hookspecs.Register:
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
            raise TypeError(f"{kind} {name!r}: {factory!r} is no class, function or dotted name 'package.module:Name'")
        if any(not isinstance(text, str) for text in about.values()) or set(about) - {"summary", "paper"}:
            raise TypeError(f"{kind} {name!r}: about takes summary and paper, both text; traits are attributes of the class")
        if any(c.kind == kind and c.name == name for c in components):
            raise ValueError(f"{kind} {name!r} is registered twice")
        _trace(f"{plugin.who}:   {kind} {name} = {factory}")
        components.append(Component(kind, name, factory, plugin.name, plugin.distribution, plugin.version, about))

    return register
