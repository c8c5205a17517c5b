"""Precision, recall, density and coverage from nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.contracts import PositiveInt, Spec

from .features import Compared, Features
from .floor import beside_floor, check_count, different

CHUNK = 1024  # rows of the table of distances at a time


class Neighbours(Compared):
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al.
    2020), by nearest neighbours.

    A sample's ball reaches to its k-th nearest neighbour among its own kind, strictly less. A real
    sample that was drawn twice counts once, so that no ball is empty.

    Figures, of halves of the samples (two of each, averaged), larger is better in all; each with
    `floor_` before it for one half of the real samples in place of generated ones, which is what a
    perfect generator has:
    precision: share of generated samples in a ball of a real one, 0 to 1
    recall: share of real samples in a ball of a generated one, 0 to 1
    density: real balls that a generated sample is in, over k; from 0, about 1 for a perfect one
    coverage: share of real balls with a generated sample in them, 0 to 1

    count: samples to draw for it
    k: which neighbour a ball reaches to; 3 in the first paper, 5 in the second
    features: what distances are between: values (pixels); random-conv for images, or classifier,
        of the data's own labels
    """

    called = "prdc"

    larger = ("precision", "recall", "density", "coverage")

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 2500,
        k: PositiveInt = 5,
        features: Features = "values",
    ) -> None:
        super().__init__(spec, count=count, features=features)
        check_count("prdc", count, k + 1)
        self.k = k

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Figures of vectors [n, d]."""
        return beside_floor("prdc", self._figures, different(real), fake, least=self.k + 1)

    def _figures(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        return prdc(real, fake, self.k)


def prdc(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """The four figures of real [n, d] and generated [m, d] vectors, more than k of each."""
    real_reach, fake_reach = radii(real, k), radii(fake, k)
    held, covered, recalled = [], [], []
    for start in range(0, len(real), CHUNK):
        rows = slice(start, start + CHUNK)
        apart = torch.cdist(real[rows], fake)
        inside = apart < real_reach[rows, None]
        held.append(inside.sum(0))
        covered.append(inside.any(1))
        recalled.append((apart < fake_reach).any(1))
    balls = torch.stack(held).sum(0)
    return {
        "precision": float((balls > 0).double().mean()),
        "recall": float(torch.cat(recalled).double().mean()),
        "density": float(balls.double().mean() / k),
        "coverage": float(torch.cat(covered).double().mean()),
    }


def radii(points: Tensor, k: int) -> Tensor:
    """The distance [n] of each point [n, d] to its k-th nearest other."""
    found = []
    for start in range(0, len(points), CHUNK):
        apart = torch.cdist(points[start : start + CHUNK], points)
        apart.diagonal(start).fill_(torch.inf)  # itself
        found.append(apart.kthvalue(k, dim=1).values)
    return torch.cat(found)
