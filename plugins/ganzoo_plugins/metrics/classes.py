"""Scores by a classifier of the data's own labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganzoo.contracts import PositiveInt, Spec

from .classifier import FEATURES
from .features import Compared
from .floor import beside_floor, check_count, different
from .frechet import frechet_distance
from .neighbours import prdc


class Classifier(Compared):
    """Frechet distance, precision and recall, and the Inception score's formula (Salimans et al.
    2016) by a small classifier of the data's own labels.

    The first three are in its 64 features, the last is of its classes. It is trained on nine tenths
    of the data once, in seconds, and kept in the cache folder by data and recipe; its accuracy on
    the last tenth is part of the protocol. Figures are comparable where the classifier is the same,
    and not with those of an Inception net.

    Figures, of halves of the samples (two of each, averaged), each with `floor_` before it for one
    half of the real samples in place of generated ones:
    distance: in squared units of the features, from 0, smaller is better
    score: exp of the mean divergence of an image's classes from those of all, from 1 to the
        number of classes, larger is better
    precision: share of generated samples in a ball of a real one, 0 to 1, larger is better
    recall: share of real samples in a ball of a generated one, 0 to 1, larger is better

    count: samples to draw for it
    k: which neighbour a ball reaches to
    """

    modalities = ("image",)
    larger = ("score", "precision", "recall")
    called = "classifier"

    def __init__(self, spec: Spec, *, count: PositiveInt = 2500, k: PositiveInt = 5) -> None:
        super().__init__(spec, count=count, features="classifier")
        check_count("classifier", count, k + 1)
        self.k = k

    def features(self, samples: Tensor) -> Tensor:
        """Features and logits [n, 64 + classes] of images [n, c, h, w] in [-1, 1]."""
        vectors = self.known[0].features(samples)
        return torch.cat([vectors, self.known[0].logits(samples)], 1)

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Figures of features and logits [n, 64 + classes]."""
        return beside_floor("classifier", self._figures, different(real), fake, least=self.k + 1)

    def _figures(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        one, other = real[:, :FEATURES], fake[:, :FEATURES]
        near = prdc(one, other, self.k)
        return {
            "distance": frechet_distance(one, other),
            "score": inception_score(fake[:, FEATURES:]),
            "precision": near["precision"],
            "recall": near["recall"],
        }

    def protocol(self) -> dict[str, str | int | float | bool]:
        """Which classifier it is, and how good."""
        return {"features": "classifier", **super().protocol()}


def inception_score(logits: Tensor) -> float:
    """The exponential of the mean divergence of each sample's classes from the mean of all, of
    logits [n, classes].
    """
    each = logits.log_softmax(1)
    mean = each.logsumexp(0) - math.log(len(each))
    return float((each.exp() * (each - mean)).sum(1).mean().exp())
