"""What the transformers of GAT are made of: sizes, patches and blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo.contracts import Spec
from ganzoo.errors import Incompatible
from ganzoo.nn import FeedForward, MultiHeadAttention, heads_of, rms_norm

Size = Literal["S", "B", "L", "XL"]
SIZES = {"S": (12, 384, 6), "B": (12, 768, 12), "L": (24, 1024, 16), "XL": (28, 1152, 16)}
SCALED = 0.1  # of what a branch says, at the start of a discriminator
MODULATED = 0.1  # deviation of a generator's modulations at the start


@dataclass(frozen=True)
class Shape:
    """How large a transformer is: blocks, numbers in a token, heads of attention."""

    depth: int
    width: int
    heads: int


def shape_of(size: Size, width: int | None, depth: int | None) -> Shape:
    """The size of that name, as DiT's (Peebles and Xie 2023), but for a width or depth that is
    given; another width has heads of 64 numbers or more.
    """
    blocks, numbers, heads = SIZES[size]
    if width is None:
        return Shape(depth or blocks, numbers, heads)
    return Shape(depth or blocks, width, heads_of(width))


@dataclass(frozen=True)
class Patches:
    """A picture as rows and columns of square patches."""

    rows: int
    columns: int
    side: int

    @property
    def count(self) -> int:
        """Patches of a picture."""
        return self.rows * self.columns

    def cut(self, pictures: Tensor) -> Tensor:
        """Pictures [n, c, h, w] as tokens [n, patches, c * side²], channels first."""
        n, channels = pictures.shape[:2]
        split = pictures.reshape(n, channels, self.rows, self.side, self.columns, self.side)
        tokens: Tensor = split.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return tokens

    def join(self, tokens: Tensor, channels: int) -> Tensor:
        """What `cut` makes of pictures, as pictures again."""
        side = self.side
        split = tokens.reshape(len(tokens), self.rows, self.columns, channels, side, side)
        pictures: Tensor = split.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        return pictures


def patches_of(spec: Spec, side: int) -> Patches:
    """The patches of an image or map.

    Raises Incompatible for what is neither, and, naming the nearest size that is possible, where
    a side is no multiple of the patch's.
    """
    if len(spec.shape) != 3:
        found = f"{spec.modality} {list(spec.shape)}"
        raise Incompatible(f"gat works on images and maps, not on {found}")
    height, width = spec.shape[1:]
    if height % side or width % side:
        near = "x".join(str(max(1, round(length / side)) * side) for length in (height, width))
        found = f"{height}x{width} is not made of patches of {side}x{side}"
        change = {"data.resolution": near}
        raise Incompatible(f"gat: {found}", remedy="the nearest possible is", change=change)
    return Patches(height // side, width // side, side)


def draw(net: nn.Module, gain: float = 1.0) -> None:
    """Weights of linear layers from N(0, gain² / inputs), biases zero: what goes in with a variance
    of one comes out with gain².
    """
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, gain * module.in_features**-0.5)
            nn.init.zeros_(module.bias)


class Block(nn.Module):
    """Tokens [n, tokens, width] plus what attention says of them, plus what two layers say of
    that, normed before and scaled after: x + a f((1 + g) rms_norm(x)), for either branch f.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attend = MultiHeadAttention(shape.width, shape.heads)
        self.feed = FeedForward(shape.width)

    def scaled(self, x: Tensor, gains: Tensor, scales: Tensor) -> Tensor:
        """The tokens after both branches; gains g and scales a of each [2, n or 1, 1, width]."""
        for branch, gain, scale in zip((self.attend, self.feed), gains, scales, strict=True):
            x = x + scale * branch((1 + gain) * rms_norm(x))
        return x


class ModulatedBlock(Block):
    """A block of the generator: a vector w [n, width] says gains and scales of each sample; both
    begin near zero, and so the block adds little.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.modulate = nn.Linear(shape.width, 4 * shape.width)
        draw(self)
        nn.init.normal_(self.modulate.weight, 0.0, MODULATED / math.sqrt(shape.width))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        gain1, gain2, scale1, scale2 = self.modulate(w)[:, None].chunk(4, 2)
        return self.scaled(x, torch.stack([gain1, gain2]), torch.stack([scale1, scale2]))


class ScaledBlock(Block):
    """A block of the discriminator: gains and scales are learnt, the latter from 0.1
    (Touvron et al. 2021, LayerScale).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.gains = nn.Parameter(torch.zeros(2, 1, 1, shape.width))
        self.scales = nn.Parameter(torch.full((2, 1, 1, shape.width), SCALED))
        draw(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x, self.gains, self.scales)
