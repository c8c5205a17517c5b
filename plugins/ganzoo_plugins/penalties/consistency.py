"""Consistency: what should not change the judgement does not, or should change the sample does.

An image is mirrored with probability 1/2 and moved by up to 4 pixels up or down and left or right,
as in the papers; what comes in at a border is what lies behind it, mirrored.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo.contracts import (
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Regularizer,
    Step,
    nets_of,
)
from ganzoo.errors import Incompatible

MOST = 4  # pixels that an image is moved by


class Consistency(Regularizer):
    """The logit of a real image is that of the image mirrored and moved: (D(x) - D(T(x)))² (Zhang
    et al. 2020).

    T acts on what the discriminator sees, after augmentations and other views, so that both logits
    share what those draw; the paper has none. Raises Incompatible for other samples than images.
    """

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 10.0,
        every: PositiveInt = 1,
    ) -> None:
        super().__init__(weight=weight, every=every)

    def prepare(self, generator: Any, discriminator: Any) -> None:
        """Refuse what cannot be mirrored and moved."""
        for net in nets_of(discriminator):
            modality = net.spec.modality
            if modality != "image":
                raise Incompatible(
                    f"mirrors and moves images, and these are {modality}; "
                    "zcr is consistent in latents, for any samples"
                )

    def penalty(self, step: Step) -> Tensor:
        """(D(x) - D(T(x)))², averaged over real images x."""
        return self.change(step, step.real, step.real_logits)

    def change(self, step: Step, seen: Tensor, logits: Tensor) -> Tensor:
        """The penalty at images as seen, whose logits are known."""
        moved, _ = step.judge(mirrored_and_moved(seen))
        return (moved - logits).square().mean()


class BalancedConsistency(Consistency):
    """Consistency of real and of generated images alike: (D(x) - D(T(x)))² of each, added (Zhao et
    al. 2021, bCR).

    With real images alone the generator can take over what T does to them. T acts on what the
    discriminator sees, after augmentations and other views. Raises Incompatible for other samples
    than images.
    """

    def penalty(self, step: Step) -> Tensor:
        """(D(x) - D(T(x)))², averaged over real images, plus the same over generated ones."""
        real = self.change(step, step.real, step.real_logits)
        return real + self.change(step, step.fake, step.fake_logits)


class LatentConsistency(Regularizer):
    """Latents a little apart: their samples have one logit, and yet differ (Zhao et al. 2021, zCR).

    With z' = z + std e and e ~ N(0, I), the discriminator minimises (D(G(z)) - D(G(z')))² and the
    generator -|G(z) - G(z')|², a mean over a sample's numbers. Views are drawn anew for G(z').

    judge: weight of the discriminator's term, the paper's lambda_dis
    spread: weight of the generator's term, the paper's lambda_gen
    std: deviation of the noise in latents
    """

    side = "both"

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1.0,
        every: PositiveInt = 1,
        judge: NonNegativeFloat = 5.0,
        spread: NonNegativeFloat = 0.5,
        std: PositiveFloat = 0.05,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.judge, self.spread, self.std = judge, spread, std

    def penalty(self, step: Step) -> Tensor | None:
        """judge * (D(G(z)) - D(G(z')))² or -spread * (G(z) - G(z'))², averaged."""
        if not step.from_latents:
            return None
        latents = step.latents + self.std * torch.randn_like(step.latents)
        if step.side == "generator":
            return -self.spread * (step.drawn - step.draw(latents)).square().mean()
        with torch.no_grad():
            near = step.view(step.draw(latents))
        logits, _ = step.judge(near)
        return self.judge * (step.fake_logits - logits).square().mean()


def mirrored_and_moved(images: Tensor) -> Tensor:
    """Images [n, c, h, w], each mirrored with probability 1/2 and moved by up to 4 pixels along
    either side, less where a side is shorter; gaps are filled by reflection.
    """
    count, _, height, width = images.shape
    coins = torch.rand(count, 1, 1, 1, device=images.device) < 0.5
    images = torch.where(coins, images.flip(3), images)
    rows = _moved_places(count, height, images.device)[:, None, :, None]
    columns = _moved_places(count, width, images.device)[:, None, None, :]
    images = images.gather(2, rows.expand_as(images))
    return images.gather(3, columns.expand_as(images))


def _moved_places(count: int, side: int, device: torch.device) -> Tensor:
    """Where each of `side` pixels comes from, [count, side], for one random move an image."""
    most = min(MOST, side - 1)
    moves = torch.randint(-most, most + 1, (count, 1), device=device)
    places = (torch.arange(side, device=device) + moves).abs()
    return (side - 1) - ((side - 1) - places).abs()
