"""BigGAN-deep's nets: two bottleneck blocks a stage, all latents and the class in each."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from ganzoo.contracts import PositiveInt, Spec
from ganzoo.nn import (
    BottleneckDown,
    BottleneckUp,
    ConditionalBatchNorm,
    Head,
    SelfAttention,
    add_label_head,
    add_vector,
    initialise,
)

from . import widths as plan
from .shared import ClassDiscriminator, ClassGenerator
from .widths import At


class BigGANDeepGenerator(ClassGenerator):
    """The generator of BigGAN-deep: two bottleneck blocks a stage, latents and class in each
    (Brock et al. 2019, appendix B).

    Sizes are those of the generator `biggan`. The latents and, with `labels`, the vector of the
    class make the base and, by linear layers, scale and shift of all batch norms but the last;
    shortcuts keep the first channels where they become fewer. Weights begin orthogonal. At
    128x128x3 with 1000 classes and attention it has 50,244,484 parameters, all counted, as
    google/compare_gan's; spectral norm is a regularizer. Raises Incompatible for other samples.

    latent_dim: numbers in one latent vector
    width: channels of the last stage, a quarter of those of all stages up to 32 pixels; none
        for 64 there, 128 above
    attention_at: the smaller side of the stage with self-attention, or none; auto is the
        largest that is at most half the image and at most 64
    """

    partner = "biggan-deep"

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 128,
        width: PositiveInt | None = None,
        embedding: PositiveInt = 128,
        labels: bool = False,
        attention_at: At = "auto",
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim, embedding=embedding, labels=labels)
        stages = plan.stages_for(spec, "biggan-deep")
        widths = plan.generator_widths(stages, width or (64 if plan.is_small(stages) else 128))
        told = latent_dim + self.told
        self.base = (widths[0], *stages.base)
        self.project = nn.Linear(told, math.prod(self.base))
        condition = partial(nn.Linear, told, bias=False)
        norm = partial(ConditionalBatchNorm, condition=condition)
        self.blocks = nn.ModuleList()
        for inputs, outputs in pairwise(widths):
            self.blocks.append(BottleneckUp(inputs, inputs, norm, grow=False))
            self.blocks.append(BottleneckUp(inputs, outputs, norm, grow=True))
        sides = stages.sides
        stage = plan.attention_at(attention_at, sides[-1], sides, "gen.attention_at")
        if stage is not None:
            self.blocks.insert(2 * stage, SelfAttention(widths[stage]))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.paint = nn.Conv2d(widths[-1], spec.shape[0], 3, padding=1)
        initialise(self, "orthogonal")

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        told = self.with_told(latents, labels, vector)
        maps = self.project(told).unflatten(1, self.base)
        for block in self.blocks:
            maps = block(maps, told)
        samples: Tensor = self.paint(self.norm(maps).relu()).tanh()
        return samples


class BigGANDeepDiscriminator(ClassDiscriminator):
    """The discriminator of BigGAN-deep: two bottleneck blocks a stage, classes by projection
    (Brock et al. 2019, appendix B).

    Judges [n, c, h, w] for any c and the h, w of the generator, each sample by itself. Of two
    blocks the first halves the sides, of small images for two stages of three; shortcuts get the
    channels that they lack from a 1x1 convolution. At 128x128x3 with 1000 classes by projection
    and attention it has 34,590,210 parameters, all counted, as google/compare_gan's. Spectral
    norm is a regularizer. Raises Incompatible for other samples.

    width: channels of the first convolution, a quarter of those of all blocks up to 32 pixels;
        none for 64 there, 128 above
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
        stages = plan.stages_for(spec, "biggan-deep")
        small = plan.is_small(stages)
        widths = plan.generator_widths(stages, width or (64 if small else 128))[::-1]
        widths = [widths[0]] * 4 if small else widths
        halvings = min(2, stages.count) if small else stages.count
        channels = spec.shape[0] + add_vector(self, labels)
        self.blocks = nn.Sequential(nn.Conv2d(channels, widths[0], 3, padding=1))
        for stage, (inputs, outputs) in enumerate(pairwise(widths)):
            self.blocks.append(BottleneckDown(inputs, outputs, shrink=stage < halvings))
            self.blocks.append(BottleneckDown(outputs, outputs, shrink=False))
        side = stages.sides[-1]
        sides = [side >> min(stage + 1, halvings) for stage in range(len(widths) - 1)]
        at = plan.attention_at(attention_at, side, sides, "disc.attention_at")
        if at is not None:
            self.blocks.insert(2 * at + 3, SelfAttention(widths[at + 1]))
        self.head = add_label_head(self, head, widths[-1], labels)
        initialise(self, "orthogonal")
