"""registry.toml: which plugins exist in the world, and which
distribution ships each component. A catalogue, never a loader.
"""

import functools
import re
import shlex
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import shown
from .kinds import KINDS

DISTRIBUTION = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,78}[A-Za-z0-9])?"
)  # PyPA's, and no longer


@functools.cache
def catalogue() -> dict[str, Any]:
    """The parsed registry.toml; empty when it is missing
    or unreadable, since nothing may depend on it.
    """
    beside = (
        Path(__file__).resolve().parents[2] / "registry.toml"
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
        if name in plugin.get(KINDS[kind].plural, ()):
            return str(plugin["distribution"])
    return None


def offered() -> list[dict[str, str]]:
    """Every component that the catalogue knows: kind,
    name, plugin, distribution, and the plugin's summary.
    """
    return [
        {
            "kind": kind.name,
            "name": name,
            "plugin": plugin,
            "distribution": entry["distribution"],
            "summary": entry.get("summary", ""),
        }
        for plugin, entry in catalogue().get("plugins", {}).items()
        for kind in KINDS.values()
        for name in entry.get(kind.plural, ())
    ]


def distributions() -> set[str]:
    """Every distribution that the catalogue knows."""
    return {str(plugin["distribution"]) for plugin in catalogue().get("plugins", {}).values()}


def install_line(distribution: str, tool: str = "pip install") -> str:
    """The line that installs a distribution, to be copied into
    a shell; of what is no distribution's name, only that.
    """
    if DISTRIBUTION.fullmatch(distribution):
        return f"{tool} {shlex.quote(distribution)}"
    return f"{shown(distribution)} is no name of a distribution, and is not to be installed"
