"""Reading files that others wrote: never more than a stated size, never from a pipe or device, and no JSON that two readers
would understand differently.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

DEPTH = 64  # of JSON within JSON
TOO_DEEP = f"nested deeper than {DEPTH}"


def read_limited(path: Path, limit: int) -> bytes:
    """A file's content; raises OSError when it is missing, no regular file, or larger than `limit` bytes."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(None, "no regular file")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(None, f"larger than {limit >> 10:,} KiB, which no such file is")
    return content


def parse_json(text: bytes) -> Any:
    """JSON whose keys are unique and which is not nested deeper than DEPTH; raises ValueError."""
    try:
        tree = json.loads(text.decode(), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if depth(tree) > DEPTH:
        raise ValueError(TOO_DEEP)
    return tree


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        raise ValueError("a key stands twice")
    return tree


def depth(tree: Any) -> int:
    """How many lists and tables lie within each other; walks by level, so that no depth is too deep for it."""
    levels, here = 0, [tree]
    while here := [value for value in here if isinstance(value, dict | list)]:
        levels += 1
        here = [
            child
            for value in here
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    return levels
