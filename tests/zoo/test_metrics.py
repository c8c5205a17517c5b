"""The built-in metrics against values that are known, or computed here in another way."""

import math

import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets import points as mixtures
from ganzoo_plugins.metrics import (
    features,
    floor,
    frechet,
    modes,
    neighbours,
    similarity,
    sliced,
    spectrum,
)

from ganzoo import create, load, train
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
    assert mean["covered"] == mean["covered_20"] == mean["floor_covered"] == 25
    for name in ("", "floor_"):
        assert mean[name + "quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.004)
        assert mean[name + "kl"] == pytest.approx(24 / 5000, abs=0.002)


def test_modes_by_hand():
    real = mixture(mixtures.RING_CENTRES, mixtures.RING_STD, 300)
    metric = create("metric", "modes", PLANE)
    centres = torch.tensor(mixtures.RING_CENTRES)
    one = metric.measure(real, centres[:1].repeat(2400, 1))
    assert (one["quality"], one["covered"], one["covered_20"]) == (1, 1, 1)
    assert one["kl"] == pytest.approx(math.log(8))
    every = metric.measure(real, centres)
    assert (every["quality"], every["covered"], every["covered_20"]) == (1, 8, 0)
    assert every["kl"] == pytest.approx(0, abs=1e-12)
    none = metric.measure(real, torch.zeros(100, 2))
    assert (none["quality"], none["covered"]) == (0, 0)
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


# What all have.

PICTURE = Spec((1, 16, 16))
TAKEN = [  # each with options, and what it takes
    ("swd", {}, PLANE),
    ("swd", {}, PICTURE),
    ("ms-ssim", {}, PICTURE),
    ("spectrum", {}, PICTURE),
    ("prdc", {}, PLANE),
    ("prdc", {"features": "random-conv"}, PICTURE),
    ("frechet", {}, PLANE),
    ("frechet", {}, PICTURE),
    ("frechet", {"features": "random-conv"}, PICTURE),
]


def pictures(count, seed, size=16, channels=1):
    """Smooth ones, so that noise adds high frequencies."""
    found = torch.nn.functional.avg_pool2d(drawn(count, channels, size + 4, size + 4, seed=seed), 5)
    found = torch.nn.functional.interpolate(found, (size, size), mode="bilinear")
    return (2 * found).clamp(-1, 1)


def samples_of(spec, count, seed):
    return pictures(count, seed) if spec.modality == "image" else drawn(count, 2, seed=seed)


def halves_turned(samples):
    """Each half in the opposite order."""
    return torch.cat([half.flip(0) for half in samples.chunk(2)])


@pytest.mark.parametrize(("name", "options", "spec"), TAKEN, ids=str)
def test_other_real_samples_are_at_the_floor_and_noise_is_above_it(name, options, spec):
    metric = create("metric", name, spec, count=400, **options)
    real, other = samples_of(spec, 400, 0), samples_of(spec, 400, 1)
    found = metric.measure(real, other)
    first = next(iter(found))
    worse = [
        metric.measure(real, other + noise * drawn(*other.shape, seed=2))[first]
        for noise in ((0, 0.1, 0.5) if spec == PICTURE else (0, 1, 3))
    ]
    assert worse == sorted(worse, reverse=first in metric.larger)
    if "floor_" + first in found:
        near = abs(found[first] - found["floor_" + first])
        assert near < 0.25 * abs(worse[-1] - found[first]), found
    assert set(metric.larger) <= found.keys()


@pytest.mark.parametrize(("name", "options", "spec"), TAKEN, ids=str)
def test_the_order_of_samples_does_not_matter(name, options, spec):
    """But for which half they are in, and, where pairs are compared, whose pair they are."""
    metric = create("metric", name, spec, count=60, **options)
    real, fake = samples_of(spec, 60, 0), samples_of(spec, 60, 1)
    turned = metric.measure(halves_turned(real), halves_turned(fake))
    assert turned == pytest.approx(metric.measure(real, fake), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "least"), [("swd", 2), ("ms-ssim", 2), ("spectrum", 2), ("prdc", 12), ("frechet", 4)]
)
def test_too_few_samples_are_refused_in_one_line(name, least):
    with pytest.raises(Incompatible, match=f"metric.{name}.count = {least - 1}: .* {least} sample"):
        create("metric", name, PICTURE, count=least - 1)
    metric, real = create("metric", name, PICTURE), pictures(least, 0)
    assert all(map(math.isfinite, metric.measure(real, pictures(least, 1)).values()))
    if name != "ms-ssim":
        with pytest.raises(Incompatible, match=rf"metric {name}: 1 different real.* {least} of"):
            metric.measure(real[:1].repeat(least, 1, 1, 1), real)


def test_real_samples_that_were_drawn_again_count_once():
    samples = drawn(6, 2)
    again = samples[torch.tensor([3, 1, 3, 0, 1, 3, 5])]
    assert torch.equal(floor.different(again), samples[torch.tensor([3, 1, 0, 5])])


# The sliced distance.


def test_sliced_distance_of_moved_and_scaled_sets():
    """A shift v moves each direction's values by its part of v: in the mean |v|² / d."""
    one, shift = drawn(500, 6).double().float(), torch.tensor([3.0, 0, 0, 4.0, 0, 0])
    many = sliced.sliced_distance(one, one + shift, projections=4000)
    assert many == pytest.approx(5 / math.sqrt(6), rel=0.03)
    normal = drawn(4000, 6)
    assert sliced.sliced_distance(normal, 3 * normal.flip(0)) == pytest.approx(2, rel=0.03)


def test_sliced_distance_is_that_of_sorted_projections():
    one, other = drawn(50, 3, seed=1), 2 * drawn(50, 3, seed=2)
    directions = torch.randn(3, 7, generator=torch.Generator().manual_seed(5)).numpy()
    squares = []
    for direction in directions.T:
        unit = direction / np.sqrt((direction**2).sum())
        first, second = (np.sort(x.numpy() @ unit) for x in (one, other))
        squares.append(((first - second) ** 2).mean())
    assert sliced.sliced_distance(one, other, 7, 5) == pytest.approx(math.sqrt(np.mean(squares)))
    metric = create("metric", "swd", PLANE, projections=3, seed=1)
    assert metric.measure(one[:, :2], one[:, :2])["distance"] == 0


# Structural similarity.


def similarity_by_hand(one, other, weights):
    """Wang et al. 2003 window by window, of one channel."""
    found = 1.0
    for scale, weight in enumerate(weights):
        size = min(11, *one.shape)
        at = np.arange(size) - (size - 1) / 2
        window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
        window /= window.sum()
        brightness, structure = [], []
        for y in range(one.shape[0] - size + 1):
            for x in range(one.shape[1] - size + 1):
                a, b = (p[y : y + size, x : x + size] for p in (one, other))
                ma, mb = (window * a).sum(), (window * b).sum()
                va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                both = (window * (a - ma) * (b - mb)).sum()
                brightness.append((2 * ma * mb + 0.02**2) / (ma**2 + mb**2 + 0.02**2))
                structure.append((2 * both + 0.06**2) / (va + vb + 0.06**2))
        value = np.array(structure)
        if scale == len(weights) - 1:
            value = value * brightness
        found *= max(value.mean(), 0) ** weight
        one, other = (
            p[: p.shape[0] // 2 * 2, : p.shape[1] // 2 * 2]
            .reshape(p.shape[0] // 2, 2, p.shape[1] // 2, 2)
            .mean((1, 3))
            for p in (one, other)
        )
    return found


@pytest.mark.parametrize(
    ("size", "weights"), [((8, 9), [1]), ((12, 16), [1]), ((25, 22), [0.0448, 0.2856])]
)
def test_similarity_is_that_of_windows(size, weights):
    base = drawn(1, 2, *size).clamp(-1, 1)
    near = (0.8 * base + 0.1 + 0.2 * drawn(1, 2, *size, seed=1)).clamp(-1, 1)
    by_hand = [
        similarity_by_hand(a, b, np.array(weights) / sum(weights))
        for a, b in zip(1 + base[0].double().numpy(), 1 + near[0].double().numpy(), strict=True)
    ]
    assert 0.1 < by_hand[0] < 0.99
    assert similarity.ms_ssim(base, near).item() == pytest.approx(np.mean(by_hand), rel=1e-9)


def test_similarity_of_copies_and_of_sizes():
    sizes = (8, 11, 21, 22, 43, 44, 88, 175, 176, 1024)
    assert [similarity.scales(s, 2000) for s in sizes] == [1, 1, 1, 2, 2, 3, 4, 4, 5, 5]
    assert sum(similarity.WEIGHTS) == pytest.approx(1, abs=1.1e-4)
    metric, real = create("metric", "ms-ssim", PICTURE), pictures(40, 0)
    found = metric.measure(real, real[:1].repeat(40, 1, 1, 1))
    assert found["generated"] == pytest.approx(1), "a collapsed generator"
    assert found["difference"] == pytest.approx(1 - found["real"])
    assert metric.measure(real, drawn(40, 1, 16, 16))["generated"] < found["real"]


# Spectrum.


def test_power_of_white_noise_and_of_a_wave():
    frequency, power = spectrum.radial_power(0.5 * drawn(400, 3, 16, 24))
    assert power.numpy() == pytest.approx(np.full(len(power), 0.25), rel=0.05)
    assert frequency[0] == pytest.approx(1 / 16) and frequency[-1] == pytest.approx(11 / 16)
    wave = torch.cos(math.tau * 5 / 32 * torch.arange(32)).expand(2, 1, 32, 32)
    frequency, power = spectrum.radial_power(wave)
    assert frequency[power.argmax()] == pytest.approx(5 / 32)
    rings = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32))) * 32
    inside = (np.rint(rings) == 5).sum()
    assert power.max().item() == pytest.approx(2 * 32**2 / 4 / inside, rel=1e-4)


def test_spectrum_of_louder_images_is_the_ratio_in_decibels():
    metric, real = create("metric", "spectrum", PICTURE), drawn(100, 1, 16, 16)
    found = metric.measure(real, 2 * real)
    assert found["distance"] == pytest.approx(20 * math.log10(2), rel=1e-5)
    assert found["excess"] == pytest.approx(20 * math.log10(2), rel=1e-5)
    flat = metric.measure(real, torch.zeros_like(real))
    assert flat["distance"] == pytest.approx(-10 * math.log10((2 / 255) ** 2 / 12), rel=0.02)


def test_excess_tells_checkerboards_from_blur():
    metric, real, other = create("metric", "spectrum", PICTURE), pictures(300, 0), pictures(300, 1)
    board = (torch.arange(16)[:, None] + torch.arange(16)).remainder(2) * 0.2 - 0.1
    board = board + torch.arange(16).remainder(2) * 0.2
    excess = metric.measure(real, other + board)["excess"]
    blurred = torch.nn.functional.avg_pool2d(other, 3, 1, 1)
    assert metric.measure(real, blurred)["excess"] < -3 < 1 < excess
    with pytest.raises(Incompatible, match="at least 4x4"):
        create("metric", "spectrum", Spec((3, 2, 8)))


# Precision, recall, density, coverage.


def prdc_by_hand(real, fake, k):
    """Kynkäänniemi et al. 2019 (eq. 1 and 2) and Naeem et al. 2020 (eq. 5 and 6), one by one."""

    def apart(a, b):
        return np.sqrt(((a - b) ** 2).sum())

    reach = [sorted(apart(a, b) for b in real)[k] for a in real]  # the nearest is itself
    other = [sorted(apart(a, b) for b in fake)[k] for a in fake]
    inside = np.array([[apart(a, b) < r for b in fake] for a, r in zip(real, reach, strict=True)])
    found = [[apart(a, b) < r for b, r in zip(fake, other, strict=True)] for a in real]
    return {
        "precision": inside.any(0).mean(),
        "recall": np.array(found).any(1).mean(),
        "density": inside.sum() / (k * len(fake)),
        "coverage": inside.any(1).mean(),
    }


@pytest.mark.parametrize("k", [1, 3])
def test_prdc_is_that_of_balls(k, monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", 16)
    real, fake = drawn(40, 3).double(), 0.3 + 0.7 * drawn(30, 3, seed=1).double()
    assert neighbours.prdc(real, fake, k) == pytest.approx(
        prdc_by_hand(real.numpy(), fake.numpy(), k)
    )


def test_prdc_of_copies_of_one_sample_and_of_what_is_far():
    metric, real = create("metric", "prdc", PLANE), drawn(200, 2)
    same = metric.measure(real, real)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    one = metric.measure(real, real[:1].repeat(200, 1))
    assert one["recall"] == 0 and one["coverage"] < 0.1 < one["density"]
    far = metric.measure(real, real + 100)
    assert [far[key] for key in metric.larger] == [0, 0, 0, 0]
    half = metric.measure(real, real.abs() * torch.tensor([1.0, 0.0]))
    assert half["recall"] < half["precision"]


def test_random_features_are_the_same_and_for_images_alone():
    images = pictures(3, 0, channels=2)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    found = features.features_of(images, "random-conv")
    assert found.shape == (3, 224) and found.dtype == torch.float64
    assert torch.equal(found, features.features_of(images, "random-conv"))
    assert torch.equal(before, torch.random.get_rng_state())
    assert features.features_of(torch.zeros(1, 3, 1, 1), "random-conv").abs().sum() == 0
    for name in ("prdc", "frechet"):
        with pytest.raises(Incompatible, match=f"metric.{name}.features = 'random-conv': .*images"):
            create("metric", name, PLANE, features="random-conv")


# The Frechet distance.


def test_frechet_distance_of_known_gaussians():
    one = drawn(20_000, 3).double()
    assert frechet.frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet.frechet_distance(one, one + 2) == pytest.approx(12)
    assert frechet.frechet_distance(one, 3 * one) == pytest.approx(
        float(4 * one.var(0).sum() + 4 * one.mean(0).square().sum())
    ), "(3 - 1)² for a variance of one"


@pytest.mark.parametrize("count", [6, 40], ids=["fewer than numbers", "more"])
def test_frechet_distance_is_that_of_the_product(count):
    one, other = (
        drawn(count, 8).double(),
        drawn(count + 3, 8, seed=1).double() @ drawn(8, 8).double(),
    )
    first, second = (np.cov(x.numpy().T) for x in (one, other))
    root = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    mean = ((one.mean(0) - other.mean(0)) ** 2).sum().item()
    wanted = mean + np.trace(first) + np.trace(second) - 2 * root
    assert frechet.frechet_distance(one, other) == pytest.approx(wanted, rel=1e-5)
    assert frechet.frechet_distance(other, one) == pytest.approx(wanted, rel=1e-5)


def test_frechet_distance_of_what_diverged_is_no_number():
    metric, real = create("metric", "frechet", PLANE), drawn(20, 2)
    assert math.isnan(metric.measure(real, real * math.inf)["distance"])


# In a training.


def test_a_training_is_scored_and_the_figures_are_kept(tmp_path):
    count = {"count": 200}
    tree = {
        "data": {"name": "ring"},
        "gen": {"name": "mlp", "width": 8},
        "disc": {"width": 8},
        "train": {"images": 128, "device": "cpu"},
        "metric": dict.fromkeys(("modes", "swd", "prdc", "frechet"), count),
    }
    train(tree, folder=tmp_path / "run")
    scores = load(tmp_path / "run").header.scores
    assert scores["modes.floor_covered"] == 8 and 0.95 < scores["modes.floor_quality"] <= 1
    assert scores["swd.distance"] > 2 * scores["swd.floor_distance"]
    assert scores["frechet.distance"] > 2 * scores["frechet.floor_distance"]
    assert scores["prdc.floor_precision"] > 0.7
