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

    Of n samples n / m are left, and no discriminator that reads the label of each can judge them.
    With `labels` a class is told beside each sample of a pack, as channels of zeros and one of ones
    (Mirza and Osindero 2014), so that any discriminator that reads none judges sample and class
    together. Name it after all other augmentations, which would take a pack for one picture. Raises
    Incompatible for points, and for a batch that m does not divide.

    m: samples that are judged at once
    labels: whether the class stands beside each, where the data have classes
    """

    modalities = ("image", "signal")
    adapts = {"conditional": {"labels": True}}  # noqa: RUF012  (typed in the contract)

    def __init__(self, spec: Spec, *, m: PositiveInt = 2, labels: bool = False) -> None:
        super().__init__(spec)
        self.m = self.packs = m
        self.conditional = labels and spec.classes > 0

    def respec(self, spec: Spec) -> Spec:
        """Samples of m times as many channels, and m times the classes where they are told."""
        told = self.spec.classes if self.conditional else 0
        return spec.with_shape(self.m * (spec.shape[0] + told), *spec.shape[1:])

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Packs [n / m, m * c, ...] of samples [n, c, ...], each of m that follow each other; with
        labels [n] each of c and the classes.
        """
        if self.conditional:
            assert labels is not None
            classes = torch.arange(self.spec.classes, device=labels.device)
            told = (labels[:, None] == classes).to(samples.dtype)  # one_hot reads values on a CPU
            planes = told.reshape(*told.shape, *[1] * (samples.dim() - 2))
            planes = planes.expand(-1, -1, *samples.shape[2:])
            samples = torch.cat([samples, planes], 1)
        if len(samples) % self.m:
            raise Incompatible(
                f"does not come in packs of {self.m}",
                section="train",
                key="batch_size",
                value=len(samples),
                remedy=f"take a multiple of {self.m}",
            )
        return samples.reshape(-1, self.m * samples.shape[1], *samples.shape[2:])
