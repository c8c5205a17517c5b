"""Reading files that others wrote: never more than a stated size, never from a pipe or device, and
no JSON that two readers would understand differently.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

DEPTH = 64  # of JSON within JSON
TOO_DEEP = f"nested deeper than {DEPTH}"


def open_regular(path: Path, flags: int = os.O_RDONLY, *, links: bool = True) -> int:
    """The descriptor of a regular file; raises OSError for
    anything else, and never waits for a pipe or device.

    links: whether the last part of the path may be a link.
    """
    names = ["O_NONBLOCK", "O_BINARY", *([] if links else ["O_NOFOLLOW"])]  # where there are such
    for name in names:
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags, 0o666)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(None, "no regular file")


def read_limited(path: Path, limit: int, *, links: bool = True) -> bytes:
    """A file's content; raises OSError when it is missing,
    no regular file, or larger than `limit` bytes.
    """
    with os.fdopen(open_regular(path, links=links), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
    if max(size, len(content)) > limit:
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
    """How many lists and tables lie within each other;
    walks by level, so that no depth is too deep for it.
    """
    levels, here = 0, [tree]
    while here := [value for value in here if isinstance(value, dict | list)]:
        levels += 1
        here = [
            child
            for value in here
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    return levels
