"""Penalties that tell classes apart, beside any adversarial loss."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ganzoo.contracts import (
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Regularizer,
    Step,
    nets_of,
)
from ganzoo.errors import Incompatible
from ganzoo.nn import full, whole

from .features import features_of, require_features

Cosine = Annotated[float, Field(gt=0.5, le=1)]


class AuxiliaryClassifier(Regularizer):
    """Both nets minimise the cross-entropy of the classes, by a second head of the discriminator
    (Odena et al. 2017, L_C, AC-GAN).

    The discriminator's is over real and generated samples, the generator's over its own. The paper
    has it beside cross-entropy (`nonsat`); it joins any loss.
    """

    side = "both"
    conditional = True
    needs = {  # noqa: RUF012  (typed in the contract)
        "discriminator": "classify",
        "generator": "conditional",
    }

    def penalty(self, step: Step) -> Tensor:
        """-log p(class), averaged over each side's samples, the two added."""
        fake = self.missed(step, step.fake_features)
        if step.side == "generator":
            return fake
        return fake + self.missed(step, step.real_features)

    def missed(self, step: Step, features: Any) -> Tensor:
        """The cross-entropy of samples with these features."""
        scores = full(step.discriminator.classify(features))
        return cross_entropy(scores, labels_of(step, scores))


class DataToDataCrossEntropy(Regularizer):
    """Samples are drawn to their class's vector and pushed from samples of other classes (Kang et
    al. 2021, ReACGAN).

    With unit vectors f_i of the samples and w_y of the classes, the loss of sample i is -log(a_i /
    (a_i + sum_j exp(max(0, f_i'f_j - (1 - margin)) / temperature))), a_i = exp(min(0, f_i'w_y -
    margin) / temperature), the sum over samples of other classes. The discriminator's is over real
    samples, the generator's over its own. What maps features to f, and the vectors w, are added to
    the discriminator; `sn` holds them too if it is named after this.

    size: numbers in f and w
    temperature: the paper's tau
    margin: cosine from which a sample is near enough to its class; 1 - margin is far enough from
        others
    """

    side = "both"
    conditional = True
    needs = {"generator": "conditional"}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1.0,
        every: PositiveInt = 1,
        size: PositiveInt = 128,
        temperature: PositiveFloat = 0.5,
        margin: Cosine = 0.98,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.size, self.temperature, self.margin = size, temperature, margin

    def prepare(self, generator: Any, discriminator: Any) -> None:
        """Add the map to vectors and the classes' vectors to every discriminator."""
        for net in nets_of(discriminator):
            self.extend(net)

    def extend(self, net: Any) -> None:
        """Add them to one net."""
        if not net.spec.classes:
            raise Incompatible("there are no classes to tell apart; use data with labels")
        net.embed = nn.Linear(features_of(net), self.size)
        net.proxies = nn.Embedding(net.spec.classes, self.size)

    def penalty(self, step: Step) -> Tensor:
        """The loss above, averaged over the samples of the step's side."""
        require_features(step.discriminator)
        features = step.fake_features if step.side == "generator" else step.real_features
        vectors = normalize(full(step.discriminator.embed(features.flatten(1))), dim=1)
        labels = labels_of(step, vectors)
        proxies = normalize(full(step.discriminator.proxies(labels)), dim=1)
        near = (vectors * proxies).sum(1) - self.margin
        apart = vectors @ whole(vectors).T - (1 - self.margin)
        attracted = near.clamp(max=0) / self.temperature
        repelled = full(apart).clamp(min=0) / self.temperature
        others = labels[:, None] != whole(labels)
        rivals = repelled.masked_fill(~others, -torch.inf)
        all_of_them = torch.cat([attracted[:, None], rivals], 1)
        return (all_of_them.logsumexp(1) - attracted).mean()


def labels_of(step: Step, judged: Tensor) -> Tensor:
    """The classes [n] of what was judged, [n, ...].

    Raises Incompatible where the discriminator judges several samples at once.
    """
    if step.labels is None or len(step.labels) != len(judged):
        raise Incompatible(
            "needs one label for each sample that the discriminator judges",
            remedy="use data with labels, and no augmentation that packs samples",
        )
    return step.labels
