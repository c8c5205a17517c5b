"""What `ganzoo data inspect` says of data: pictures, or samples that are read in another form."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..contracts import Dataset
from ..errors import printable
from ..io.activity import LARGE, doing, mebibytes
from .decoding import parse_background
from .scanning import Progress, Scan, describe, survey
from .source import Source, open_source

COMMON = 10  # sizes shown
LINES = 5  # of text


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


def inspect_samples(path: Path | str, form: str, data: Dataset) -> dict[str, Any]:
    """What data that are no pictures hold and what training would do, ready for JSON.

    form: in words, as "a table"
    """
    spec = data.spec
    labels = [] if data.labels is None else data.labels.tolist()
    per_class = Counter(labels)
    size = data.size or 0
    found: dict[str, Any] = {
        "path": str(path),
        "kind": form,
        "modality": spec.modality,
        "samples": len(data),
        "shape": list(spec.shape),
        # Labels that are read with their samples are not counted.
        "classes": {name: per_class[i] for i, name in enumerate(data.classes) if labels},
    }
    if spec.columns:
        found["columns"] = _columns(data)
    elif spec.alphabet:
        found["alphabet"] = list(spec.alphabet)
        found["examples"] = _lines(data)
    elif data.samples.dtype != torch.uint8:
        values = data.samples
        found["values"] = {"min": float(values.min()), "max": float(values.max())}
    training = {"samples": len(data), "labels": len(data.classes), "notes": list(data.notes)}
    return found | {"training": training | {"memory_mib": round(size / 2**20, 1)}}


def _columns(data: Dataset) -> list[dict[str, Any]]:
    """What each column of a table holds, in its own units."""
    found: list[dict[str, Any]] = []
    start = 0
    for column in data.spec.columns:
        numbers = data.samples[:, start : start + column.width]
        start += column.width
        about: dict[str, Any] = {"name": column.name}
        if column.values:
            counts = numbers.sum(0).long().tolist()
            about |= {"kind": "category"}
            about["values"] = dict(zip(column.values, counts, strict=True))
        else:
            ends = (float(numbers.min()), float(numbers.max()))
            low, high = (column.offset + column.scale * end for end in ends)
            about |= {"kind": "number", "min": low, "max": high}
            about |= {"mean": column.offset, "deviation": column.scale, "whole": column.whole}
        found.append(about)
    return found


def _lines(data: Dataset) -> list[str]:
    """A few lines of tokens, spread over all."""
    chosen = torch.linspace(0, len(data) - 1, min(LINES, len(data))).long()
    alphabet = data.spec.alphabet
    return ["".join(alphabet[n] for n in row) for row in data.samples[chosen].tolist()]


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
