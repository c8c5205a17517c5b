"""Layers with equalised learning rates (Karras et al. 2018, section 4.1).

Weights begin as N(0, 1) and are scaled when they are used, by one over the root of how many inputs
an output has, so that an optimizer that counts steps in its own units, as Adam, moves all layers
at one rate.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EqualLinear(nn.Module):
    """Linear from [n, inputs] to [n, outputs] with an equalised learning rate.

    rate: the layer's own factor on the learning rate; what it computes at the start is the same
        for all (Karras et al. 2019, appendix C, 0.01 for the mapping net).
    bias: what biases begin at.
    """

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.rate, self.scale = rate, rate / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv2d(nn.Module):
    """Convolution of maps [n, inputs, h, w] with an equalised learning rate.

    side: pixels on a side of the kernel, odd. stride: 1 keeps the sides of the maps; 2 halves
        them, where a filter has made them larger by as much as the kernel takes away.
    """

    def __init__(
        self, inputs: int, outputs: int, side: int, *, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, side // 2 if stride == 1 else 0
        self.scale = 1 / math.sqrt(inputs * side * side)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        return F.conv2d(x, weight, self.bias, stride=self.stride, padding=self.padding)


def scaled_leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2 times the root of two, which keeps the mean square of N(0, 1) within
    4 %.
    """
    return F.leaky_relu(x, 0.2) * math.sqrt(2)
