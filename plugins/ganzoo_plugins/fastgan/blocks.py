"""Layers that FastGAN's generator, discriminator and decoders share."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.nn import initialise, upsample

POOLED = 4  # the sides to which an excitation sees maps reduced
Norm = Callable[[int], nn.Module]  # channels -> a normalisation of maps


class Excitation(nn.Module):
    """Skip-layer excitation: scales each channel of large maps by a number in 0..1 that small maps
    say (Liu et al. 2021, section 3.1).

    y = x_large · sigmoid(W2 swish(W1 pool(x_small))): the small maps are reduced to 4x4, W1 is a
    convolution over all of these, W2 one of 1x1.
    """

    def __init__(self, small: int, large: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(small, large, POOLED, bias=False)
        self.excite = nn.Conv2d(large, large, 1, bias=False)

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        said = F.silu(self.squeeze(F.adaptive_avg_pool2d(small, POOLED)))
        scaled: Tensor = large * self.excite(said).sigmoid()
        return scaled


class Noise(nn.Module):
    """Adds one normal number a pixel to all channels of maps, times a learnt weight that begins at
    zero; other numbers at every call, in evaluation too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x[:, :1])
        noisy: Tensor = x + self.weight * noise
        return noisy


class Gated(nn.Module):
    """A 3x3 convolution, a norm and a gated linear unit: maps [n, inputs, h, w] to [n, outputs, h,
    w].

    noise: whether noise is added before the norm.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm, *, noise: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False)
        self.noise = Noise() if noise else nn.Identity()
        self.norm = norm(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.norm(self.noise(self.conv(x))), dim=1)


class Up(nn.Module):
    """Doubles the sides of maps, every pixel four times, and convolves once, or twice with noise.

    twice: whether it is the paper's larger block.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm, *, twice: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(Gated(inputs, outputs, norm, noise=twice))
        if twice:
            self.body.append(Gated(outputs, outputs, norm, noise=True))

    def forward(self, x: Tensor) -> Tensor:
        grown: Tensor = self.body(upsample(x))
        return grown


def convolution(
    inputs: int, outputs: int, kernel: int, norm: Norm | None, *, bias: bool = False
) -> nn.Sequential:
    """A convolution, a norm if there is one, and a leaky rectifier; kernel 4 halves the sides."""
    stride = 2 if kernel == 4 else 1
    padding = kernel // 2 if stride == 1 else 1
    layer = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias))
    if norm is not None:
        layer.append(norm(outputs))
    return layer.append(nn.LeakyReLU(0.2))


class Down(nn.Module):
    """Halves the sides of maps in two ways, convolutions and a mean of pixels, and averages both
    (Liu et al. 2021, figure 4).
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm, *, bias: bool = False) -> None:
        super().__init__()
        self.main = nn.Sequential(
            convolution(inputs, outputs, 4, norm, bias=bias),
            convolution(outputs, outputs, 3, norm, bias=bias),
        )
        self.direct = nn.Sequential(
            nn.AvgPool2d(2), convolution(inputs, outputs, 1, norm, bias=bias)
        )

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = (self.main(x) + self.direct(x)) / 2
        return halved


def draw_weights(net: nn.Module) -> None:
    """Weights from N(0, 0.02²) and scales of norms from N(1, 0.02²), as DCGAN's."""
    initialise(net, "normal")
    for module in net.modules():
        scale = getattr(module, "weight", None)
        if isinstance(scale, nn.Parameter) and scale.dim() == 1 and not isinstance(module, Noise):
            nn.init.normal_(scale, 1.0, 0.02)
