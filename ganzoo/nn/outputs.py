"""How a net's last numbers become samples: symbols and categories are chosen in ways that let a
gradient through.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..spec import Column, Spec

TINY = 1e-20  # the least uniform number that noise is made of, which may be 0


def straight_through(logits: Tensor) -> Tensor:
    """One-hot vectors [..., k] of the largest of logits [..., k], with the gradient of their
    softmax (Bengio et al. 2013; Jang et al. 2017, section 2.2).
    """
    soft = logits.softmax(-1)
    hard = torch.zeros_like(soft).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())  # in this order: exactly 0 and 1


def relaxed(logits: Tensor, temperature: Tensor | float, noise: Tensor | None = None) -> Tensor:
    """Vectors [..., k] near one-hot of logits [..., k]: softmax((logits + noise) / temperature)
    (Jang et al. 2017, eq. 2; Maddison et al. 2017).

    noise: that of `gumbel_noise`, with which these are samples of the logits' distribution as the
        temperature goes to 0; none gives the mean's
    """
    moved = logits if noise is None else logits + noise
    return (moved / temperature).softmax(-1)


def gumbel_noise(like: Tensor) -> Tensor:
    """Independent standard Gumbel numbers -log(-log u) in the shape and type of a tensor, from the
    random stream of the update that runs.
    """
    return -(-torch.rand_like(like).clamp_min(TINY).log()).log()


def table_rows(values: Tensor, columns: Sequence[Column]) -> Tensor:
    """Rows of a table [n, d] of a net's numbers [n, d]: numbers as they are, a category of each
    block by `straight_through`.
    """
    blocks = values.split([column.width for column in columns], 1)
    made = [
        straight_through(block) if column.values else block
        for block, column in zip(blocks, columns, strict=True)
    ]
    return torch.cat(made, 1)


def within_range(values: Tensor, spec: Spec) -> Tensor:
    """A net's last numbers of any shape in the range of samples: through tanh for images and
    videos, else as they are.
    """
    return values.tanh() if spec.modality in ("image", "video") else values


def finished(values: Tensor, spec: Spec) -> Tensor:
    """Samples [n, *spec.shape] of a net's last numbers [n, ...], as their modality wants them:
    images and videos through tanh, tokens by `straight_through`, tables by `table_rows`, signals,
    points and maps as they are.
    """
    samples = values.view(-1, *spec.shape)
    if spec.modality == "tokens":
        return straight_through(samples)
    return table_rows(samples, spec.columns) if spec.columns else within_range(samples, spec)
