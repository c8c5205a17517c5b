"""The Frechet distance of Gaussians that are fitted to samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganzoo.contracts import PositiveInt, Spec

from .features import Compared, Features
from .floor import beside_floor, check_count, different


class Frechet(Compared):
    """The Frechet distance of Gaussians fitted to real and generated samples (Heusel et al. 2017),
    of values, or in features of no network that was trained elsewhere.

    |difference of means|² + tr(S + S' - 2 (S S')^½), in float64 with covariances over n - 1. It is
    no FID, and not to be compared with one. The fewer samples there are for the features, the
    larger it is for samples of one distribution too, as the floor shows.

    Figures, of halves of the samples (two of each, averaged):
    distance: in squared units of the features, from 0, smaller is better
    floor_distance: of one half of the real samples from the other; less is chance

    count: samples to draw for it
    features: values (pixels); random-conv for images, or classifier, of the data's own labels
    """

    called = "frechet"

    def __init__(
        self, spec: Spec, *, count: PositiveInt = 2500, features: Features = "values"
    ) -> None:
        super().__init__(spec, count=count, features=features)
        check_count("frechet", count, 2)

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Distance of vectors [n, d], and of real ones from each other."""
        return beside_floor("frechet", _distance, different(real), fake, least=2)


def _distance(real: Tensor, fake: Tensor) -> dict[str, float]:
    return {"distance": frechet_distance(real, fake)}


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """The Frechet distance of Gaussians fitted to float64 vectors [n, d] and [m, d].

    With roots R of the covariances, S = R'R, the trace of (S S')^½ is the sum of the singular
    values of R times the other's transpose: stable where a root of S S' is not. Not a number for
    vectors that are not finite.
    """
    if not (one.isfinite().all() and other.isfinite().all()):
        return math.nan  # of a generator that diverged; eigenvalues of it are an error
    mean = (one.mean(0) - other.mean(0)).square().sum()
    first, second = _root(one), _root(other)
    common = torch.linalg.svdvals(first @ second.T).sum()
    distance = mean + first.square().sum() + second.square().sum() - 2 * common
    return float(distance.clamp(min=0))  # rounding may leave less


def _root(vectors: Tensor) -> Tensor:
    """A matrix R [k, d] with R'R the covariance of vectors [n, d]: the vectors themselves, or,
    where they are more than their numbers, from the covariance's symmetric eigenvalues.
    """
    centred: Tensor = (vectors - vectors.mean(0)) / (len(vectors) - 1) ** 0.5
    if len(vectors) <= vectors.shape[1]:
        return centred
    values, axes = torch.linalg.eigh(centred.T @ centred)
    root: Tensor = values.clamp(min=0).sqrt()[:, None] * axes.T
    return root
