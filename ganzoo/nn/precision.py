"""Numbers wide enough for sums and penalties."""

from __future__ import annotations

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """In float32 at least: half precisions are widened, float64 is kept."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
