"""What a sample is by its content alone, wherever it lies in the data."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor


def marks(samples: Tensor) -> Tensor:
    """A number of 64 bits, int64 [n], for each of samples [n, *shape] as they are stored: equal for
    equal ones, and spread evenly over all numbers for others.
    """
    rows = samples.detach().cpu().contiguous()
    rows = rows.flatten(1) if rows.dim() > 1 else rows[:, None]
    flat = rows.view(torch.uint8).numpy()
    found = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in flat)
    return torch.from_numpy(np.frombuffer(found, dtype="<i8").astype(np.int64))
