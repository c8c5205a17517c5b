"""Relativistic average losses: how much more real a sample looks than the other side does on
average (Jolicoeur-Martineau 2019, section 3).

Each logit is taken relative to the batch's mean logit of the other side, over patches too where
the discriminator gives a map: d(real) = D(real) - mean D(fake), d(fake) = D(fake) - mean D(real).
The generator's loss is the discriminator's with the two sides exchanged.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus

from ganzoo.contracts import Loss, Step
from ganzoo.nn import whole_mean


class RelativisticAverage(Loss):
    """Cross-entropy of logits relative to the other side's mean (Jolicoeur-Martineau 2019)."""

    def discriminator(self, step: Step) -> Tensor:
        """-log sigma(d(real)) - log(1 - sigma(d(fake))), averaged."""
        return self.above(step.real_logits, step.fake_logits)

    def generator(self, step: Step) -> Tensor:
        """-log sigma(d(fake)) - log(1 - sigma(d(real))), averaged."""
        return self.above(step.fake_logits, step.real_logits)

    def above(self, high: Tensor, low: Tensor) -> Tensor:
        """What is minimised by the side that wants `high` above `low`, logits of any shape."""
        highs, lows = whole_mean(high.mean()), whole_mean(low.mean())
        return softplus(lows - high).mean() + softplus(low - highs).mean()


class RelativisticAverageHinge(RelativisticAverage):
    """Hinges on logits relative to the other side's mean (Jolicoeur-Martineau 2019)."""

    def above(self, high: Tensor, low: Tensor) -> Tensor:
        """max(0, 1 - d(high)) + max(0, 1 + d(low)), averaged."""
        highs, lows = whole_mean(high.mean()), whole_mean(low.mean())
        return relu(1 - high + lows).mean() + relu(1 + low - highs).mean()


class RelativisticAverageSquares(RelativisticAverage):
    """Squared distance to 1 and -1 of logits relative to the other side's mean
    (Jolicoeur-Martineau 2019).
    """

    def above(self, high: Tensor, low: Tensor) -> Tensor:
        """(d(high) - 1)² + (d(low) + 1)², averaged."""
        raised, lowered = high - whole_mean(low.mean()), low - whole_mean(high.mean())
        return (raised - 1).square().mean() + (lowered + 1).square().mean()
