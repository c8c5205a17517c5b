"""What the nets of BigGAN and BigGAN-deep share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.contracts import Discriminator, Generator, Spec
from ganzoo.nn import LinearHead, add_vector, beside, joined, truncated_normal


class ClassGenerator(Generator):
    """A generator with a vector for each class, and latents that can be truncated.

    embedding: numbers in the vector of a class
    labels: whether it is told the class or vector of what it is to draw, where the data have them
    """

    modalities = ("image",)
    may_read = ("vector",)
    adapts = {"conditional": {"labels": True}}  # noqa: RUF012  (typed in the contract)
    sampling = {"truncation": float}  # noqa: RUF012

    def __init__(self, spec: Spec, *, latent_dim: int, embedding: int, labels: bool) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.conditional = labels and spec.classes > 0
        self.embedding = embedding if self.conditional else 0
        if self.conditional:
            self.classes = nn.Embedding(spec.classes, embedding)
        self.told = self.embedding + add_vector(self, labels)  # numbers

    def with_told(self, latents: Tensor, labels: Tensor | None, vector: Tensor | None) -> Tensor:
        """Latents [n, d] with what is told of each sample behind them."""
        if self.conditional:
            latents = torch.cat([latents, self.classes(labels)], 1)
        return joined(latents, vector)

    def draw_latents(
        self,
        count: int,
        generator: torch.Generator | None = None,
        *,
        truncation: float | None = None,
    ) -> Tensor:
        """Latents [count, latent_dim] of a standard normal; with `truncation` none beyond it."""
        if truncation is None:
            return super().draw_latents(count, generator)
        return truncated_normal(count, self.latent_dim, truncation, generator)


class ClassDiscriminator(Discriminator):
    """A discriminator that adds rectified features up over space, and reads or tells the class.

    labels: whether it reads or tells classes, where the data have them, and reads a vector that
        the data give, as maps beside the picture; the vector is not in the paper
    head: projection adds the product of the features and a vector for the class (Miyato and
        Koyama 2018), concat judges both together in a hidden layer, classify tells the class
        beside the logit, for losses that ask (Odena et al. 2017)
    """

    modalities = ("image",)
    may_read = ("vector",)
    adapts = {  # noqa: RUF012  (typed in the contract)
        "conditional": {"labels": True},
        "classify": {"labels": True, "head": "classify"},
    }
    blocks: nn.Sequential
    head: LinearHead

    def features(self, samples: Tensor, vector: Tensor | None = None) -> Tensor:
        """What the last block says, added up over space: [n, features]."""
        maps: Tensor = self.blocks(beside(samples, vector)).relu()
        return maps.sum((2, 3))

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n]."""
        logits: Tensor = self.head(features, labels)
        return logits
