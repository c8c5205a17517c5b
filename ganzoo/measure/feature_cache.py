"""Features of real samples on disk: one safetensors file for data and protocol, in the folder of
the cached pictures.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data import cache_folder
from ..errors import GanzooError
from ..io.checkpoints import tensors_of
from ..io.files import tensor_bytes, write_bytes
from ..io.untrusted_files import read_limited

VERSION = "ganzoo-features-1"
SLOW = 1.0  # seconds, below which features are not worth a file
LARGEST = 1 << 30  # bytes of a file


def cached(key: Callable[[], list[Any]], rows: int, make: Callable[[], Tensor]) -> Tensor:
    """Features [rows, ...] from the cache, else made, and kept there if that took long.

    key: what they depend on, as JSON holds it. A file that is damaged, of another number of
    samples or of another key is made again; one that cannot be written is done without.
    """
    wanted = digest_of([VERSION, key()])
    path = cache_folder() / "features" / f"{wanted[:32]}.safetensors"
    found = _read(path, wanted, rows)
    if found is not None:
        return found
    began = time.perf_counter()
    made = make()
    size = made.numel() * made.element_size()
    if time.perf_counter() - began >= SLOW and size <= LARGEST - 4096:
        with contextlib.suppress(GanzooError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, tensor_bytes({wanted: made, f"sum {_sum(made)}": made[:0]}))
    return made


def digest_of(tree: Any) -> str:
    """SHA-256 of what JSON holds; a path or the like as its text."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


def _read(path: Path, wanted: str, rows: int) -> Tensor | None:
    try:
        tensors = tensors_of(read_limited(path, LARGEST), path)
    except (OSError, GanzooError):
        return None
    found = tensors.get(wanted)
    if found is None or len(found) != rows or f"sum {_sum(found)}" not in tensors:
        return None
    return found


def _sum(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()[:32]
