"""A training's configuration from the command line: recipe, run
file, flags, --set, each checked as it is laid on the others.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from .. import config as configuration
from ..assembly import data_recipe as advice
from ..assembly import picture_recipe as pictures
from ..components.registry import Component, Registry
from ..config.tree import Config, Tree
from ..errors import BadConfig, GanzooError, UsageError, shown
from ._patience import patience
from ._words import FLAGS, MANY, Words

TUNE = "tune"  # the option of a penalty whose weight can follow the training


class Layers:
    """The layers so far; `words` learns who gave each setting, so
    that a complaint names the flag or file that a person can fix.
    """

    def __init__(
        self,
        base: Tree | None = None,
        words: Words | None = None,
        meant: configuration.Meant | None = None,
    ) -> None:
        """meant: whose parts the base's names are, where
        several have them; ganzoo's own by default.
        """
        self.tree: Tree = configuration.defaults() if base is None else base
        self.meant = meant or configuration.meaning({}, self.tree, "ganzoo")
        self._kept = self.tree if meant else {}
        self.config: Config = configuration.check(self.tree)
        self.words = words or Words()
        self.notes: list[str] = []

    def add(
        self, layer: Mapping[str, Any], source: str, *, whole: bool = False, owner: str = ""
    ) -> None:
        """Lay on a tree. source: the words that gave it;
        whole: they name the setting too, as flags do.

        owner: the distribution that names the parts, if it is no person.
        """
        self._mean(layer, owner)
        for path, value in _leaves(layer):
            self.words.give(path, source if whole else f"{source}: {path} = {shown(value)}")
        self._take(configuration.merge(self.tree, layer))

    def set(self, text: str) -> None:
        """Lay on one --set."""
        keys, value = configuration.setting(text)
        if keys[-1] == "name" or value is True:  # it names a part, or adds one
            for key in reversed(keys):
                value = {key: value}
            self._mean(value, "")
        self.words.give(".".join(keys), f"--set {text}")
        self._take(configuration.apply_settings(self.tree, [text]))

    def _mean(self, layer: Mapping[str, Any], owner: str) -> None:
        """Learn who is meant by the names of a layer; a run that is resumed knows already."""
        same = {(kind, name) for _, kind, name in configuration.named(self._kept)}
        new = configuration.meaning({}, layer, owner)
        self.meant |= {pair: owner for pair, owner in new.items() if pair not in same}

    def _take(self, tree: Tree) -> None:
        self.config, self.tree = configuration.check(tree), tree


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted paths of a tree's values."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def configure(
    registry: Registry,
    given: Mapping[str, Any],
    base: Tree | None = None,
    words: Words | None = None,
    meant: configuration.Meant | None = None,
) -> Layers:
    """Defaults (or a run's own configuration), recipe (or the
    data's own), run file, flags and --set, in that order.
    """
    layers = Layers(base, words, meant)
    file = _read(given["config_file"]) if given["config_file"] else {}
    own = None if base or given["recipe"] else _own(registry, _chosen(given, file))
    if own is not None:
        layers.add(own.settings, "the recipe of the data", owner=own.owner)
        layers.notes.append(own.line)
    if given["recipe"]:
        recipe = _get(registry, "recipe", given["recipe"], key="recipe")
        settings, source = configuration.settings(recipe.recipe()), f"--recipe {given['recipe']}"
        layers.add(settings, source, owner=recipe.distribution)
    if given["config_file"]:
        layers.add(file, f"--config {given['config_file']}")
    for flag, path in FLAGS.items():
        if given[flag] is not None:
            section, key = path.split(".")
            words_of = f"--{flag.replace('_', '-')} {given[flag]}"
            layers.add({section: {key: given[flag]}}, words_of, whole=True)
    for family, kind in MANY.items():
        _check_repeats(family, given[family])
        if "none" in given[family]:
            layers.add({family: False}, f"--{family} none", whole=True)
        for name in given[family]:
            if name != "none":
                # Before --set speaks of options of a part that is not there.
                _get(registry, kind, name, section=f"{family}.{name}")
                layers.add({family: {name: {}}}, f"--{family} {name}", whole=True)
    if given.get("tune_gamma"):
        _tune(registry, layers)
    for text in given["settings"]:
        layers.set(text)
    return layers


def _tune(registry: Registry, layers: Layers) -> None:
    """Let the weights of all penalties follow the training that can; raises UsageError where none
    can.
    """

    def able(part: Component) -> bool:
        return TUNE in part.options()

    names = [name for name, on in layers.tree.get("reg", {}).items() if on is not False]
    found = [name for name in names if able(_get(registry, "regularizer", name))]
    if not found:
        others = [part.name for part in registry.components("regularizer") if able(part)]
        ways = " or ".join(f"--reg {name}" for name in others)
        raise UsageError(f"--tune-gamma: no penalty has a weight that can follow; add {ways}")
    layers.add({"reg": {name: {TUNE: True} for name in found}}, "--tune-gamma", whole=True)


def _own(registry: Registry, chosen: Tree) -> advice.Advice | None:
    """What the data start from: their own recipe, or one that suits the pictures."""
    found = advice.start(registry, chosen)
    if found is not None or "data" not in chosen:
        return found
    with patience("looking at the pictures"):
        return pictures.start(registry, chosen)


def _chosen(given: Mapping[str, Any], file: Tree) -> Tree:
    """All that the command line and its run file ask for, as one tree that is not checked yet."""
    layers: list[Tree] = []
    for flag, path in FLAGS.items():
        section, key = path.split(".")
        layers += [{section: {key: given[flag]}}] if given[flag] is not None else []
    layers += [{family: {name: {} for name in given[family]}} for family in MANY if given[family]]
    for text in given["settings"]:
        keys, layer = configuration.setting(text)
        for key in reversed(keys):
            layer = {key: layer}
        layers.append(layer)
    return functools.reduce(configuration.merge, layers, file)


def _check_repeats(family: str, names: Sequence[str]) -> None:
    """Raises UsageError for a part that is named twice,
    and for `none` after a name, which says two things.
    """
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UsageError(f"--{family} {name} is given twice")
        if name == "none" and i:
            raise UsageError(
                f"--{family} none drops a recipe's parts, and --{family} {names[0]} adds one; "
                "to do both, write none first"
            )


def words() -> Words:
    """The words of the command that runs."""
    found: Words = click.get_current_context().obj
    return found


def _read(path: Any) -> Tree:
    """A run file's settings; its errors name the flag."""
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(configuration.SIZE + 1)
            if len(content) > configuration.SIZE:
                raise BadConfig(f"larger than {configuration.SIZE >> 10} KiB, which no run file is")
            return configuration.settings(configuration.parse(content, "-"))
        return configuration.settings(configuration.read(path))
    except BadConfig as error:
        error.source = f"--config {path}"
        raise


def _get(registry: Registry, kind: str, name: str, section: str = "", key: str = "") -> Component:
    """The component; the registry's error is said of this setting."""
    try:
        return registry.get(kind, name)
    except GanzooError as error:
        raise error.at(section, key, name if key else None) from None
