"""Differentiable augmentation (Zhao et al. 2020)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ganzoo.contracts import Augmentation, Spec

from .colours import colours, with_rest

FAR = 1 / 8  # of a side: the longest way that an image is moved
PART = 1 / 2  # of a side: that of the square that is cut out
Policy = Literal[
    "color,translation,cutout",
    "color,translation",
    "color,cutout",
    "translation,cutout",
    "color",
    "translation",
    "cutout",
]


class DiffAugment(Augmentation):
    """Changes every image by a random colour, a move and a square cut out, in real and generated
    ones alike (Zhao et al. 2020, DiffAugment).

    Colour: brightness from -0.5 to 0.5 is added, saturation is multiplied by 0 to 2, contrast by
    0.5 to 1.5; alpha, the last of four channels, stays. Translation: by up to an eighth of each
    side. Cutout: half of each side. Gaps are 0, the middle of the range, in all channels.

    policy: what is done, in this order
    """

    modalities = ("image",)

    def __init__(self, spec: Spec, *, policy: Policy = "color,translation,cutout") -> None:
        super().__init__(spec)
        self.policy = policy

    def forward(self, samples: Tensor) -> Tensor:
        """Changed images [n, c, h, w]."""
        if "color" in self.policy:
            samples = with_rest(recoloured(samples[:, : colours(samples.shape[1])]), samples)
        if "translation" in self.policy:
            samples = moved(moved(samples, 2), 3)
        if "cutout" in self.policy:
            samples = samples * ~(within_hole(samples, 2) & within_hole(samples, 3))
        return samples


def recoloured(images: Tensor) -> Tensor:
    """Images [n, k, h, w], all channels colours, of other brightness, saturation and contrast."""
    drawn = torch.rand(len(images), 3, 1, 1, 1, dtype=images.dtype, device=images.device)
    brightness, saturation, contrast = drawn.unbind(1)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + 2 * saturation * (images - grey)
    level = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = level + (0.5 + contrast) * (images - level)
    return changed


def moved(images: Tensor, dim: int) -> Tensor:
    """Images [n, c, h, w], each moved along a dimension by whole pixels; gaps are 0."""
    count, side = len(images), images.shape[dim]
    far = int(side * FAR + 0.5)
    moves = torch.randint(-far, far + 1, (count, 1), device=images.device)
    places = torch.arange(side, device=images.device) + moves
    shape = [count, 1, 1, 1]
    shape[dim] = side
    found = images.gather(dim, places.clamp(0, side - 1).view(shape).expand_as(images))
    return found * ((places >= 0) & (places < side)).view(shape)


def within_hole(images: Tensor, dim: int) -> Tensor:
    """Which places along a dimension lie within the hole of each image: [n, h, 1] or [n, 1, w],
    with a dimension for channels.

    The middle is anywhere in the image, or on its edge, so that a part of the hole may be outside.
    """
    count, side = len(images), images.shape[dim]
    size = int(side * PART + 0.5)
    middles = torch.randint(0, side + (1 - size % 2), (count, 1), device=images.device)
    places = torch.arange(side, device=images.device) - (middles - size // 2)
    shape = [count, 1, 1, 1]
    shape[dim] = side
    return ((places >= 0) & (places < size)).view(shape)
