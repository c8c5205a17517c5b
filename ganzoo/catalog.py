"""registry.toml: which plugins exist in the world, and which distribution ships each component. A catalogue, never a loader."""

import functools
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from .hookspecs import PLURALS


@functools.cache
def catalogue() -> dict[str, Any]:
    """The parsed registry.toml; empty when it is missing or unreadable, since nothing may depend on it."""
    beside = (
        Path(__file__).resolve().parent.parent / "registry.toml"
    )  # an editable install does not carry forced files
    try:
        shipped = resources.files("ganzoo") / "registry.toml"
        text = shipped.read_text("utf-8") if shipped.is_file() else beside.read_text("utf-8")
        return tomllib.loads(text)
    except (OSError, tomllib.TOMLDecodeError):
        return {}


def who_ships(kind: str, name: str) -> str | None:
    """The distribution whose plugin offers this component according to the catalogue, or None."""
    for plugin in catalogue().get("plugins", {}).values():
        if name in plugin.get(PLURALS[kind], ()):
            return str(plugin["distribution"])
    return None


def offered() -> list[dict[str, str]]:
    """Every component that the catalogue knows: kind, name, plugin, distribution, and the plugin's summary."""
    return [
        {
            "kind": kind,
            "name": name,
            "plugin": plugin,
            "distribution": entry["distribution"],
            "summary": entry.get("summary", ""),
        }
        for plugin, entry in catalogue().get("plugins", {}).items()
        for kind, plural in PLURALS.items()
        for name in entry.get(plural, ())
    ]


def distributions() -> set[str]:
    """Every distribution that the catalogue knows."""
    return {str(plugin["distribution"]) for plugin in catalogue().get("plugins", {}).values()}
