"""Losses over the classes and one more, "generated"."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu

from ganzoo.contracts import Loss, Step
from ganzoo.errors import Incompatible
from ganzoo.nn import full


class MultiHinge(Loss):
    """The hinge over the classes and "generated": the right one is to lead all others by one
    (Kavalerov et al. 2021).

    The scores of a sample are those of `classify` for the classes, and minus the logit for
    "generated", so that a larger logit means more real. The paper's generator matches features
    besides: add the regularizer `featmatch`.
    """

    conditional = True
    needs = {  # noqa: RUF012  (typed in the contract)
        "discriminator": "classify",
        "generator": "conditional",
    }

    def discriminator(self, step: Step) -> Tensor:
        """max(0, 1 - s[right] + max s[others]), for real samples with their class and generated
        ones with "generated"; averaged, the two added.
        """
        real = self.scores(step, step.real_features, step.real_logits)
        fake = self.scores(step, step.fake_features, step.fake_logits)
        generated = torch.full_like(self.asked(step, fake), fake.shape[1] - 1)
        return lag(real, self.asked(step, real)) + lag(fake, generated)

    def generator(self, step: Step) -> Tensor:
        """The same hinge, for generated samples with the class that was asked for."""
        fake = self.scores(step, step.fake_features, step.fake_logits)
        return lag(fake, self.asked(step, fake))

    def scores(self, step: Step, features: Tensor, logits: Tensor) -> Tensor:
        """[n, classes + 1] from features and logits [n], or [n, k] of patches, then their mean."""
        generated = -(logits.mean(1) if logits.dim() > 1 else logits)
        return torch.cat([full(step.discriminator.classify(features)), generated[:, None]], 1)

    def asked(self, step: Step, scores: Tensor) -> Tensor:
        """The classes [n] of samples with these scores."""
        if step.labels is None or len(step.labels) != len(scores):
            raise Incompatible(
                "needs one label for each sample that the discriminator judges",
                remedy="use data with labels, and no augmentation that packs samples",
            )
        return step.labels


def lag(scores: Tensor, right: Tensor) -> Tensor:
    """max(0, 1 - s[right] + max s[others]) of scores [n, k], averaged (Crammer and Singer 2001)."""
    index = right[:, None]
    others = scores.scatter(1, index, -torch.inf).amax(1)
    return relu(1 - scores.gather(1, index).squeeze(1) + others).mean()
