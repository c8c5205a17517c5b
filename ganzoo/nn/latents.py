"""Priors of latents other than a whole normal."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import UsageError

LEAST = 0.01  # below, drawing again takes too long


def truncated_normal(
    count: int, size: int, threshold: float, generator: torch.Generator | None = None
) -> Tensor:
    """Normal latents [count, size] of which those further than `threshold` from zero were drawn
    again until none was (Brock et al. 2019, section 3.1).

    Raises UsageError for a threshold below 0.01.
    """
    if not threshold >= LEAST:
        raise UsageError(f"give {LEAST} or more", key="truncation", value=threshold)
    device = generator.device if generator is not None else None
    latents = torch.randn(count, size, generator=generator, device=device)
    while (beyond := latents.abs() > threshold).any():
        again = int(beyond.sum())
        latents[beyond] = torch.randn(again, generator=generator, device=device)
    return latents
