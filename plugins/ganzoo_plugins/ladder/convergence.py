"""How far a Dirac-GAN is from its equilibrium, and how fast it went there."""

from __future__ import annotations

import math

from torch import Tensor

from ganzoo.contracts import Metric, NonNegativeFloat, PositiveFloat, PositiveInt, Spec

TINY = 1e-12  # in place of a distance of 0
SLOPE = 0.5  # f'(0) of the logistic loss


class Dirac(Metric):
    """The distance of Dirac-GAN's point from its equilibrium, and its rate beside that of theory
    (Mescheder et al. 2018, section 4).

    A metric sees a generator where it stands, and not its path: the rate is that of an exponential
    from where the point began, at 1 along each axis, and says nothing of what was in between. How
    long that took, and the weight of the penalty, it is told by its options; their defaults are
    those of the rung `dirac`.

    Figures:
    distance: between the means of generated and of real points, from 0, smaller is better
    floor_distance: between the means of two halves of the real points
    rate: log(distance at the beginning / distance) / time, larger is better
    theory: of the logistic losses near the equilibrium with r1 or r2, minus the largest real part
        of -gamma/2 ± (gamma²/4 - 1/4)^½; larger is faster, and 0 without a penalty, where the
        point goes round

    count: samples to draw for it
    time: updates times the rate of both optimizers, plain gradient descent
    gamma: weight of r1 or r2
    """

    modalities = ("points",)
    larger = ("rate", "theory")

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 500,
        time: PositiveFloat = 200.0,
        gamma: NonNegativeFloat = 20.0,
    ) -> None:
        super().__init__(spec, count=count)
        self.time, self.gamma = time, gamma

    def measure(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Figures of points [n, d] beside real ones [m, d]."""
        distance = _apart(fake, real)
        began = math.sqrt(self.spec.numel)
        return {
            "distance": distance,
            "floor_distance": _apart(real[::2], real[1::2]),
            "rate": math.log(began / max(distance, TINY)) / self.time,
            "theory": rate_of(self.gamma),
        }


def _apart(one: Tensor, other: Tensor) -> float:
    """The distance between the means of points [n, d] and [m, d]."""
    first, second = (side.double().flatten(1).mean(0) for side in (one, other))
    return float((first - second).norm())


def rate_of(gamma: float) -> float:
    """Minus the largest real part of the eigenvalues at the equilibrium."""
    inside = gamma**2 / 4 - SLOPE**2
    return gamma / 2 - math.sqrt(max(inside, 0.0))
