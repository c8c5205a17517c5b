"""Residual blocks that double or halve maps.

Where a 1x1 convolution meets a change of size, it works on the smaller maps: the two can be
exchanged, and so it costs a quarter.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .resampling import downsample, upsample

Norm = Callable[[int], nn.Module]  # channels -> a module called with maps and what is given


class ResidualUp(nn.Module):
    """The generator's block of SNGAN and BigGAN: maps [n, inputs, h, w] to twice the size.

    norm: makes each normalisation, which is called with the maps and what is given to the block.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        h = self.conv1(upsample(self.norm1(x, given).relu()))
        h = self.conv2(self.norm2(h, given).relu())
        added: Tensor = h + upsample(self.shortcut(x))
        return added


class ResidualDown(nn.Module):
    """The discriminator's block of SNGAN and BigGAN: maps [n, inputs, h, w], halved or not.

    hidden: channels between the two convolutions. shrink: whether the sides are halved.
    first: of the net; it then reads an image, which is not rectified.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: int, *, shrink: bool, first: bool = False
    ) -> None:
        super().__init__()
        self.shrink, self.first = shrink, first
        self.conv1 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, outputs, 3, padding=1)
        same = inputs == outputs and not shrink
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(x if self.first else x.relu())
        h = self.conv2(h.relu())
        if self.shrink:
            h, x = downsample(h), downsample(x)
        added: Tensor = h + self.shortcut(x)
        return added


class BottleneckUp(nn.Module):
    """The generator's block of BigGAN-deep: maps [n, inputs, h, w] through a quarter of their
    channels (Brock et al. 2019, appendix B); the shortcut keeps the first `outputs` channels.

    norm: makes each normalisation, which is called with the maps and what is given to the block.
    grow: whether the sides are doubled.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm, *, grow: bool) -> None:
        super().__init__()
        hidden = max(1, inputs // 4)
        self.outputs, self.grow = outputs, grow
        self.norms = nn.ModuleList(norm(c) for c in (inputs, hidden, hidden, hidden))
        self.conv1 = nn.Conv2d(inputs, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv3 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv4 = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        norm1, norm2, norm3, norm4 = self.norms
        h = norm2(self.conv1(norm1(x, given).relu()), given).relu()
        kept = x[:, : self.outputs]
        if self.grow:
            h, kept = upsample(h), upsample(kept)
        h = self.conv3(norm3(self.conv2(h), given).relu())
        added: Tensor = kept + self.conv4(norm4(h, given).relu())
        return added


class BottleneckDown(nn.Module):
    """The discriminator's block of BigGAN-deep: maps [n, inputs, h, w] through a quarter of the
    outputs' channels (Brock et al. 2019, appendix B); the shortcut gets what channels it lacks
    from a 1x1 convolution.

    shrink: whether the sides are halved.
    """

    def __init__(self, inputs: int, outputs: int, *, shrink: bool) -> None:
        super().__init__()
        hidden = max(1, outputs // 4)
        self.shrink = shrink
        self.conv1 = nn.Conv2d(inputs, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv3 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv4 = nn.Conv2d(hidden, outputs, 1)
        self.more = nn.Conv2d(inputs, outputs - inputs, 1) if outputs > inputs else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.conv1(x.relu()).relu())
        h = self.conv3(h.relu()).relu()
        if self.shrink:
            h, x = downsample(h), downsample(x)
        if self.more is not None:
            x = torch.cat([x, self.more(x)], 1)
        added: Tensor = x + self.conv4(h)
        return added
