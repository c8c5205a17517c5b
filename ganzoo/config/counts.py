"""Counts as people write them: 500, 200k, 1.5M."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def parse_count(value: Any) -> Any:
    """`"200k"` and `"1.5M"` as integers; numbers unchanged, for the type check to judge."""
    if not isinstance(value, str):
        return parse_whole(value)
    match = re.fullmatch(r"\s*(-?[0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([kKmM]?)\s*", value)
    scaled = (
        Decimal(match[1]) * {"": 1, "k": 1000, "m": 1_000_000}[match[2].lower()] if match else None
    )
    if scaled is None or scaled % 1:
        raise ValueError("give a count, as in 500, 200k or 1.5M")
    return int(scaled)


def parse_whole(value: Any) -> Any:
    """Anything but true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("give a whole number")
    return value


Count = Annotated[
    int, Field(ge=0, le=10**15), BeforeValidator(parse_count)
]  # bounds that nobody meets by intention:
PositiveCount = Annotated[
    int, Field(ge=1, le=10**15), BeforeValidator(parse_count)
]  # a file may hold any number
