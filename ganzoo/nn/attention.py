"""Self-attention over the pixels of maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Adds to maps [n, channels, h, w] what each pixel reads of all others (Zhang et al. 2019),
    times a learnt factor that begins at zero.

    As in the authors' code, keys and values are the strongest of every four pixels where the
    sides are even, queries and keys have an eighth of the channels, values a half, and scores are
    not scaled. With `native`, which assembly sets where nobody takes a slope, it is PyTorch's
    scaled_dot_product_attention: the same function, whose fast forms have no second derivative.
    """

    native = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        if x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
            key, value = F.max_pool2d(key, 2), F.max_pool2d(value, 2)
        read = self._read(*(maps.flatten(2).transpose(1, 2) for maps in (query, key, value)))
        seen: Tensor = self.out(read.transpose(1, 2).unflatten(2, x.shape[2:]))
        return x + self.gamma * seen

    def _read(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What queries [n, q, d] read of values [n, k, e] by their keys [n, k, d]."""
        if self.native:
            return F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return (query @ key.transpose(1, 2)).softmax(2) @ value
