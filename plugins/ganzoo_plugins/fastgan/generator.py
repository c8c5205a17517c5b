"""FastGAN's generator, for images of 8x8 and larger."""

from __future__ import annotations

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.contracts import Generator, PositiveInt, Spec
from ganzoo.nn import stages_of

from .blocks import Excitation, Up, draw_weights

MULTIPLES = (16, 8, 4, 2, 2, 1, 1 / 2, 1 / 4, 1 / 8)  # of the width, from 4x4 to 1024x1024
SPAN = 4  # stages from the maps that excite to those that are excited
LAST = 7  # the stage of 512x512, the last that is excited


class FastGANGenerator(Generator):
    """The generator of FastGAN: few and narrow stages, of which small ones scale the channels of
    large ones (Liu et al. 2021).

    Draws [n, c, h, w] for any c, where h and w are a base that was doubled as often, whose smaller
    side is 4 to 7: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40 and on; 16x24 too; the paper's are 256 to
    1024. Blocks double the sides, every pixel repeated, with batch norm and gated linear units;
    every other one convolves twice and adds noise. A stage excites that of sixteen times its side,
    up to 512; in images below 64 pixels the base does so with the last. Spectral norm, which the
    authors' code has in both nets, is a regularizer. The paper's second output, at 128 pixels, is
    left out: the discriminator sees the picture reduced. Raises Incompatible for other samples.

    latent_dim: numbers in one latent vector
    width: channels of the stage of 128 pixels; those below have up to 16 times as many, those above
        half as many each
    """

    modalities = ("image",)
    partner = "fastgan"

    def __init__(
        self, spec: Spec, *, latent_dim: PositiveInt = 256, width: PositiveInt = 64
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        stages = stages_of(spec, "fastgan")
        few = (*MULTIPLES, *MULTIPLES[-1:] * stages.count)
        self.widths = [max(1, int(width * few[stage])) for stage in range(stages.count + 1)]
        self.base = (2 * self.widths[0], *stages.base)
        self.project = nn.Linear(latent_dim, math.prod(self.base), bias=False)
        self.norm = nn.BatchNorm2d(self.base[0])
        self.blocks = nn.ModuleList(
            Up(a, b, nn.BatchNorm2d, twice=stage % 2 == 0)
            for stage, (a, b) in enumerate(pairwise(self.widths))
        )
        self.span = min(SPAN, stages.count)
        excited = range(self.span, min(stages.count, LAST) + 1)
        self.excite = nn.ModuleDict(
            {str(s): Excitation(self.widths[s - self.span], self.widths[s]) for s in excited}
        )
        self.paint = nn.Conv2d(self.widths[-1], spec.shape[0], 3, padding=1, bias=False)
        draw_weights(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        base = self.project(latents).unflatten(1, self.base)
        maps = [F.glu(self.norm(base), dim=1)]
        for stage, block in enumerate(self.blocks, 1):
            grown = block(maps[-1])
            if str(stage) in self.excite:
                grown = self.excite[str(stage)](maps[stage - self.span], grown)
            maps.append(grown)
        samples: Tensor = self.paint(maps[-1]).tanh()
        return samples
