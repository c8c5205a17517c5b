"""Keeping the discriminator from being too sure: softer targets, noisier samples."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganzoo.contracts import PositiveFloat, Regularizer, Sides, Step

Fraction = Annotated[float, Field(gt=0, le=1)]


class LabelSmoothing(Regularizer):
    """One-sided label smoothing: real samples have the target
    0.9 instead of 1 (Salimans et al. 2016, section 3.4).

    It adds (1 - target) times the mean real logit x to a loss with targets, which is
    exact in both families. Cross-entropy: since softplus(x) = softplus(-x) + x, target
    * softplus(-x) + (1 - target) * softplus(x) = softplus(-x) + (1 - target) * x.
    Least squares: (x - target)² / 2 = (x - 1)² / 2 + (1 - target) * x + a constant.

    target: what the discriminator should say of real samples, above 0, at most 1
    """

    needs = {"loss": "labels"}  # noqa: RUF012  (typed in the contract)

    def __init__(self, *, target: Fraction = 0.9) -> None:
        super().__init__()
        self.target = target

    def penalty(self, step: Step) -> Tensor:
        """(1 - target) * D(real), averaged."""
        return (1 - self.target) * step.real_logits.mean()


class InstanceNoise(Regularizer):
    """Gaussian noise on all that the discriminator sees, fading
    out (Sønderby et al. 2017; Arjovsky and Bottou 2017).

    The two distributions overlap while it lasts, so that their divergence has a slope to follow.

    std: deviation at the start, in units of a sample (images span 2)
    until: the share of the training after which there is none; the decay is linear
    """

    side: Sides = "both"  # the generator must be judged through the same noise

    def __init__(self, *, std: PositiveFloat = 0.1, until: Fraction = 0.5) -> None:
        super().__init__()
        self.std, self.until = std, until

    def view(self, samples: Tensor, step: Step) -> Tensor:
        """Samples with noise, fresh at every call."""
        level = (1 - torch.as_tensor(step.progress, device=samples.device) / self.until).clamp(
            min=0
        )
        return samples + self.std * level * torch.randn_like(samples)
