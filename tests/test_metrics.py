"""The built-in metrics against values that are known, or computed here in another way."""

import math

import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets import points as mixtures
from ganzoo_plugins.metrics import modes

from ganzoo import create
from ganzoo.contracts import Spec
from ganzoo.errors import Incompatible

PLANE = Spec((2,))


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mixture(centres, deviation, each, seed=0):
    """As many points of each Gaussian, in an order by chance."""
    centres = torch.tensor(centres)
    points = centres.repeat(each, 1) + deviation * drawn(each * len(centres), 2, seed=seed)
    return points[drawn(len(points), seed=seed).argsort()]


# Modes.


@pytest.mark.parametrize(
    ("centres", "deviation"),
    [
        (mixtures.RING_CENTRES, mixtures.RING_STD),
        (mixtures.GRID_CENTRES, mixtures.GRID_STD),
        ([(0.0, 0.0), (1.0, 0.0), (0.0, 300.0)], 0.05),
    ],
    ids=["ring", "grid", "uneven"],
)
def test_modes_are_those_of_the_mixture(centres, deviation):
    real = mixture(centres, deviation, 100)
    groups = modes.separate(real.double())
    assert int(groups.max()) + 1 == len(centres)
    found = torch.stack([real[groups == k].mean(0) for k in range(len(centres))])
    nearest = torch.cdist(found, torch.tensor(centres)).min(1)
    assert nearest.values.max() < deviation / 2
    assert nearest.indices.sort().values.tolist() == list(range(len(centres)))


def test_a_perfect_sampler_is_at_the_floor():
    """3 deviations hold 1 - exp(-4.5) in the plane; KL is near (modes - 1) / (2 samples)."""
    metric, found = create("metric", "modes", PLANE), []
    data = create("dataset", "grid").samples
    for k in range(4):
        real, fake = data[10_000 * k :][:2500], data[10_000 * k + 5000 :][:2500]
        found.append(metric.measure(real, fake))
    mean = {key: np.mean([each[key] for each in found]) for key in found[0]}
    assert mean["modes"] == mean["modes_20"] == mean["floor_modes"] == 25
    for name in ("", "floor_"):
        assert mean[name + "quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.004)
        assert mean[name + "kl"] == pytest.approx(24 / 5000, abs=0.002)


def test_modes_by_hand():
    real = mixture(mixtures.RING_CENTRES, mixtures.RING_STD, 300)
    metric = create("metric", "modes", PLANE)
    centres = torch.tensor(mixtures.RING_CENTRES)
    one = metric.measure(real, centres[:1].repeat(2400, 1))
    assert (one["quality"], one["modes"], one["modes_20"]) == (1, 1, 1)
    assert one["kl"] == pytest.approx(math.log(8))
    every = metric.measure(real, centres)
    assert (every["quality"], every["modes"], every["modes_20"]) == (1, 8, 0)
    assert every["kl"] == pytest.approx(0, abs=1e-12)
    none = metric.measure(real, torch.zeros(100, 2))
    assert (none["quality"], none["modes"]) == (0, 0)
    assert none["kl"] == pytest.approx(math.log(8)), "the worst, and not the best"
    far = centres + torch.tensor([0.04, 0.0])  # four deviations
    assert metric.measure(real, far)["quality"] == 0
    assert create("metric", "modes", PLANE, deviations=5.0).measure(real, far)["quality"] == 1


def test_shares_of_modes_are_compared_to_equal_or_to_real_ones():
    centres, shares = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), [1500, 500]
    sets = [
        centres.repeat_interleave(torch.tensor(shares), 0) + 0.01 * drawn(2000, 2, seed=seed)
        for seed in (0, 1)
    ]
    p = np.array([0.75, 0.25])
    equal = create("metric", "modes", PLANE).measure(*sets)
    assert equal["kl"] == pytest.approx((p * np.log(2 * p)).sum(), rel=0.02)
    assert equal["floor_kl"] == pytest.approx(equal["kl"], rel=0.02)
    real = create("metric", "modes", PLANE, shares="real")
    assert real.measure(*sets)["kl"] < 1e-4
    none = real.measure(sets[0], sets[1] + 9)
    assert none["kl"] == pytest.approx(math.log(4)), "all in the rarest"


def test_modes_do_not_depend_on_the_order_and_fall_with_noise():
    real, fake = (mixture(mixtures.RING_CENTRES, mixtures.RING_STD, 125, seed=s) for s in (0, 1))
    metric = create("metric", "modes", PLANE)
    found = metric.measure(real, fake)
    assert metric.measure(real.flip(0), fake.roll(7, 0)) == pytest.approx(found, abs=1e-9)
    scores = [
        metric.measure(real, fake + noise * drawn(*fake.shape, seed=2))["quality"]
        for noise in (0, 0.01, 0.02, 0.04)
    ]
    assert scores == sorted(scores, reverse=True) and scores[-1] < 0.5 < scores[0]


@pytest.mark.parametrize("heavy", [1, 3])
def test_points_without_modes_are_refused_in_one_line(heavy):
    metric = create("metric", "modes", PLANE)
    for seed in range(5):
        points = drawn(800, 2, seed=seed) ** heavy
        with pytest.raises(Incompatible, match="no separate modes") as caught:
            metric.measure(points, points)
        assert "\n" not in str(caught.value)
    few = mixture(mixtures.GRID_CENTRES, mixtures.GRID_STD, 3)
    with pytest.raises(Incompatible, match="no separate modes"):
        metric.measure(few, few)
    with pytest.raises(Incompatible, match="4 real samples are too few"):
        metric.measure(few[:4], few[:4])
    copies = torch.tensor(mixtures.RING_CENTRES).repeat(20, 1)
    with pytest.raises(Incompatible, match="all equal"):
        metric.measure(copies, copies)
    with pytest.raises(Incompatible, match=r"metric.modes.count = 9"):
        create("metric", "modes", PLANE, count=9)
