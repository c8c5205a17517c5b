"""Layers of transformers, on tokens [n, tokens, width]."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .precision import full

HEAD = 64  # numbers that one head of attention compares, or more


def heads_of(width: int) -> int:
    """How many heads attention has at a width: as many as leave each 64 numbers or more, and
    divide it; one below 128.
    """
    return max(count for count in range(1, max(1, width // HEAD) + 1) if width % count == 0)


def rms_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Tokens [..., width] with a mean square of one over the width (Zhang and Sennrich 2019),
    without weights.
    """
    wide = full(x)
    return (wide * (wide.square().mean(-1, keepdim=True) + eps).rsqrt()).to(x.dtype)


class MultiHeadAttention(nn.Module):
    """What each token reads of all (Vaswani et al. 2017, section 3.2.2): [n, tokens, width], of
    tokens in the same shape.

    softmax(q k' / sqrt(d)) v in each head, d = width / heads. With `native`, which assembly sets
    where nobody takes a slope, it is PyTorch's scaled_dot_product_attention: the same function,
    whose fast forms have no second derivative.

    heads: they divide the width
    """

    native = False

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        each = self.read(x).unflatten(2, (3, self.heads, -1))
        query, key, value = each.permute(2, 0, 3, 1, 4).unbind(0)
        if self.native:
            read = F.scaled_dot_product_attention(query, key, value)
        else:
            scores = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
            read = scores.softmax(3) @ value
        joined: Tensor = self.out(read.transpose(1, 2).flatten(2))
        return joined


class FeedForward(nn.Module):
    """Two linear layers on each token by itself, the hidden one four times as wide, with GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.narrow(F.gelu(self.widen(x)))
        return changed
