"""What nets do with a vector that the data give with each sample, beside a class or instead."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

VECTOR = "vector"


def add_vector(net: Any, labels: bool) -> int:
    """How many numbers the vectors of the data have that a net is to read, 0 where it is not to or
    they have none; sets the net's `reads`.
    """
    given = net.spec.given
    net.reads = (VECTOR,) if labels and VECTOR in given else ()
    return given[VECTOR].numel if net.reads else 0


def joined(latents: Tensor, vector: Tensor | None) -> Tensor:
    """Latents [n, d] with the vectors [n, k] behind them, if there are any."""
    return latents if vector is None else torch.cat([latents, vector.to(latents.dtype)], 1)


def beside(samples: Tensor, vector: Tensor | None) -> Tensor:
    """Images [n, c, h, w] with a map for each number of the vectors [n, k], if there are any."""
    if vector is None:
        return samples
    maps = vector[:, :, None, None].expand(-1, -1, *samples.shape[2:])
    return torch.cat([samples, maps.to(samples.dtype)], 1)
