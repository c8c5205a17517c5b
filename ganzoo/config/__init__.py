"""A training's configuration: the typed tree, and the layers that are merged into it."""

from ..components.kinds import FAMILIES
from .layers import (
    SIZE,
    Meant,
    apply_settings,
    check,
    defaults,
    lay,
    meaning,
    merge,
    named,
    parse,
    parts_of,
    read,
    recorded,
    setting,
    settings,
)
from .tree import Choice, Config, Tree

__all__ = [
    "FAMILIES",
    "SIZE",
    "Choice",
    "Config",
    "Meant",
    "Tree",
    "apply_settings",
    "check",
    "defaults",
    "lay",
    "meaning",
    "merge",
    "named",
    "parse",
    "parts_of",
    "read",
    "recorded",
    "setting",
    "settings",
]
