"""Features of real samples on disk, by data and protocol, in the cache folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..data.kept import kept

VERSION = "ganzoo-features-2"
SLOW = 1.0  # seconds, below which features are not worth a file
NAME = "features"


def cached(key: Callable[[], list[Any]], rows: int, make: Callable[[], Tensor]) -> Tensor:
    """Features [rows, ...] from the cache, else made, and kept there if that took long.

    key: what they depend on, as JSON holds it. A file of another number of samples is made again.
    """
    return kept(
        "features",
        [VERSION, key()],
        lambda: {NAME: make()},
        lambda found: [*found] == [NAME] and len(found[NAME]) == rows,
        SLOW,
    )[NAME]
