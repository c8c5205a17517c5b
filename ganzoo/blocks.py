"""Building blocks that nets share: normalisations that are right under every way of taking a slope, initialisations by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def full(x: Tensor) -> Tensor:
    """In float32 at least: half precisions are widened, float64 is kept."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class MomentNorm(nn.Module):
    """Subtracts the mean and divides by the deviation over the given dims, then scales and shifts each channel.

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
        if self.native and self.dims == "batch":
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        wide = full(x)  # moments in bf16 lose too much
        # dynamo refuses PyTorch's group norm under torch.func.grad
        if self.native and not torch.compiler.is_compiling():
            groups = 1 if self.dims == "layer" else x.shape[1]
            return torch.group_norm(wide, groups, self.weight, self.bias, self.eps).to(x.dtype)
        space = list(range(2, x.dim()))
        over = {"batch": [0, *space], "layer": [1, *space], "instance": space}[self.dims]
        mean = wide.mean(over, keepdim=True)
        centred = wide - mean
        scale = (centred.square().mean(over, keepdim=True) + self.eps).rsqrt()
        shape = (1, -1, *[1] * len(space))
        return (centred * scale * self.weight.view(shape) + self.bias.view(shape)).to(x.dtype)


def norm(name: str, channels: int) -> nn.Module:
    """The discriminator's normalisation of that name for [n, channels, ...]: batch, layer, instance or none."""
    return nn.Identity() if name == "none" else MomentNorm(name, channels)


def use_native_norms(net: nn.Module, slopes: bool = False) -> None:
    """PyTorch's own norms where they are right: all if nobody takes a slope, else, with slopes by
    double backward, those of one sample.
    """
    for module in net.modules():
        if isinstance(module, MomentNorm):
            module.native = not slopes or module.dims != "batch"


def normal(weight: Tensor) -> None:
    """N(0, 0.02²), as DCGAN (Radford et al. 2016)."""
    nn.init.normal_(weight, 0.0, 0.02)


INITIALISATIONS: dict[str, Callable[[Tensor], object]] = {
    "normal": normal,
    "xavier": nn.init.xavier_uniform_,
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0.2, nonlinearity="leaky_relu"),
    "orthogonal": nn.init.orthogonal_,
}


@torch.no_grad()
def initialise(net: nn.Module, name: str) -> None:
    """Draw every weight of two or more dimensions anew and set biases to zero.

    Scales of norms keep their ones, and what is frozen (requires_grad False) its values.
    """
    draw = INITIALISATIONS[name]
    for module in net.modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.dim() < 2:
            continue
        bias = getattr(module, "bias", None)
        if weight.requires_grad:
            draw(weight)
        if isinstance(bias, nn.Parameter) and bias.requires_grad:
            nn.init.zeros_(bias)
