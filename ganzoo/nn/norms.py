"""Normalisations that are right under every way of taking a gradient of a gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import full
from .shares import note_slope, ranks
from .whole_norms import whole_batch_norm, whole_moments


class MomentNorm(nn.Module):
    """Subtracts the mean and divides by the deviation over
    the given dims, then scales and shifts each channel.

    Input [n, c, ...]. `dims` "batch": over the batch and space, without running averages (for
    discriminators, which are never used alone); "layer": over channels and space of one sample;
    "instance": over space of one sample and channel. Written from elementary operations, because
    PyTorch's own norms give a wrong gradient through forward mode. With `native`, which assembly
    sets where they are right, it is PyTorch's norm, the same function and up to four times as fast.
    """

    native = False

    def __init__(self, dims: str, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.dims, self.eps = dims, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shared = self.dims == "batch" and ranks() > 1
        if self.native and self.dims == "batch" and not shared:
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        wide = full(x)  # moments in bf16 lose too much
        if self.native and shared:
            return whole_batch_norm(wide, self.weight, self.bias, self.eps)[0].to(x.dtype)
        # dynamo refuses PyTorch's group norm under torch.func.grad
        if self.native and self.dims != "batch" and not torch.compiler.is_compiling():
            groups = 1 if self.dims == "layer" else x.shape[1]
            return torch.group_norm(wide, groups, self.weight, self.bias, self.eps).to(x.dtype)
        space = list(range(2, x.dim()))
        over = {"batch": [0, *space], "layer": [1, *space], "instance": space}[self.dims]
        mean = wide.mean(over, keepdim=True)
        centred = wide - mean
        variance = centred.square().mean(over, keepdim=True)
        if self.dims == "batch":
            note_slope()
        if shared:
            mean, variance = whole_moments(mean, variance)
            centred = wide - mean
        scale = (variance + self.eps).rsqrt()
        shape = (1, -1, *[1] * len(space))
        return (centred * scale * self.weight.view(shape) + self.bias.view(shape)).to(x.dtype)


def norm(name: str, channels: int) -> nn.Module:
    """The discriminator's normalisation of that name for
    [n, channels, ...]: batch, layer, instance or none.
    """
    return nn.Identity() if name == "none" else MomentNorm(name, channels)


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """[n, channels, ...] with a mean square of one over the channels (Karras et al. 2018)."""
    wide = full(x)
    return (wide * (wide.square().mean(1, keepdim=True) + eps).rsqrt()).to(x.dtype)
