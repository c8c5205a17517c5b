"""Components by kind and name, each with who ships it.
Knows no component and imports none until it is asked for.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import (
    AmbiguousComponent,
    BrokenPlugin,
    GanzooError,
    UnknownComponent,
    nearest,
    one_line,
)
from . import options
from .catalogue import install_line, who_ships
from .isolation import contained, off_stdout
from .kinds import KINDS


@dataclass(frozen=True)
class Component:
    """A name of a kind, how to build it, and the plugin that ships it."""

    kind: str
    name: str
    factory: object  # a callable, its dotted name "package.module:Name", or a recipe's path
    plugin: str  # the entry point's name: "dcgan"
    distribution: str  # the package on disk: "ganzoo"
    version: str
    about: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.distribution}:{self.plugin}"

    @property
    def called(self) -> str:
        """The name of its class or function, by which people look for it too."""
        dotted = self.factory if isinstance(self.factory, str) else ""
        return dotted.partition(":")[2] or str(getattr(self.factory, "__name__", self.name))

    def load(self) -> Any:
        """The factory itself, imported if it was
        registered by its dotted name; raises BrokenPlugin.
        """
        if not isinstance(self.factory, str):
            return self.factory
        module, _, attribute = self.factory.partition(":")
        try:
            with contained(), off_stdout():
                found = getattr(importlib.import_module(module), attribute)
                return examine(found, str(self))
        except Exception as error:
            raise BrokenPlugin(f"{self} cannot be imported: {one_line(error)}") from error

    def options(self) -> dict[str, options.Option]:
        """What a person may tune, from the factory's
        signature; raises BrokenPlugin when it cannot be read.
        """
        if self.kind == "recipe":
            return {}
        factory = self.load()
        try:
            return options.options_of(factory)
        except Exception as error:
            raise BrokenPlugin(f"{self}: its options cannot be read: {one_line(error)}") from error

    def create(self, /, *arguments: Any, where: str = "", **given: Any) -> Any:
        """An instance, its options checked first; raises
        BadOption, and BrokenPlugin when the constructor fails.
        """
        return self.build(arguments, given, where or self.name)

    def build(
        self,
        arguments: Iterable[Any],
        given: Mapping[str, Any],
        where: str,
        instead: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        """`create` for options that came from a file, and so may have any name.

        instead: what takes the place of options that were checked.
        """
        factory = self.load()
        self.options()
        checked = options.check(factory, given, where)
        try:
            with contained(), off_stdout():
                return factory(*arguments, **(checked | dict(instead)))
        except GanzooError:
            raise
        except Exception as error:
            raise BrokenPlugin(f"{self} failed: {one_line(error)}") from error

    @property
    def summary(self) -> str:
        """One line: as registered, else the first sentence of the docstring."""
        if "summary" in self.about:
            return self.about["summary"]
        if self.kind == "recipe":
            return str(self.recipe().get("summary", ""))
        doc = (
            _docstring(self.factory)
            if isinstance(self.factory, str)
            else inspect.getdoc(self.factory)
        )
        paragraph = " ".join((doc or "").strip().split("\n\n")[0].split())
        return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)[0].rstrip(".")

    @property
    def paper(self) -> str:
        """Where it was published, or nothing."""
        return self.about.get("paper", "") or (
            str(self.recipe().get("paper", "")) if self.kind == "recipe" else ""
        )

    def recipe(self) -> dict[str, Any]:
        """A recipe's parsed TOML; raises BrokenPlugin when it cannot be read."""
        import tomllib

        try:
            return tomllib.loads(Path(str(self.factory)).read_text("utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BrokenPlugin(f"{self} cannot be read: {one_line(error)}") from error


def examine(factory: Any, name: str) -> Any:
    """The factory, if it lets itself be looked at: a
    metaclass may fail at anything. Raises TypeError.
    """
    try:
        repr(factory)
        inspect.getdoc(factory)
        getattr(factory, "no such trait", None)
    except Exception as error:
        raise TypeError(f"{name} cannot be looked at: {one_line(error)}") from error
    return factory


@functools.cache
def _docstring(dotted: str) -> str | None:
    """The docstring of `package.module:Name`, parsed from
    its source so that listing needs no import of torch.
    """
    module, _, attribute = dotted.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        tree = (
            ast.parse(Path(spec.origin).read_text("utf-8"))
            if spec and spec.origin
            else ast.Module([], [])
        )
    except Exception:
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            return ast.get_docstring(node)
    return None


class Registry:
    """All components that loaded plugins registered."""

    def __init__(self, components: Iterable[Component] = ()) -> None:
        self._all: list[Component] = list(components)
        self._meant: dict[tuple[str, str], str] = {}

    def meaning(self, meant: Mapping[tuple[str, str], str]) -> Registry:
        """The same components, where a name that several have means one of them.

        meant: (kind, name) -> its distribution, or `distribution:plugin`.
        """
        other = Registry(self._all)
        other._meant = {**self._meant, **meant}
        return other

    def add(self, components: Iterable[Component]) -> None:
        """Take in the components of one plugin."""
        self._all.extend(components)

    def components(self, kind: str | None = None) -> list[Component]:
        """Those of one kind, or all, sorted by kind and name."""
        if kind is not None and kind not in KINDS:
            raise UnknownComponent(
                f"no kind {kind!r}{nearest(kind, KINDS)} (kinds: {', '.join(KINDS)})"
            )
        chosen = [c for c in self._all if kind in (None, c.kind)]
        return sorted(
            chosen, key=lambda c: ([*KINDS].index(c.kind), c.name, c.distribution, c.plugin)
        )

    def get(self, kind: str, name: str) -> Component:
        """The component of that name, or of the qualified
        `plugin/name`; raises UnknownComponent or AmbiguousComponent.
        """
        known = self.components(kind)
        owner, _, bare = name.rpartition("/")
        found = [
            c
            for c in known
            if c.name == bare
            and owner in ("", c.plugin, c.distribution, f"{c.distribution}:{c.plugin}")
        ]
        if len(found) > 1 and not owner:
            meant = self._meant.get((kind, name), "")
            mine = [c for c in found if meant in (c.distribution, f"{c.distribution}:{c.plugin}")]
            found = mine if len(mine) == 1 else found
        if len(found) == 1:
            return found[0]
        if found:
            same = len({c.distribution for c in found}) < len(found)
            forms = [
                f"{c.distribution}:{c.plugin}/{bare}" if same else f"{c.distribution}/{bare}"
                for c in found
            ]
            owners = " and ".join(f"{c.distribution}:{c.plugin}" for c in found)
            raise AmbiguousComponent(
                f"{kind} {bare!r} is offered by {owners}: write {' or '.join(forms)}"
            )
        raise UnknownComponent(f"no {kind} named {name!r}{self._hint(kind, name, known)}")

    def _hint(self, kind: str, name: str, known: list[Component]) -> str:
        """What the person may have meant: a plugin to install, a near name, or what there is."""
        distribution = who_ships(kind, name)
        if distribution and not any(c.distribution == distribution for c in self._all):
            return f"; it is in {distribution}: {install_line(distribution)}"
        if not self._all:
            return (
                "; no plugin is loaded, not even ganzoo's own: pip install it (a checkout on the "
                "path is not enough)"
            )
        near = nearest(name, [c.name for c in known], {c.called: c.name for c in known})
        return near or f" (installed: {', '.join(c.name for c in known) or 'none'})"

    def create(self, kind: str, name: str, *arguments: Any, **given: Any) -> Any:
        """An instance of a component, its options checked first."""
        return self.get(kind, name).create(*arguments, **given)
