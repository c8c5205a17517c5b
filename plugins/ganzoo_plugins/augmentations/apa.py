"""Adaptive pseudo augmentation (Jiang et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganzoo.contracts import Game, PositiveInt, Spec, Step, Update
from ganzoo.nn import own, whole

from .probability import Probability

Share = Annotated[float, Field(ge=0, le=1)]
Mean = Annotated[float, Field(ge=-1, le=1)]


class APA(Game):
    """Passes generated samples for real with a probability that follows how sure the discriminator
    is of real ones (Jiang et al. 2021, APA).

    A game, since an augmentation is not told which samples are real. What passes for real is drawn
    from the update's latents, one place on, with the labels of the samples that it stands for: as
    another draw than the generated sample beside it. (Theirs are those of the generator's last
    update.) Penalties on real samples see what passes for real, as theirs do; the generator's
    updates see real samples alone.

    probability: keeps this one; none adapts, from 0
    target: the mean sign of the logits of what passes for real to hold
    speed: samples in which the probability goes from 0 to 1, at least
    """

    def __init__(
        self,
        spec: Spec,
        *,
        probability: Share | None = None,
        target: Mean = 0.6,
        speed: PositiveInt = 500_000,
    ) -> None:
        super().__init__(spec)
        self.chance = Probability(probability, target, speed)

    def steps(self, update: Update) -> Sequence[Step]:
        """One pair; in the discriminator's update some of the real samples are generated."""
        if update.side == "generator":
            return [update.step()]
        return [update.step(real=lambda: self.deceiving(update))]

    def deceiving(self, update: Update) -> Tensor:
        """Real samples [n, *shape], some replaced by generated ones."""
        real = update.samples
        generator = update.nets["gen"]
        labels = update.labels if getattr(generator, "conditional", False) else None
        given = self.given_to("gen", update)
        drawn = generator(own(whole(update.latents).roll(1, 0)), labels, **given).to(real.dtype)
        chosen = self.chance.choose(real).view(-1, *[1] * (real.dim() - 1))
        return torch.where(chosen, drawn, real)

    def terms(self, update: Update, steps: Sequence[Step]) -> Mapping[str, Tensor]:
        """Nothing; the probability moves after the discriminator's updates."""
        if update.side == "discriminator":
            self.chance.observe(steps[0].verdicts[0].detach())
        return {}
