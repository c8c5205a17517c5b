"""What parts say of themselves, and what they need of each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def has(part: Any, trait: str) -> bool:
    """Whether a part, or the class of one, has a trait; a head that its class lists is one."""
    return bool(getattr(part, trait, False)) or trait in getattr(part, "heads", ())


def wants(part: Any) -> list[tuple[str, str]]:
    """(kind, trait) of everything that a part, or the class of one, needs of others."""
    pairs = []
    for kind, traits in dict(getattr(part, "needs", {})).items():
        listed: Iterable[str] = (traits,) if isinstance(traits, str) else traits
        pairs += [(kind, trait) for trait in listed]
    return pairs
