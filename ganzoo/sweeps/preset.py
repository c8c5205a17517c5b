"""Sweeps that come with ganzoo: files of what is tried, how it is drawn, and who said so."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources

from ..errors import UsageError, nearest
from .plan import tries_of
from .spaces import Space


@dataclass(frozen=True)
class Preset:
    """What a preset asks for; `where` is tried if the base has the option."""

    name: str
    summary: str
    alone: bool
    draws: int
    seeds: int
    tries: dict[str, Space]
    where: dict[str, Space]


def presets() -> list[Preset]:
    """All that there are, by name."""
    folder = resources.files("ganzoo") / "sweeps" / "presets"
    names = [entry.name.removesuffix(".toml") for entry in folder.iterdir()]
    return [_read(name) for name in sorted(names)]


def _read(name: str) -> Preset:
    file = resources.files("ganzoo") / "sweeps" / "presets" / f"{name}.toml"
    tree = tomllib.loads(file.read_text("utf-8"))
    about = tree.get("sweep", {})
    return Preset(
        name,
        tree["summary"],
        about.get("alone", False),
        about.get("draws", 0),
        about.get("seeds", 1),
        tries_of(tree.get("try", {})),
        tries_of(tree.get("where", {})),
    )


def preset(name: str) -> Preset:
    """A preset by its name; raises UsageError."""
    known = {each.name: each for each in presets()}
    if name not in known:
        near = nearest(name, known)
        raise UsageError(f"no such preset{near} (there are: {', '.join(known)})", key="preset",
                         value=name)  # fmt: skip
    return known[name]
