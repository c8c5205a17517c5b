"""Codes in the latents that samples are to show."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganzoo.contracts import NonNegativeFloat, PositiveInt, Regularizer, Step, nets_of
from ganzoo.errors import Incompatible
from ganzoo.nn import full

from .features import features_of, require_features

NonNegativeInt = Annotated[int, Field(ge=0)]


class InfoGAN(Regularizer):
    """Samples show a code that is part of their latents: -log Q(c|G(z)) (Chen et al. 2016, eq. 5
    and 6).

    The code is in the generator's own latents: a category, which is the largest of the first
    `categories` numbers, and after these `continuous` numbers, whose Q is a normal distribution of
    deviation 1. So no generator need know, and a category is chosen by making its number the
    largest. (The paper draws categories and uniform numbers as further inputs, and learns the
    deviations.) Q is a linear layer on the discriminator's features, which is added to it; both
    nets minimise the term. Raises Incompatible where latents are shorter than the code, or features
    are not one tensor.

    categories: kinds of samples; 0 for none
    continuous: numbers that change samples gradually
    """

    side = "both"

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1.0,
        every: PositiveInt = 1,
        categories: NonNegativeInt = 10,
        continuous: NonNegativeInt = 2,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.categories, self.continuous = categories, continuous

    def prepare(self, generator: Any, discriminator: Any) -> None:
        """Add Q to every discriminator."""
        length = self.categories + self.continuous
        if length == 0:
            raise Incompatible("a code has a category or numbers", key="categories", value=0)
        for net in nets_of(generator):
            if getattr(net, "latent_dim", length) < length:
                message = f"codes have {length} numbers, and latents {net.latent_dim}"
                raise Incompatible(message, key="continuous", value=self.continuous)
        for net in nets_of(discriminator):
            net.read_code = nn.Linear(features_of(net), length)

    def penalty(self, step: Step) -> Tensor | None:
        """-log Q(c|G(z)), averaged over generated samples, the parts of the code added."""
        if not step.from_latents:
            return None
        require_features(step.discriminator)
        read = full(step.discriminator.read_code(step.fake_features.flatten(1)))
        if len(read) != len(step.latents):
            raise Incompatible(
                "reads the code of each sample, and the discriminator judges several at once",
                remedy="use no augmentation that packs them",
            )
        codes = full(step.latents[:, : self.categories + self.continuous])
        total = read.new_zeros(())
        if self.categories:
            chosen = codes[:, : self.categories].argmax(1)
            total = total + cross_entropy(read[:, : self.categories], chosen)
        if self.continuous:
            missed = (read - codes)[:, self.categories :].square() + math.log(2 * math.pi)
            total = total + missed.sum(1).mean() / 2
        return total
