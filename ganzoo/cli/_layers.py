"""A training's configuration from the command line: recipe, run file, flags, --set, each checked as it is laid on the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import config as configuration
from .. import runs
from ..errors import BadOption, UsageError
from ..registry import Registry
from ..sections import Config, Tree

FLAGS = {  # flag -> where it lands in the configuration
    "gen": "gen.name",
    "disc": "disc.name",
    "loss": "loss.name",
    "data": "data.name",
    "data_root": "data.root",
    "resolution": "data.resolution",
    "images": "train.images",
    "batch_size": "train.batch_size",
    "seed": "train.seed",
    "device": "train.device",
    "precision": "train.precision",
    "engine": "train.engine",
    "keep": "checkpoint.keep",
    "on_nan": "train.on_nan",
}
MANY = {"reg": "regularizer", "aug": "augmentation"}  # flags that repeat


class Layers:
    """The layers so far, and who gave each setting, so that a complaint names the flag or file that a person can mend."""

    def __init__(self, base: Tree | None = None) -> None:
        self.tree: Tree = configuration.defaults() if base is None else base
        self.config: Config = configuration.check(self.tree)
        self.sources: dict[str, str] = {}

    def add(self, layer: Mapping[str, Any], source: str, key: str = "") -> None:
        """Lay on a tree; raises BadConfig that begins with the source. key: the setting whose value the source shows."""
        self._take(configuration.merge(self.tree, layer), source, key)
        self.sources |= dict.fromkeys(_leaves(layer), source)

    def set(self, text: str) -> None:
        """Lay on one --set."""
        keys, _ = configuration.setting(text)
        self._take(configuration.apply_settings(self.tree, [text]), f"--set {text}", ".".join(keys))
        self.sources[".".join(keys)] = f"--set {text}"

    def _take(self, tree: Tree, source: str, key: str) -> None:
        self.config, self.tree = configuration.check(tree, source, key), tree

    def name_source(self, error: BadOption) -> BadOption:
        """The same complaint about a component's option (`gen.width: ...`), with who gave it in front."""
        text = str(error)
        for path, source in self.sources.items():
            section, _, key = path.rpartition(".")
            if text.startswith((f"{path}: ", f"{section}: no option {key!r}")):
                said = text.partition(": ")[2] if source.startswith("--set ") else text
                return type(error)(f"{source}: {said}")
        return error


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted paths of a tree's values."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def configure(registry: Registry, given: Mapping[str, Any], base: Tree | None = None) -> Layers:
    """Defaults (or a run's own configuration), recipe, run file, flags and --set, in that order."""
    layers = Layers(base)
    if given["recipe"]:
        recipe = _get(registry, "recipe", "recipe", given["recipe"]).recipe()
        layers.add(runs.settings(recipe), f"--recipe {given['recipe']}")
    if given["config_file"]:
        layers.add(
            runs.settings(configuration.read(given["config_file"])),
            f"--config {given['config_file']}",
        )
    for flag, path in FLAGS.items():
        if given[flag] is not None:
            section, key = path.split(".")
            layers.add(
                {section: {key: given[flag]}}, f"--{flag.replace('_', '-')} {given[flag]}", path
            )
    for family, kind in MANY.items():
        if "none" in given[family]:
            layers.add({family: False}, f"--{family} none")
        for name in given[family]:
            if name != "none":
                _get(
                    registry, family, kind, name
                )  # before --set speaks of options of a part that is not there
                layers.add({family: {name: {}}}, f"--{family} {name}")
    for text in given["settings"]:
        layers.set(text)
    return layers


def _get(registry: Registry, flag: str, kind: str, name: str) -> Any:
    """The component, or the registry's error with the flag in front."""
    try:
        return registry.get(kind, name)
    except UsageError as error:
        raise type(error)(f"--{flag} {name}: {error}") from None
