"""The residual nets of SNGAN and WGAN-GP, for images of 8x8 and larger."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo.contracts import Discriminator, Generator, PositiveInt, Spec
from ganzoo.nn import (
    ConditionalBatchNorm,
    Head,
    ResidualDown,
    ResidualUp,
    Stages,
    add_label_head,
    add_vector,
    beside,
    initialise,
    joined,
    stages_of,
)

SMALL = 32  # the largest side whose published nets have stages of one width
DOUBLINGS = 4  # how often the width doubles; then it stays
Widths = Literal["auto", "even", "doubling"]


def _are_even(widths: Widths, stages: Stages) -> bool:
    """Whether all stages have one width: of itself, up to 32 pixels."""
    return widths == "even" or (widths == "auto" and stages.sides[-1] <= SMALL)


def _doubling(width: int, count: int) -> list[int]:
    """Channels from the image down: doubling, at most sixteenfold."""
    return [width << min(stage, DOUBLINGS) for stage in range(count)]


def _halvings(stages: Stages, most: int) -> int:
    """How many blocks halve the sides: as long as both are even, at most so many."""
    height, width = (side << stages.count for side in stages.base)
    both = math.gcd(height, width)
    return min(most, (both & -both).bit_length() - 1)


@torch.no_grad()
def draw_weights(net: nn.Module) -> None:
    """Xavier's uniform weights, those inside residual blocks times the root of two, and classes
    that begin alike, as SNGAN's code.
    """
    initialise(net, "xavier")
    for module in net.modules():
        if isinstance(module, ResidualUp | ResidualDown):
            module.conv1.weight.mul_(math.sqrt(2))
            module.conv2.weight.mul_(math.sqrt(2))
        if isinstance(module, ConditionalBatchNorm) and not module.affine:
            for parameter in module.parameters():
                parameter.zero_()


class ResNetGenerator(Generator):
    """The residual generator of SNGAN and WGAN-GP (Miyato et al. 2018; Gulrajani et al. 2017).

    Draws [n, c, h, w] for any c, where h and w are a base that was doubled as often, whose smaller
    side is 4 to 7: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48 and on; 16x24 too. Each block doubles
    the sides, nearest pixels repeated; batch norm, ReLU, tanh. By default it has mimicry's
    SNGAN widths, and so its parameters, all counted, for three channels: 4,276,739 at 32x32,
    4,878,083 at 48x48, 12,220,675 at 64x64 and 32,150,787 at 128x128. With `labels` scale and
    shift of the norms in the blocks are looked up for the class (Miyato and Koyama 2018).
    Raises Incompatible for other samples.

    latent_dim: numbers in one latent vector
    width: channels of the last stage; none for 256 where all are even, else 64
    widths: even, all stages alike; or doubling from the last stage down, at most sixteenfold;
        auto is even up to 32 pixels on the smaller side, as published
    labels: whether it is told the class or vector of what it is to draw, where the data have them
    """

    modalities = ("image",)
    partner = "resnet"
    may_read = ("vector",)
    adapts = {"conditional": {"labels": True}}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 128,
        width: PositiveInt | None = None,
        widths: Widths = "auto",
        labels: bool = False,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.stages = stages_of(spec, "resnet")
        even = _are_even(widths, self.stages)
        width = width or (256 if even else 64)
        count = self.stages.count + 1
        self.widths = [width] * count if even else _doubling(width, count)[::-1]
        self.base = (self.widths[0], *self.stages.base)
        self.project = nn.Linear(latent_dim + add_vector(self, labels), math.prod(self.base))
        self.conditional = labels and spec.classes > 0
        classes = partial(nn.Embedding, spec.classes) if self.conditional else None
        norm = partial(ConditionalBatchNorm, condition=classes)
        self.blocks = nn.ModuleList(ResidualUp(a, b, norm) for a, b in pairwise(self.widths))
        self.norm = nn.BatchNorm2d(self.widths[-1])
        self.paint = nn.Conv2d(self.widths[-1], spec.shape[0], 3, padding=1)
        draw_weights(self)

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        maps = self.project(joined(latents, vector)).unflatten(1, self.base)
        for block in self.blocks:
            maps = block(maps, labels)
        samples: Tensor = self.paint(self.norm(maps).relu()).tanh()
        return samples


class ResNetDiscriminator(Discriminator):
    """The residual discriminator of SNGAN and WGAN-GP (Miyato et al. 2018; Gulrajani et al. 2017).

    Judges [n, c, h, w] for any c and the h, w of the generator; each sample by itself, since it
    has no norm. Even widths make four blocks, of which the first two halve the sides; doubling
    ones at least five and one more than the generator, which halve them as long as both are even,
    at most five times or as often as the generator doubles. Features are rectified and added up
    over space. By default it has mimicry's SNGAN widths, and so its parameters, all counted, for
    three channels: 1,053,825 at 32x32, 10,141,441 at 48x48 and 64x64 and 29,017,857 at 128x128.
    Spectral norm is a regularizer. With `labels` it is told the class by its `head`.
    Raises Incompatible for other samples.

    width: channels of the first block; none for 128 where all are even, else 64
    widths: even, all blocks alike; or doubling from the first on, at most sixteenfold;
        auto is even up to 32 pixels on the smaller side, as published
    pool: how features are gathered over space: sum as SNGAN, mean as WGAN-GP
    labels: whether it reads or tells classes, where the data have them, and reads a vector that
        the data give, as maps beside the picture; the vector is not in the paper
    head: projection adds the product of the features and a vector for the class (Miyato and
        Koyama 2018), concat judges both together in a hidden layer, classify tells the class
        beside the logit, for losses that ask (Odena et al. 2017)
    """

    modalities = ("image",)
    may_read = ("vector",)
    adapts = {  # noqa: RUF012  (typed in the contract)
        "conditional": {"labels": True},
        "classify": {"labels": True, "head": "classify"},
    }

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt | None = None,
        widths: Widths = "auto",
        pool: Literal["sum", "mean"] = "sum",
        labels: bool = False,
        head: Head = "projection",
    ) -> None:
        super().__init__(spec)
        stages = stages_of(spec, "resnet")
        even = _are_even(widths, stages)
        width = width or (128 if even else 64)
        self.widths = [width] * 4 if even else _doubling(width, max(5, stages.count + 1))
        halvings = _halvings(stages, 2 if even else max(5, stages.count))
        side = stages.sides[-1]  # after each block, the smaller one:
        self.sides = [side >> min(block + 1, halvings) for block in range(len(self.widths))]
        self.pool = pool
        channels = spec.shape[0] + add_vector(self, labels)
        first = ResidualDown(channels, width, width, shrink=True, first=True)
        self.blocks = nn.Sequential(first)
        for block, (inputs, outputs) in enumerate(pairwise(self.widths), 1):
            self.blocks.append(ResidualDown(inputs, outputs, inputs, shrink=block < halvings))
        self.head = add_label_head(self, head, self.widths[-1], labels)
        draw_weights(self)

    def features(self, samples: Tensor, vector: Tensor | None = None) -> Tensor:
        """What the last block says, gathered over space: [n, features]."""
        maps: Tensor = self.blocks(beside(samples, vector)).relu()
        return maps.mean((2, 3)) if self.pool == "mean" else maps.sum((2, 3))

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n]."""
        logits: Tensor = self.head(features, labels)
        return logits
