"""Adaptive discriminator augmentation (Karras et al. 2020)."""

from __future__ import annotations

import contextlib
import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganzoo.contracts import Augmentation, PositiveInt, Spec

from .colours import colours, luma_and_chroma, with_rest
from .filters import BANDS, octaves
from .geometry import Map, Warp, shuffled
from .probability import Probability

Share = Annotated[float, Field(ge=0, le=1)]
Mean = Annotated[float, Field(ge=-1, le=1)]
Groups = Literal[
    "bg", "bgc", "bgcf", "bgcfn", "bgcfnc", "blit", "geom", "color", "filter", "noise", "cutout"
]
SINGLE = {  # what the names that stand for several groups stand for
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "color"),
    "bgcf": ("blit", "geom", "color", "filter"),
    "bgcfn": ("blit", "geom", "color", "filter", "noise"),
    "bgcfnc": ("blit", "geom", "color", "filter", "noise", "cutout"),
}
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of an image's bands, the lowest first


class ADA(Augmentation):
    """Changes images by a pipeline with a probability that follows how sure the discriminator is of
    real ones (Karras et al. 2020, section 3 and appendix B).

    blit: mirroring, quarter turns, whole steps of up to an eighth of a side. geom: scale, turns,
    stretching, steps. color: brightness, contrast, luma flip; of three colours hue and saturation.
    filter: four octave bands. noise: Gaussian. cutout: half of each side. Deviations and ranges
    are the paper's; alpha, the last of four channels, moves with the colours and is filtered,
    noised and cut as they are, and no color change meets it. What comes in at a border is the
    image mirrored there, however far (theirs ends after one image, then 0). Pixels of an image that
    geom leaves alone are not interpolated. At probability 0 images stay bit for bit.

    groups: what is done: one group, or blit, geom and so on by their first letters
    probability: keeps this one; none adapts, from 0
    target: the mean sign of real logits to hold
    speed: images in which the probability goes from 0 to 1, at least
    """

    modalities = ("image",)
    bands_down: Tensor
    bands_across: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        groups: Groups = "bgc",
        probability: Share | None = None,
        target: Mean = 0.6,
        speed: PositiveInt = 500_000,
    ) -> None:
        super().__init__(spec)
        self.groups = SINGLE.get(groups, (groups,))
        self.chance = Probability(probability, target, speed)
        height, width = spec.shape[1:]
        if "geom" in self.groups:
            self.warp = Warp((height, width))
        if "filter" in self.groups:
            self.register_buffer("bands_down", octaves(height).float(), persistent=False)
            self.register_buffer("bands_across", octaves(width).float(), persistent=False)

    def observe(self, real_logits: Tensor) -> None:
        """Move the probability."""
        self.chance.observe(real_logits)

    def forward(self, samples: Tensor) -> Tensor:
        """Changed images [n, c, h, w], in their own precision."""
        with without_autocast(samples.device):
            return self.changed(samples)

    def changed(self, samples: Tensor) -> Tensor:
        """Changed images [n, c, h, w]."""
        if "blit" in self.groups or "geom" in self.groups:
            samples = self.rearranged(samples)
        if "color" in self.groups:
            samples = with_rest(self.recoloured(samples[:, : colours(samples.shape[1])]), samples)
        if "filter" in self.groups:
            samples = self.equalised(samples)
        if "noise" in self.groups:
            deviation = self.or_else(0.1 * normal(samples).abs(), 0, samples)
            samples = samples + deviation.view(-1, 1, 1, 1) * torch.randn_like(samples)
        return self.with_hole(samples) if "cutout" in self.groups else samples

    def or_else(self, changed: Tensor, still: float, like: Tensor) -> Tensor:
        """Amounts [n, ...]: those of a change for the samples that are chosen for it."""
        chosen = self.chance.choose(like)
        return torch.where(chosen.view(-1, *[1] * (changed.dim() - 1)), changed, still)

    def rearranged(self, images: Tensor) -> Tensor:
        """Where pixels lie; all maps of an image are one, so that it is interpolated once."""
        where, then = Map(images), Map(images)
        if "blit" in self.groups:
            self.blit(where, images)
        whole = shuffled(images, where)
        if "geom" not in self.groups:
            return whole
        self.geom(then, images)
        where.followed(then)
        return torch.where(then.still().view(-1, 1, 1, 1), whole, self.warp(images, where))

    def blit(self, where: Map, images: Tensor) -> None:
        """Mirroring, quarter turns and whole steps."""
        height, width = images.shape[2:]
        mirror = self.or_else(sign(images), 1, images)
        where.scaled(mirror, torch.ones_like(mirror))
        quarters = self.or_else((4 * uniform(images)).floor().clamp(max=3), 0, images)
        odd = quarters % 2  # cosine and sine are exact
        where.turned((1 - quarters) * (1 - odd), (2 - quarters) * odd)
        x, y = self.or_else((2 * uniform(images, 2) - 1) / 8, 0, images).unbind(1)
        where.moved((x * width).round(), (y * height).round())

    def geom(self, where: Map, images: Tensor) -> None:
        """Scale, stretching between two turns, and steps."""
        height, width = images.shape[2:]
        scale = self.or_else(torch.exp2(0.2 * normal(images)), 1, images)
        where.scaled(scale, scale)
        self.turn(where, images)
        stretch = self.or_else(torch.exp2(0.2 * normal(images)), 1, images)
        where.scaled(stretch, 1 / stretch)
        self.turn(where, images)
        x, y = self.or_else(normal(images, 2) / 8, 0, images).unbind(1)
        where.moved(x * width, y * height)

    def turn(self, where: Map, images: Tensor) -> None:
        """Turn by any angle; twice, so that one of the two turns has the probability."""
        chosen = uniform(images) < 1 - (1 - self.chance.p).sqrt()
        angle = torch.where(chosen, math.pi * (2 * uniform(images) - 1), 0)
        where.turned(angle.cos(), angle.sin())

    def recoloured(self, images: Tensor) -> Tensor:
        """Images [n, k, h, w], all channels colours, of other colours."""
        brightness = self.or_else(0.2 * normal(images), 0, images).view(-1, 1, 1, 1)
        contrast = self.or_else(torch.exp2(0.5 * normal(images)), 1, images).view(-1, 1, 1, 1)
        luma = self.or_else(sign(images), 1, images).view(-1, 1, 1, 1)
        images = (images + brightness) * contrast
        if images.shape[1] != 3:
            return luma_and_chroma(images, luma, None, None)
        hue = self.or_else(math.pi * (2 * uniform(images) - 1), 0, images).view(-1, 1, 1, 1)
        saturation = self.or_else(torch.exp2(normal(images)), 1, images).view(-1, 1, 1, 1)
        return luma_and_chroma(images, luma, hue, saturation)

    def equalised(self, images: Tensor) -> Tensor:
        """Images whose octave bands are weaker or stronger, along each side."""
        more = self.gains(images) - 1
        across = torch.tensordot(more, self.bands_across, 1)[:, None]
        down = torch.tensordot(more, self.bands_down, 1)[:, None]
        images = images + images @ across.mT
        changed: Tensor = images + down @ images
        return changed

    def gains(self, images: Tensor) -> Tensor:
        """What the bands are multiplied by, [n, 4]; each band is changed by itself, and all are
        scaled so that an image with a usual share of each keeps its power.
        """
        power = images.new_tensor(POWER)
        total = images.new_ones(len(images), BANDS)
        for band in range(BANDS):
            gain = self.or_else(torch.exp2(normal(images)), 1, images)
            others = torch.ones_like(total)
            changed = torch.cat([others[:, :band], gain[:, None], others[:, band + 1 :]], 1)
            # the same sum as power * changed², and exactly 1 where nothing is changed
            total = total * changed / (1 + (power * (changed.square() - 1)).sum(1, True)).sqrt()
        return total

    def with_hole(self, images: Tensor) -> Tensor:
        """Images without what lies in a rectangle of half of each side, anywhere."""
        size = self.or_else(images.new_full((len(images), 1), 0.5), 0, images)
        middle = uniform(images, 2)
        within = [
            ((places(images, dim) - middle[:, dim - 2 : dim - 1]).abs() < size / 2)
            for dim in (2, 3)
        ]
        return images * ~(within[0][:, None, :, None] & within[1][:, None, None, :])


def without_autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Within it, matrix products are not rounded to bf16."""
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def uniform(like: Tensor, *shape: int) -> Tensor:
    """Numbers in 0..1, [n, *shape] for n samples."""
    return torch.rand(len(like), *shape, dtype=like.dtype, device=like.device)


def normal(like: Tensor, *shape: int) -> Tensor:
    """Standard normal numbers, [n, *shape] for n samples."""
    return torch.randn(len(like), *shape, dtype=like.dtype, device=like.device)


def sign(like: Tensor) -> Tensor:
    """1 or -1, [n] for n samples."""
    return 1 - 2 * (uniform(like) < 0.5).to(like.dtype)


def places(images: Tensor, dim: int) -> Tensor:
    """The middles of pixels along a side, whose length is 1."""
    side = images.shape[dim]
    return (torch.arange(side, dtype=images.dtype, device=images.device) + 0.5) / side
