"""How many of the data's separate groups a generator
covers, how well, and which groups real samples form.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ganzoo.contracts import Metric, PositiveFloat, PositiveInt, Spec
from ganzoo.errors import Incompatible

FEWEST = 5  # real samples of a mode: its deviation is counted from them
APART = 3.0  # links between modes over the longest one within modes, at least
COMMON = 20  # samples that the stricter rule asks for


class Modes(Metric):
    """Modes of the data that generated points cover, how exactly and how evenly, as VEEGAN and
    PacGAN count them (Srivastava et al. 2017; Lin et al. 2018).

    A sample is of high quality within some standard deviations of its nearest centre. Centres and
    deviations are those of the groups that the real samples form by single linkage: two
    modes are at least 3 times as far apart as neighbours within modes are. Data without such modes
    are refused, and so are modes of fewer than 5 real samples. The deviation of
    a mode is that of one axis, equal in all directions. 3 deviations hold 98.89 % of a Gaussian in
    the plane: a larger share than the floor's means modes that are too narrow.

    Figures, each with `floor_` before it for the real samples, which centres and shares come from:
    kl: divergence in nats of the shares of high-quality samples by mode from the modes' own, from
        0, smaller is better; log(1 / the smallest share), its largest value, if there are none
    quality: share of samples of high quality, 0 to 1, larger is better
    covered: modes with at least one high-quality sample, larger is better
    covered_20: modes with at least 20, larger is better

    count: samples to draw for it; the papers' is 2500
    deviations: how near to a centre high quality is, strictly less
    shares: what the modes' shares are compared to: equal ones, as in the papers, or the real ones
    """

    modalities = ("points",)
    larger = ("quality", "covered", "covered_20")

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 2500,
        deviations: PositiveFloat = 3.0,
        shares: Literal["equal", "real"] = "equal",
    ) -> None:
        super().__init__(spec, count=count)
        if count < 2 * FEWEST:
            raise Incompatible(
                f"two modes take at least {2 * FEWEST} samples",
                section="metric.modes",
                key="count",
                value=count,
            )
        self.deviations, self.shares = deviations, shares

    def measure(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Figures of points [n, d] by the modes of real ones [m, d]."""
        points = real.double()
        groups = separate(points)
        counts = torch.bincount(groups).double()
        centres = torch.zeros(len(counts), points.shape[1], dtype=torch.float64)
        centres = centres.index_add(0, groups, points) / counts[:, None]
        away = (points - centres[groups]).square().mean(1)
        spread = torch.zeros_like(counts).index_add(0, groups, away) / (counts - 1)
        if not spread.min() > 0:
            raise Incompatible("metric modes: the samples of a mode are all equal, so none is near")
        expected = counts / counts.sum() if self.shares == "real" else None
        return {
            name + key: value
            for name, samples in (("", fake), ("floor_", real))
            for key, value in coverage(
                samples, centres, spread.sqrt(), self.deviations, expected
            ).items()
        }


def coverage(
    points: Tensor,
    centres: Tensor,
    deviation: Tensor | float,
    within: float = 3.0,
    expected: Tensor | None = None,
) -> dict[str, float]:
    """Figures of points [n, d] by known centres [k, d].

    deviation: of one axis, of each mode [k] or all; within: deviations that high quality reaches;
    expected: the modes' shares [k], equal ones by default.
    """
    distance, mode = (torch.cdist(points.double(), centres.double()) / deviation).min(1)
    near = distance < within
    counts = torch.bincount(mode[near], minlength=len(centres)).double()
    if expected is None:
        expected = torch.full_like(counts, 1 / len(counts))
    shares = counts / counts.sum().clamp(min=1)
    kl = torch.special.xlogy(shares, shares / expected).sum()
    return {
        "kl": float(kl if near.any() else -expected.min().log()),
        "quality": float(near.double().mean()),
        "covered": float((counts > 0).sum()),
        "covered_20": float((counts >= COMMON).sum()),
    }


def separate(points: Tensor) -> Tensor:
    """The group of each point [n, d], counted from 0, by single linkage.

    It is cut at the first wide gap between the lengths of the links, which leaves the most groups.
    Raises Incompatible where no gap is wide, or a group has fewer than FEWEST points.
    """
    if len(points) < 2 * FEWEST:
        raise Incompatible(
            f"metric modes: {len(points)} real samples are too few; two modes take {2 * FEWEST}"
        )
    order, steps = _visit(points)
    links = steps.sort().values
    tiny = torch.finfo(links.dtype).eps * links[-1].clamp(min=1e-300)
    wider = links[1:] / links[:-1].clamp(min=tiny)
    # Cutting all links from the one behind `first` on leaves no more groups than FEWEST allows.
    first = max(len(points) - len(points) // FEWEST - 1, 0)
    wide = wider[first:] >= APART
    cut = int(wide.int().argmax()) + first
    groups = torch.zeros(len(points), dtype=torch.int64)
    # What is reached over a long link begins a new group: a visit leaves none before it is whole.
    groups[order[1:]] = (steps > links[cut]).cumsum(0)
    smallest = int(torch.bincount(groups).min())
    if not wide.any() or smallest < FEWEST:
        raise Incompatible(
            f"metric modes: {len(points):,} real samples show no separate modes of at least "
            f"{FEWEST} samples each; it takes points in groups that are far apart, as ring and "
            "grid are, or more samples"
        )
    return groups


def _visit(points: Tensor) -> tuple[Tensor, Tensor]:
    """Prim's minimal spanning tree of points [n, d]: their indices [n] in the order of joining it,
    and the lengths [n - 1] of the links by which they do.

    The distances to one point are computed at a time: all at once take n² numbers.
    """
    reach = torch.full((len(points),), torch.inf, dtype=points.dtype)
    joined = torch.zeros_like(reach)  # infinite once a point has joined
    order, steps = [0], []
    for _ in range(len(points) - 1):
        joined[order[-1]] = torch.inf
        reach = torch.minimum(reach, (points - points[order[-1]]).square().sum(1))
        step, at = (reach + joined).min(0)
        order.append(int(at))
        steps.append(step)
    return torch.tensor(order), torch.stack(steps).sqrt()
