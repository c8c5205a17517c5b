"""Tensors that took long to make, kept in the cache folder: a safetensors file for what they depend
on, checked when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import GanzooError
from ..io.checkpoints import tensors_of
from ..io.files import tensor_bytes, write_bytes
from ..io.untrusted_files import read_limited
from .cache import cache_folder

LARGEST = 1 << 30  # bytes of a file

Tensors = Mapping[str, Tensor]


def kept(
    folder: str,
    key: Any,
    make: Callable[[], Tensors],
    fits: Callable[[Tensors], bool] = lambda found: True,
    slow: float = 0.0,
) -> Tensors:
    """Tensors by name from a file of this folder of the cache, else made, and kept there.

    key: what they depend on, as JSON holds it; fits: whether what was read can be what is wanted;
    slow: seconds that making them must take to be worth a file. A file that is damaged, does not
    fit or is of another key is made again; one that cannot be written is done without.
    """
    wanted = digest_of(key)
    path = cache_folder() / folder / f"{wanted[:32]}.safetensors"
    found = _read(path, wanted)
    if found is not None and fits(found):
        return found
    began = time.perf_counter()
    made = {name: tensor.detach().cpu().contiguous() for name, tensor in make().items()}
    size = sum(tensor.numel() * tensor.element_size() for tensor in made.values())
    if time.perf_counter() - began >= slow and size <= LARGEST - (1 << 20):
        with contextlib.suppress(GanzooError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            some = next(iter(made.values()))
            sign = f"{wanted} {sum_of(made)}"
            write_bytes(path, tensor_bytes({**made, sign: some.new_zeros(0)}))
    return made


def digest_of(tree: Any) -> str:
    """SHA-256 of what JSON holds; a path or the like as its text."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


def sum_of(tensors: Tensors) -> str:
    """SHA-256 of the names, types, shapes and numbers of tensors, in 32 digits."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        plain = tensor.detach().cpu().contiguous().flatten()
        found.update(plain.view(torch.uint8).numpy().tobytes())  # numpy knows no bfloat16
    return found.hexdigest()[:32]


def _read(path: Path, wanted: str) -> Tensors | None:
    """What a file of this key holds; None where there is none or it is damaged."""
    try:
        tensors = dict(tensors_of(read_limited(path, LARGEST), path))
    except (OSError, GanzooError):
        return None
    signs = [name for name in tensors if name.startswith(wanted)]
    for sign in signs:
        del tensors[sign]
    return tensors if signs == [f"{wanted} {sum_of(tensors)}"] else None
