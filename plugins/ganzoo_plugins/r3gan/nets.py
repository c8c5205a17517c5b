"""R3GAN's nets: residual ones without norms, for images of 8x8 and larger."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo.contracts import Discriminator, Generator, PositiveInt, Spec
from ganzoo.errors import Incompatible
from ganzoo.nn import Stages, add_vector, beside, class_head, joined, stages_of

from .blocks import EXPANSION, Down, ResidualBlock, Up, draw

FULL = 4  # stages from the base up, to 32 pixels, that have the whole width in any case
Widths = Literal["halving", "even"]


def stage_widths(stages: Stages, width: int, widths: Widths) -> list[int]:
    """Channels at every stage, from the base up to the image."""
    if widths == "even":
        return [width] * (stages.count + 1)
    halvings = (max(0, stage - FULL + 1) for stage in range(stages.count + 1))
    return [max(1, width >> count) for count in halvings]


def check_groups(widths: list[int], group_size: int, section: str) -> None:
    """Raises Incompatible, naming a width that works, where the channels of a stage's blocks are
    more than one group, and not whole groups.
    """
    broken = [w for w in widths if w * EXPANSION > group_size and w * EXPANSION % group_size]
    if broken:
        found = f"{EXPANSION * broken[0]} channels are no whole groups of {group_size}"
        times = 2 ** (len(set(widths)) - 1) * group_size
        near = max(times, -(-widths[0] // times) * times)
        change = {f"{section}.width": near}
        raise Incompatible(f"r3gan: {found}", remedy="one that works is", change=change)


class R3GANGenerator(Generator):
    """The generator of R3GAN: residual blocks with grouped convolutions, without norms
    (Huang et al. 2024).

    Draws [n, c, h, w] for any c, where h and w are a base that was doubled as often, whose smaller
    side is 4 to 7: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40 and on; 16x24 too. The base is learnt,
    each of its channels scaled by a linear layer of the latents and, with `labels`, of a vector for
    the class. At 32x32x3 it has 20,732,160 parameters, with ten classes 20,781,952. The paper's has
    no tanh at the end. Raises Incompatible for other samples.

    latent_dim: numbers in one latent vector, and in that of a class
    width: channels of all stages up to 32 pixels
    widths: halving, each later stage has half as many; or even, as many
    blocks: residual blocks at each stage
    group_size: channels in one group of the 3x3 convolutions; the published cardinality of 96 is
        16 of them at width 768, and 32 at 1536
    labels: whether it is told the class or vector of what it is to draw, where the data have them
    """

    modalities = ("image",)
    partner = "r3gan"
    may_read = ("vector",)
    adapts = {"conditional": {"labels": True}}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 64,
        width: PositiveInt = 768,
        widths: Widths = "halving",
        blocks: PositiveInt = 2,
        group_size: PositiveInt = 16,
        labels: bool = False,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        stages = stages_of(spec, "r3gan")
        self.widths = stage_widths(stages, width, widths)
        check_groups(self.widths, group_size, "gen")
        self.conditional = labels and spec.classes > 0
        if self.conditional:
            self.classes = class_vectors(spec, latent_dim)
        told = latent_dim * (2 if self.conditional else 1) + add_vector(self, labels)
        self.basis = nn.Parameter(torch.randn(self.widths[0], *stages.base))
        self.project = nn.Linear(told, self.widths[0], bias=False)
        self.body = nn.Sequential()
        for stage, channels in enumerate(self.widths):
            if stage:
                self.body.append(Up(self.widths[stage - 1], channels))
            for _ in range(blocks):
                count = blocks * len(self.widths)
                self.body.append(ResidualBlock(channels, group_size=group_size, blocks=count))
        self.paint = nn.Conv2d(self.widths[-1], spec.shape[0], 1, bias=False)
        draw(self.project)
        draw(self.paint)

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        told = torch.cat([latents, self.classes(labels)], 1) if self.conditional else latents
        base = self.project(joined(told, vector))[:, :, None, None] * self.basis
        samples: Tensor = self.paint(self.body(base)).tanh()
        return samples


class R3GANDiscriminator(Discriminator):
    """The discriminator of R3GAN: residual blocks with grouped convolutions, without norms
    (Huang et al. 2024).

    Judges [n, c, h, w] for any c and the h, w of the generator, each sample by itself. Each channel
    of the last stage is weighed over space by weights of its own. At 32x32x3 it has 20,683,776
    parameters, with ten classes 21,280,512: with `labels` the logit is the inner product of a
    vector of the sample and one of the class, with nothing that the class does not change. Raises
    Incompatible for other samples.

    width: channels of all stages up to 32 pixels
    widths: halving, each later stage has half as many; or even, as many
    blocks: residual blocks at each stage
    group_size: channels in one group of the 3x3 convolutions
    labels: whether it reads or tells classes, where the data have them, and reads a vector that
        the data give, as maps beside the picture; the vector is not in the paper
    head: projection is the inner product with a vector for the class, classify tells the class
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
        width: PositiveInt = 768,
        widths: Widths = "halving",
        blocks: PositiveInt = 2,
        group_size: PositiveInt = 16,
        labels: bool = False,
        head: Literal["projection", "classify"] = "projection",
    ) -> None:
        super().__init__(spec)
        stages = stages_of(spec, "r3gan")
        self.widths = stage_widths(stages, width, widths)[::-1]
        check_groups(self.widths[::-1], group_size, "disc")
        channels = spec.shape[0] + add_vector(self, labels)
        self.extract = nn.Conv2d(channels, self.widths[0], 1, bias=False)
        self.body = nn.Sequential()
        for channels, after in pairwise([*self.widths, 0]):
            for _ in range(blocks):
                count = blocks * len(self.widths)
                self.body.append(ResidualBlock(channels, group_size=group_size, blocks=count))
            if after:
                self.body.append(Down(channels, after))
        pixels = stages.base[0] * stages.base[1]
        self.basis = nn.Parameter(torch.randn(self.widths[-1], *stages.base) / pixels**0.5)
        told = labels and spec.classes > 0
        self.conditional = told and head == "projection"
        self.judge = nn.Linear(width, width if self.conditional else 1, bias=False)
        if self.conditional:
            self.classes = class_vectors(spec, width, width**-0.5)
        if told and head == "classify":
            self.classify, self.heads = class_head(width, spec), ("classify",)
        draw(self.extract)
        draw(self.judge)

    def features(self, samples: Tensor, vector: Tensor | None = None) -> Tensor:
        """What the last stage says, each channel weighed over space: [n, features]."""
        maps: Tensor = self.body(self.extract(beside(samples, vector)))
        return (maps * self.basis).sum((2, 3))

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n]."""
        judged: Tensor = self.judge(features)
        if self.conditional:
            judged = (judged * self.classes(labels)).sum(1, keepdim=True)
        return judged.squeeze(1)


def class_vectors(spec: Spec, size: int, gain: float = 1.0) -> nn.Embedding:
    """A vector for each class, drawn as a linear layer of classes as numbers is."""
    vectors = nn.Embedding(spec.classes, size)
    nn.init.normal_(vectors.weight, 0.0, gain * spec.classes**-0.5)
    return vectors
