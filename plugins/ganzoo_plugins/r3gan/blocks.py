"""R3GAN's residual block, and how its maps change size."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION = 2  # of a block's channels, in all published presets
SLOPE = 0.2  # of the leaky rectifier
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance of what passes it (He et al. 2015)


def draw(layer: nn.Module, gain: float = 1.0) -> None:
    """Weights of a convolution or linear layer from N(0, gain² / inputs of one output)."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    nn.init.normal_(weight, 0.0, gain / math.sqrt(weight[0].numel()))


class ResidualBlock(nn.Module):
    """Maps [n, c, h, w] plus a branch without norms: 1x1 to twice the channels, 3x3 in groups, 1x1
    back, rectified in between (Huang et al. 2024, section 4).

    A branch begins as zero, and the two weights before its last with a variance times the number of
    blocks to the power of -1/2 (Zhang et al. 2019, Fixup, with three layers a branch).

    group_size: channels of a group, or all if there are fewer
    blocks: residual blocks of the whole net
    """

    def __init__(self, channels: int, *, group_size: int, blocks: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        groups = max(1, wide // group_size)
        self.conv1 = nn.Conv2d(channels, wide, 1)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, groups=groups)
        self.conv3 = nn.Conv2d(wide, channels, 1, bias=False)
        for layer in (self.conv1, self.conv2):
            draw(layer, GAIN * blocks**-0.25)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.conv3.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.conv1(x), SLOPE)
        h = F.leaky_relu(self.conv2(h), SLOPE)
        added: Tensor = x + self.conv3(h)
        return added


def smooth_upsample(x: Tensor) -> Tensor:
    """Maps [n, c, h, w] at twice the size, by linear interpolation: zeros between the pixels, then
    the filter [1, 3, 3, 1] / 4 along both sides, that is [1, 2, 1] of every pixel twice; beyond the
    border are zeros.
    """
    return _doubled(_doubled(x, 2), 3)


def smooth_downsample(x: Tensor) -> Tensor:
    """Maps [n, c, h, w], h and w even, at half the size: the filter [1, 3, 3, 1] / 8 along both
    sides, then every other pixel; beyond the border are zeros.
    """
    return _halved(_halved(x, 2), 3)


def _padded(x: Tensor, dim: int) -> Tensor:
    """With a zero before the first and after the last along a side, dim 2 or 3."""
    return F.pad(x, (0, 0, 1, 1) if dim == 2 else (1, 1))


def _doubled(x: Tensor, dim: int) -> Tensor:
    """Twice as long along a side: of each pixel three quarters, of its neighbours one."""
    length = x.shape[dim]
    near = 0.75 * x
    far = 0.25 * _padded(x, dim)
    before = near + far.narrow(dim, 0, length)
    after = near + far.narrow(dim, 2, length)
    return torch.stack([before, after], dim + 1).flatten(dim, dim + 1)


def _halved(x: Tensor, dim: int) -> Tensor:
    """Half as long along a side: of each pair three eighths each, of its neighbours one."""
    first, second = (x[:, :, i::2] if dim == 2 else x[..., i::2] for i in (0, 1))
    length = first.shape[dim]
    far = _padded(second, dim).narrow(dim, 0, length) + _padded(first, dim).narrow(dim, 2, length)
    halved: Tensor = 0.375 * (first + second) + 0.125 * far
    return halved


class Up(nn.Module):
    """Maps [n, inputs, h, w] to [n, outputs, 2h, 2w]: a 1x1 convolution where the channels change,
    then interpolation.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.change = _change(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return smooth_upsample(self.change(x))


class Down(nn.Module):
    """Maps [n, inputs, h, w] to [n, outputs, h/2, w/2]: filtered and halved, then a 1x1
    convolution where the channels change.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.change = _change(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.change(smooth_downsample(x))
        return halved


def _change(inputs: int, outputs: int) -> nn.Module:
    """A 1x1 convolution without bias; nothing where there are as many channels as before."""
    if inputs == outputs:
        return nn.Identity()
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    draw(layer)
    return layer
