"""Convolution whose weights a style scales for each sample."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .equalised import EqualLinear
from .filters import filtered
from .precision import full

EPS = 1e-8


class ModulatedConv2d(nn.Module):
    """Convolution of maps [n, inputs, h, w] by a style [n, d]: weights are scaled for each input
    channel and, where it demodulates, brought back to unit length for each output channel (Karras
    et al. 2020, eq. 1 and 3).

    Inputs and outputs are scaled instead of weights: the same function, since a convolution is
    linear, with one convolution for the batch, where weights of their own for each sample need a
    grouped one. Weights are equalised; scales begin at one plus noise of deviation one.

    side: pixels on a side of the kernel, odd. style: numbers in one style.
    grow: whether the sides are doubled, then filtered by [1, 3, 3, 1].
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        style: int,
        *,
        demodulate: bool = True,
        grow: bool = False,
    ) -> None:
        super().__init__()
        self.demodulate, self.grow, self.padding = demodulate, grow, side // 2
        self.style = EqualLinear(style, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * side * side)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scales: Tensor = self.style(style)
        weight = self.weight * self.scale
        maps = self._convolved(x * scales[:, :, None, None], weight)
        if not self.demodulate:
            return maps
        squares = full(scales).square() @ weight.square().sum((2, 3)).T  # [n, outputs]
        shrink = (full(squares) + EPS).rsqrt().to(maps.dtype)
        return maps * shrink[:, :, None, None]

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self.grow:
            return F.conv2d(x, weight, padding=self.padding)
        # One pixel too many on each doubled side, which the filter takes away; three of four
        # pixels between are zero, and so its gain is four.
        return filtered(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, gain=4.0)
