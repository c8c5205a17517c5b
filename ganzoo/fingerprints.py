"""A fingerprint of samples, by which changed data are noticed: all of the bytes count, and their order.

Reading is what it costs: a hash of some of the blocks, and a sum over all. A cryptographic hash of
everything would take several times as long, and the purpose is to find a change, not a forger.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 20  # bytes, about: whole samples
HASHED = 64  # blocks that are hashed, spread over the samples; all of them up to 64 MiB
FACTOR = 0x9E3779B97F4A7C15  # odd, so that no block's sum is lost modulo 2^64
WRAP = (1 << 64) - 1


def digest(samples: Tensor) -> str:
    """The fingerprint of samples [n, ...] in 64 hexadecimal digits; equal samples have equal ones,
    wherever they lie in memory.
    """
    found = hashlib.sha256(f"{samples.dtype} {list(samples.shape)} ".encode())
    size = max(samples[:1].numel() * samples.element_size(), 1)
    step = max(BLOCK // size, 1)
    starts = range(0, len(samples), step)
    hashed = {len(starts) * k // HASHED for k in range(HASHED)}  # of few blocks, all
    total = 0
    for number, start in enumerate(starts):
        content = _bytes(samples[start : start + step])
        if number in hashed:
            found.update(content.data)
        whole = len(content) // 8 * 8
        added = int(np.add.reduce(content[:whole].view(np.uint64), dtype=np.uint64))
        added += int(content[whole:].sum(dtype=np.uint64))
        total = (total * FACTOR + added) & WRAP
    found.update(total.to_bytes(8, "little"))
    return found.hexdigest()


def _bytes(samples: Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The bytes of samples, one after the other."""
    flat = samples.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy()
