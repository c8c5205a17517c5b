"""What `ganzoo data inspect` says of a folder or zip of pictures."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from ..errors import printable
from ..io.activity import LARGE, doing, mebibytes
from .decoding import parse_background
from .scanning import Progress, Scan, describe, survey
from .source import Source, open_source

COMMON = 10  # sizes shown


def inspect(
    path: Path | str,
    *,
    resolution: tuple[int, int] | None = None,
    channels: int | None = None,
    background: str = "white",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What a folder or zip of pictures holds and what training would do, ready for JSON.

    Every picture is decoded, so that truncated ones are found;
    nothing is written. Raises BadData as `load_pictures`.
    """
    parse_background(background)
    with open_source(path) as source:
        doing(f"reading the headers of {len(source.entries):,} pictures")
        told = survey(source)
        size = len(told) * math.prod((told.channels(channels), *told.resolution(resolution)))
        doing(
            f"decoding {len(told):,} pictures, for a training {mebibytes(size)}", now=size > LARGE
        )
        found = survey(source, verify=True, progress=progress)
        doing("looking for pictures that are there twice")
        duplicates = _duplicates(source, found)
    height, width = found.resolution(resolution)
    depth = found.channels(channels)
    per_class = Counter(found.labels or ())
    return {
        "path": str(path),
        "kind": found.kind,
        "pictures": len(found),
        "bytes": sum(e.size for e in found.entries),
        "sizes": {
            "height": _spread([h.height for h in found.headers]),
            "width": _spread([h.width for h in found.headers]),
            "distinct": len(found.sizes),
            "common": [
                {"height": h, "width": w, "pictures": n}
                for (h, w), n in found.sizes.most_common(COMMON)
            ],
        },
        "modes": dict(found.modes.most_common()),
        "formats": dict(Counter(h.format for h in found.headers).most_common()),
        "transparent": found.transparent,
        "animated": found.animated,
        "classes": {name: per_class[i] for i, name in enumerate(found.classes)},
        "broken": [{"name": printable(b.name), "reason": b.reason} for b in found.broken],
        "duplicates": duplicates,
        "others": found.others,
        "training": {
            "samples": len(found),
            "height": height,
            "width": width,
            "channels": depth,
            "background": background if found.transparent and depth != 4 else None,
            "labels": len(found.classes),
            "memory_mib": round(len(found) * depth * height * width / 2**20, 1),
            "notes": describe(found, (height, width), depth, background),
        },
    }


def _spread(values: list[int]) -> dict[str, int]:
    return {"min": min(values), "median": math.floor(median(values)), "max": max(values)}


def _duplicates(source: Source, found: Scan) -> int:
    """Pictures that repeat another byte for byte; only those with equal figures are read."""
    in_zip = found.kind == "zip"
    keys = [(e.size, e.stamp if in_zip else 0) for e in found.entries]
    shared = Counter(keys)
    contents: set[bytes] = set()
    twins = [e for e, key in zip(found.entries, keys, strict=True) if shared[key] > 1]
    for entry in twins:
        with source.open(entry) as file:
            contents.add(hashlib.sha256(file.read()).digest())
    return len(twins) - len(contents)
