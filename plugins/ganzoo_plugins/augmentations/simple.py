"""Mirroring and packing."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.contracts import Augmentation, PositiveInt, Spec
from ganzoo.errors import Incompatible


class Flip(Augmentation):
    """Mirrors each sample with probability 1/2, images from left to right and signals in time.

    It acts on generated samples as well, so that the generator need not learn that the data are
    mirrored; to mirror the data alone, set the data's own `flip`.
    """

    modalities = ("image", "signal")

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [n, ..., w], some mirrored."""
        draw = torch.rand(len(samples), *[1] * (samples.dim() - 1), device=samples.device)
        return torch.where(draw < 0.5, samples.flip(-1), samples)


class Packing(Augmentation):
    """Joins m samples along the channels into one that gets one logit, so that the discriminator
    sees a lack of variety (Lin et al. 2018, PacGAN).

    Of n samples n / m are left, without their labels: no discriminator that reads labels can judge
    them. Name it after all other augmentations, which would take a pack for one picture. Raises
    Incompatible for points, and for a batch that m does not divide.

    m: samples that are judged at once
    """

    modalities = ("image", "signal")

    def __init__(self, spec: Spec, *, m: PositiveInt = 2) -> None:
        super().__init__(spec)
        self.m = self.packs = m

    def respec(self, spec: Spec) -> Spec:
        """Samples of m times as many channels."""
        return spec.with_shape(self.m * spec.shape[0], *spec.shape[1:])

    def forward(self, samples: Tensor) -> Tensor:
        """Packs [n / m, m * c, ...] of samples [n, c, ...], each of m that follow each other."""
        if len(samples) % self.m:
            raise Incompatible(
                f"does not come in packs of {self.m}",
                section="train",
                key="batch_size",
                value=len(samples),
                remedy=f"take a multiple of {self.m}",
            )
        return samples.reshape(-1, self.m * samples.shape[1], *samples.shape[2:])
