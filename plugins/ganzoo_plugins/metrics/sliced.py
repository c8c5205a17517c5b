"""The sliced Wasserstein distance."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.contracts import Metric, PositiveInt, Spec

from .floor import beside_floor, check_count, different


class SlicedWasserstein(Metric):
    """The sliced Wasserstein-2 distance of all values of a sample, pixels for images (Bonneel et
    al. 2015).

    The root of the mean of squared distances along random directions, which the seed fixes. A shift
    of all samples by v makes it about |v| / sqrt(values of a sample). Karras et al. 2018 take it of
    patches of a pyramid: their figures are not to be compared with these.

    Figures, of halves of the samples (two of each, averaged):
    distance: in the units of the data, from 0, smaller is better
    floor_distance: of one half of the real samples from the other; less is chance

    count: samples to draw for it
    projections: random directions
    seed: of the directions
    """

    default = ("image", "signal", "points", "map")

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 2500,
        projections: PositiveInt = 512,
        seed: int = 0,
    ) -> None:
        super().__init__(spec, count=count)
        check_count("swd", count, 1)
        self.projections, self.seed = projections, seed

    def features(self, samples: Tensor) -> Tensor:
        """Places [n, projections] of samples [n, *spec.shape] along the directions."""
        return projected(samples, self.projections, self.seed)

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Distance of places [n, projections], and of real ones from each other."""
        return beside_floor("swd", _distance, different(real), fake, least=1)


def _distance(real: Tensor, fake: Tensor) -> dict[str, float]:
    return {"distance": distance_along(real, fake)}


def sliced_distance(one: Tensor, other: Tensor, projections: int = 512, seed: int = 0) -> float:
    """The sliced Wasserstein-2 distance of two sets [n, ...] of one size.

    The directions are the same in every call with one seed.
    """
    return distance_along(*(projected(x, projections, seed) for x in (one, other)))


def projected(samples: Tensor, projections: int, seed: int) -> Tensor:
    """Where samples [n, ...] lie along random directions, [n, projections]."""
    stream = torch.Generator().manual_seed(seed)
    directions = torch.randn(samples[0].numel(), projections, generator=stream)
    places: Tensor = samples.flatten(1) @ (directions / directions.norm(dim=0))
    return places


def distance_along(one: Tensor, other: Tensor) -> float:
    """The Wasserstein-2 distance of two sets of places [n, k], its square averaged over k."""
    first, second = one.sort(0).values, other.sort(0).values
    return float((first - second).square().mean().sqrt())
