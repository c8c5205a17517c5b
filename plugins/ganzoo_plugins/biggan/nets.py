"""BigGAN's nets: residual ones whose every block reads a part of the latents and the class."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganzoo.contracts import PositiveInt, Spec
from ganzoo.errors import Incompatible
from ganzoo.nn import (
    ConditionalBatchNorm,
    Head,
    ResidualDown,
    ResidualUp,
    SelfAttention,
    add_label_head,
    add_vector,
    initialise,
)

from . import widths as plan
from .shared import ClassDiscriminator, ClassGenerator
from .widths import At


class BigGANGenerator(ClassGenerator):
    """The generator of BigGAN: parts of the latents and the class in each block
    (Brock et al. 2019).

    Draws [n, c, h, w] for any c, where h and w are a base that was doubled as often, whose smaller
    side is 4 to 7, up to 512: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40 and on; 16x24 too. Latents are
    cut into one part for the base and one for each block; the block's batch norms get scale and
    shift by a linear layer from its part and, with `labels`, from the vector of the class, which
    all blocks share. Weights begin orthogonal. At 128x128x3 with 1000 classes and attention it has
    70,433,988 parameters, all counted, as google/compare_gan's; spectral norm, which the paper has
    in both nets, is a regularizer. Raises Incompatible for other samples.

    latent_dim: numbers in one latent vector
    width: channels of the last stage, a quarter of those of all stages up to 32 pixels; none
        for 64 there, 96 above
    embedding: numbers in the vector of a class
    attention_at: the smaller side of the stage with self-attention, or none; auto is the
        largest that is at most half the image and at most 64
    """

    partner = "biggan"

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 120,
        width: PositiveInt | None = None,
        embedding: PositiveInt = 128,
        labels: bool = False,
        attention_at: At = "auto",
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim, embedding=embedding, labels=labels)
        stages = plan.stages_for(spec, "biggan")
        widths = plan.generator_widths(stages, width or (64 if plan.is_small(stages) else 96))
        self.parts = _parts(latent_dim, stages.count + 1)
        self.base = (widths[0], *stages.base)
        self.project = nn.Linear(self.parts[0], math.prod(self.base))
        self.blocks = nn.ModuleList()
        for part, (inputs, outputs) in zip(self.parts[1:], pairwise(widths), strict=True):
            condition = partial(nn.Linear, part + self.told, bias=False)
            norm = partial(ConditionalBatchNorm, condition=condition)
            self.blocks.append(ResidualUp(inputs, outputs, norm))
        self.attend = nn.ModuleList(nn.Identity() for _ in widths)
        sides = stages.sides
        stage = plan.attention_at(attention_at, sides[-1], sides, "gen.attention_at")
        if stage is not None:
            self.attend[stage] = SelfAttention(widths[stage])
        self.norm = nn.BatchNorm2d(widths[-1])
        self.paint = nn.Conv2d(widths[-1], spec.shape[0], 3, padding=1)
        initialise(self, "orthogonal")

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        first, *parts = torch.split(latents, self.parts, 1)
        attend, *others = self.attend
        maps = attend(self.project(first).unflatten(1, self.base))
        for part, block, attend in zip(parts, self.blocks, others, strict=True):
            maps = attend(block(maps, self.with_told(part, labels, vector)))
        samples: Tensor = self.paint(self.norm(maps).relu()).tanh()
        return samples


def _parts(latent_dim: int, count: int) -> list[int]:
    """The numbers of latents in each of so many parts, the first ones longer where it must be.

    Raises Incompatible for fewer latents than parts.
    """
    if latent_dim < count:
        raise Incompatible(
            f"the latents are cut into {count} parts",
            remedy="take at least",
            change={"gen.latent_dim": count},
        )
    return [latent_dim // count + (part < latent_dim % count) for part in range(count)]


class BigGANDiscriminator(ClassDiscriminator):
    """The discriminator of BigGAN: wide residual blocks, classes by projection
    (Brock et al. 2019).

    Judges [n, c, h, w] for any c and the h, w of the generator, each sample by itself. At
    128x128x3 with 1000 classes by projection and attention it has 87,982,370 parameters, all
    counted, as google/compare_gan's. Spectral norm is a regularizer. Raises Incompatible for
    other samples.

    width: channels of the first block, a quarter of those of all blocks up to 32 pixels; none
        for 64 there, 96 above
    attention_at: the smaller side of the stage with self-attention, or none; auto is the
        largest that is at most half the image and at most 64
    """

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt | None = None,
        labels: bool = False,
        head: Head = "projection",
        attention_at: At = "auto",
    ) -> None:
        super().__init__(spec)
        stages = plan.stages_for(spec, "biggan")
        small = plan.is_small(stages)
        widths = plan.discriminator_widths(stages, width or (64 if small else 96))
        halvings = min(2, stages.count) if small else stages.count
        self.blocks = nn.Sequential()
        channels = spec.shape[0] + add_vector(self, labels)
        for block, (inputs, outputs) in enumerate(pairwise([channels, *widths])):
            shrink, first = block < halvings, block == 0
            self.blocks.append(ResidualDown(inputs, outputs, outputs, shrink=shrink, first=first))
        side = stages.sides[-1]
        sides = [side >> min(block + 1, halvings) for block in range(len(widths))]
        stage = plan.attention_at(attention_at, side, sides, "disc.attention_at")
        if stage is not None:
            self.blocks.insert(stage + 1, SelfAttention(widths[stage]))
        self.head = add_label_head(self, head, widths[-1], labels)
        initialise(self, "orthogonal")
