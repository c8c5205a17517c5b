"""Which generated samples the generator learns from."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganzoo.contracts import Regularizer, Sides, Step
from ganzoo.errors import Incompatible
from ganzoo.nn import own, whole

Fraction = Annotated[float, Field(gt=0, le=1)]


class TopK(Regularizer):
    """The generator learns from the k samples of a batch that the discriminator finds most real
    (Sinha et al. 2020).

    k falls exponentially from the whole batch to the share `least` of it. The loss is that of the
    whole batch; its gradient in the samples is n/k of itself for the k chosen and 0 for the others,
    which is that of a mean over the k. It costs one more pass of the discriminator, without
    gradient, on samples after augmentations and the views of regularizers that are named before.

    least: share of the batch at the end, the paper's nu
    until: the share of the training after which k stays; the paper's decay of 0.99 an epoch comes
        to a half in 69 epochs
    """

    side: Sides = "generator"

    def __init__(self, *, least: Fraction = 0.5, until: Fraction = 0.5) -> None:
        super().__init__()
        self.least, self.until = least, until

    def view(self, samples: Tensor, step: Step) -> Tensor:
        """The samples themselves, of which only the chosen pass a gradient on."""
        if not samples.requires_grad:
            return samples
        still = samples.detach()
        with torch.no_grad():
            logits, _ = step.height(still)
            factors = own(self.factors(whole(logits), step.progress)).to(still.dtype)
        if len(factors) != len(still):
            raise Incompatible(
                "topk chooses samples, and the discriminator judges several at once",
                remedy="use no augmentation that packs them",
            )
        return still + factors.view(-1, *[1] * (still.dim() - 1)) * (samples - still)

    def factors(self, logits: Tensor, progress: Tensor | float) -> Tensor:
        """n/k for the k largest of logits [n], 0 for the others."""
        done = torch.as_tensor(progress, device=logits.device)
        count = (self.least ** (done / self.until)).clamp(min=self.least) * len(logits)
        k = count.round().clamp(min=1).to(logits.dtype)
        rank = logits.argsort(descending=True).argsort()
        return (rank < k) * (len(logits) / k)
