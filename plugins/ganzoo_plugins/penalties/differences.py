"""R1 and R2 from differences of logits, without a second derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.contracts import NonNegativeFloat, PositiveFloat, PositiveInt, Regularizer, Step


class ApproximateR1(Regularizer):
    """R1 without a second derivative: the squared difference of the logits of a real sample and of
    the same with noise, over sigma² (Lin et al. 2025).

    With e ~ N(0, I), D(x + sigma e) - D(x) = sigma e'g + O(sigma²), and E (e'g)² = g' E(ee') g =
    |g|². So (D(x + sigma e) - D(x))² / (2 sigma²) is, as sigma goes to 0, an unbiased estimate of
    |g|² / 2, which is r1: the weight is the same gamma. It varies, since one e is drawn for each
    sample: for small sigma by sqrt(2) of its value. The paper does not divide; its weight of 100 at
    sigma 0.01 is one of 0.02 here.

    The noise is added to what the discriminator sees, after augmentations and other views, so that
    both logits share what those draw; r1 with `through` false is its limit. Dropout in the
    discriminator would be counted as slope. In bf16 logits are rounded to 8 bits: take a sigma that
    moves them by more (0.1), since the rounding is divided by sigma² too.

    sigma: deviation of the noise, in units of a sample (images span 2), of the deviation for points
    """

    needs = {"discriminator": "per_sample"}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 10.0,
        every: PositiveInt = 1,
        sigma: PositiveFloat = 0.01,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.sigma = sigma

    def penalty(self, step: Step) -> Tensor:
        """(D(x + sigma e) - D(x))² / (2 sigma²), averaged over real samples x."""
        return self.rise(step, step.real, step.verdicts[0])

    def rise(self, step: Step, seen: Tensor, logits: Tensor) -> Tensor:
        """The penalty at samples as seen, whose logits [n] are known."""
        unit = getattr(step.discriminator, "unit", 1.0)
        moved, _ = step.height(seen + self.sigma * unit * torch.randn_like(seen))
        return ((moved - logits) / self.sigma).square().mean() / 2


class ApproximateR2(ApproximateR1):
    """R2 without a second derivative: as approx-r1, at generated samples (Lin et al. 2025).

    Use it with approx-r1 and the same weight.

    sigma: deviation of the noise, in units of a sample (images span 2), of the deviation for points
    """

    def penalty(self, step: Step) -> Tensor:
        """(D(x + sigma e) - D(x))² / (2 sigma²), averaged over generated samples x."""
        return self.rise(step, step.fake, step.verdicts[1])
