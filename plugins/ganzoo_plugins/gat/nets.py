"""GAT's nets: plain vision transformers that draw and judge."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.contracts import Discriminator, Generator, PositiveInt, Spec
from ganzoo.nn import (
    Head,
    ProjectionHead,
    add_label_head,
    add_vector,
    beside,
    joined,
    rms_norm,
    within_range,
)

from .blocks import ModulatedBlock, ScaledBlock, Size, draw, patches_of, shape_of

BEGIN = 0.02  # deviation of learnt tokens and places


class GATGenerator(Generator):
    """The generator of GAT: a vision transformer whose blocks follow a vector w of the latents
    (Hyun et al. 2025).

    Draws [n, c, h, w] for any c and any h and w that are multiples of the patch: images, or maps,
    as the latents of an encoder that the paper trains on. Two layers make w
    of the latents and, with `labels`, of a vector for the class; w modulates learnt tokens, one a
    patch, by gains before and scales after each branch of each block, which begin near zero. After
    each block a linear layer of the normed tokens paints patches, which add up. At 32x32x4, patch
    2, with 1000 classes it has 29,247,936, 115,708,608, 406,817,152 and 599,655,616 parameters at
    S, B, L and XL, where the paper states 602 million for XL. Choices of this implementation, of
    which we found nothing stated: learnt tokens and no other places, w as wide as a token and
    normed, GELU, weights of N(0, 1 / inputs), modulations of deviation 0.1 at the start, painters
    without modulation and after every block, so that `pictures` are to be had in any number of
    stages, and tanh at the end for images. Raises Incompatible for other samples.

    latent_dim: numbers in one latent vector
    patch: pixels of a patch's side
    size: S, B, L or XL: 12, 12, 24 or 28 blocks of width 384, 768, 1024 or 1152 with 6, 12, 16 or
        16 heads
    width: numbers in a token instead of the size's, in heads of 64 or more; none keeps it
    depth: blocks instead of the size's; none keeps it
    labels: whether it is told the class or vector of what it is to draw, where the data have them
    """

    modalities = ("image", "map")
    partner = "gat"
    may_read = ("vector",)
    adapts = {"conditional": {"labels": True}}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 64,
        patch: PositiveInt = 2,
        size: Size = "S",
        width: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        labels: bool = False,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.patches, shape = patches_of(spec, patch), shape_of(size, width, depth)
        self.stages, self.conditional = shape.depth, labels and spec.classes > 0
        told = latent_dim
        if self.conditional:
            self.classes = nn.Embedding(spec.classes, shape.width)
            told += shape.width
        told += add_vector(self, labels)
        self.tokens = nn.Parameter(BEGIN * torch.randn(self.patches.count, shape.width))
        self.mapping = nn.Sequential(
            nn.Linear(told, shape.width), nn.SiLU(), nn.Linear(shape.width, shape.width)
        )
        self.blocks = nn.ModuleList(ModulatedBlock(shape) for _ in range(shape.depth))
        numbers = spec.shape[0] * patch**2
        self.paint = nn.ModuleList(nn.Linear(shape.width, numbers) for _ in self.blocks)
        draw(self.mapping)
        draw(self.paint, shape.depth**-0.5)  # all together with a variance of one

    def pictures(
        self,
        latents: Tensor,
        labels: Tensor | None = None,
        vector: Tensor | None = None,
        *,
        count: int = 1,
    ) -> Tensor:
        """What was drawn after each of `count` stages, [n, count, *shape]; the last is the sample.

        count: stages of as many blocks each, at most as many as there are blocks
        """
        told = torch.cat([latents, self.classes(labels)], 1) if self.conditional else latents
        w = rms_norm(self.mapping(joined(told, vector)))
        tokens = self.tokens.expand(len(latents), -1, -1)
        ends = [stage * self.stages // count for stage in range(1, count + 1)]
        painted: list[Tensor] = []
        for block, paint in zip(self.blocks, self.paint, strict=True):
            tokens = block(tokens, w)
            added = paint(rms_norm(tokens))
            painted.append(painted[-1] + added if painted else added)
        chosen = [self.patches.join(painted[end - 1], self.spec.shape[0]) for end in ends]
        return within_range(torch.stack(chosen, 1), self.spec)

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        return self.pictures(latents, labels, vector)[:, -1]


class GATDiscriminator(Discriminator):
    """The discriminator of GAT: a vision transformer with a token that is judged
    (Hyun et al. 2025).

    Judges [n, c, h, w] for any c and any h and w that are multiples of the patch, each sample by
    itself. Patches become tokens by a linear layer, with a learnt vector for the place; a further
    token reads them in blocks whose branches have learnt scales, and, normed, gives the logit. At
    32x32x4, patch 2, with 1000 classes by projection it has 21,783,169, 86,033,665, 303,614,977
    and 447,795,073 parameters at S, B, L and XL. The paper also aligns tokens with those of
    a frozen DINOv2, which is not here. Choices of this implementation: scales from 0.1, learnt
    places, GELU, weights of N(0, 1 / inputs). Raises Incompatible for other samples.

    patch: pixels of a patch's side
    size: S, B, L or XL: 12, 12, 24 or 28 blocks of width 384, 768, 1024 or 1152 with 6, 12, 16 or
        16 heads
    width: numbers in a token instead of the size's, in heads of 64 or more; none keeps it
    depth: blocks instead of the size's; none keeps it
    labels: whether it reads or tells classes, where the data have them, and reads a vector that
        the data give, as maps beside the picture; the vector is not in the paper
    head: projection adds the product of the features and a vector for the class (Miyato and
        Koyama 2018), concat judges both together in a hidden layer, classify tells the class
        beside the logit, for losses that ask (Odena et al. 2017)
    """

    modalities = ("image", "map")
    may_read = ("vector",)
    adapts = {  # noqa: RUF012  (typed in the contract)
        "conditional": {"labels": True},
        "classify": {"labels": True, "head": "classify"},
    }

    def __init__(
        self,
        spec: Spec,
        *,
        patch: PositiveInt = 2,
        size: Size = "S",
        width: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        labels: bool = False,
        head: Head = "projection",
    ) -> None:
        super().__init__(spec)
        self.patches, shape = patches_of(spec, patch), shape_of(size, width, depth)
        channels = spec.shape[0] + add_vector(self, labels)
        self.embed = nn.Linear(channels * patch**2, shape.width)
        self.places = nn.Parameter(BEGIN * torch.randn(self.patches.count, shape.width))
        self.judged = nn.Parameter(BEGIN * torch.randn(1, 1, shape.width))
        self.blocks = nn.Sequential(*(ScaledBlock(shape) for _ in range(shape.depth)))
        self.head = add_label_head(self, head, shape.width, labels)
        for layers in (self.embed, self.head):
            draw(layers)
        if isinstance(self.head, ProjectionHead):
            nn.init.normal_(self.head.classes.weight, 0.0, shape.width**-0.5)

    def features(self, samples: Tensor, vector: Tensor | None = None) -> Tensor:
        """The token that is judged, normed: [n, width]."""
        patches = self.embed(self.patches.cut(beside(samples, vector))) + self.places
        judged = self.judged.expand(len(samples), -1, -1)
        tokens: Tensor = self.blocks(torch.cat([judged.to(patches.dtype), patches], 1))
        return rms_norm(tokens[:, 0])

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n]."""
        logits: Tensor = self.head(features, labels)
        return logits
