"""A fingerprint of samples, by which changed data are noticed."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

BLOCK = 16 << 20  # bytes read at a time: samples may be mapped from a file larger than the memory


def digest(samples: Tensor) -> str:
    """SHA-256 over type, shape and every byte of samples [n, ...], in 64 hexadecimal digits; equal
    samples have equal ones, wherever they lie in memory.
    """
    found = hashlib.sha256(f"{samples.dtype} {list(samples.shape)} ".encode())
    size = max(samples[:1].numel() * samples.element_size(), 1)
    step = max(BLOCK // size, 1)
    for start in range(0, len(samples), step):
        block = samples[start : start + step].detach().cpu().contiguous()
        found.update(block.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
