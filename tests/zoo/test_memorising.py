"""Copies of the training's samples: each figure against another way to it, what is found and what
is not.
"""

import numpy as np
import pytest
import scipy.stats
import torch
from ganzoo_plugins.metrics import memorising

from ganzoo import create
from ganzoo.contracts import Dataset, Spec
from ganzoo.errors import Incompatible

PLANE = Spec((16,))
PICTURE = Spec((1, 8, 8))
SILENT = {"say": lambda what: None}


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def compared(metric, *sides):
    return metric.compare(*map(metric.features, sides))


def found_of(fake, trained, held, spec=PLANE, **options):
    metric = create("metric", "memorised", spec, permutations=199, **options)
    metric.learn(Dataset(trained), **SILENT)
    sides = (fake, held) if spec == PLANE else (fake.clamp(-1, 1), held.clamp(-1, 1))
    return compared(metric, trained[:50], *sides)


def planted(share, count=300, noise=0.0):
    """Samples of which a share are copies of training samples."""
    trained, held, fake = drawn(900, 16), drawn(300, 16, seed=1), drawn(count, 16, seed=2)
    copies = round(share * count)
    fake[:copies] = trained[-copies or len(trained) :] + noise * drawn(copies, 16, seed=3)
    return fake, trained, held


# By hand.


def test_the_share_is_that_of_neighbours_one_by_one():
    fake, trained, held = drawn(40, 2).double(), drawn(60, 2, seed=1), drawn(30, 2, seed=2)
    share, chance, p = memorising.copied(trained.double(), held.double(), fake, 0.5, 99)
    apart = [
        [np.sqrt(((f - other.numpy()) ** 2).sum(1)).min() for other in (trained, held)]
        for f in fake.numpy()
    ]
    assert share == pytest.approx(np.mean([ours < 0.5 * theirs for ours, theirs in apart]))
    assert 0 < chance < 1 and p == pytest.approx(round(p * 100) / 100)


def test_c_t_is_the_test_of_mann_and_whitney():
    one, other = drawn(50), 0.3 + drawn(70, seed=1)
    found = scipy.stats.mannwhitneyu(one, other, method="asymptotic", use_continuity=False)
    z = memorising.c_t(one, other)
    assert 2 * scipy.stats.norm.sf(abs(z)) == pytest.approx(found.pvalue, rel=1e-6)
    assert z < 0 and memorising.c_t(other, one) == pytest.approx(-z)
    assert memorising.c_t(torch.ones(5), torch.ones(9)) == 0, "equal ones count half"


def test_authenticity_by_hand():
    trained = torch.tensor([[0.0], [1.0], [5.0]])
    fake = torch.tensor([[0.1], [1.4], [2.5], [7.0], [9.5]])
    distances, nearest = memorising._nearest(fake, trained)
    assert nearest.tolist() == [0, 1, 1, 2, 2]
    # reach of 0, 1 and 5: 1, 1 and 4; the distances: 0.1, 0.4, 1.5, 2, 4.5
    assert memorising.authenticity(distances, nearest, trained) == pytest.approx(2 / 5)


# What is found.


def test_by_chance_the_verdict_is_as_rare_as_it_says():
    """p is spread evenly where nothing is copied: of 60, about 6 are below a tenth."""
    below = 0
    for seed in range(60):
        pool, fake = drawn(120, 4, seed=seed), drawn(60, 4, seed=1000 + seed)
        below += memorising.copied(pool[:80], pool[80:], fake, 0.7, 99)[2] <= 0.1
    assert 1 <= below <= 13, "within three deviations"


def test_copies_are_found_the_more_the_surer():
    shares = []
    for share in (0.0, 0.1, 0.5):
        found = found_of(*planted(share))
        shares.append(found["share"])
        assert found["memorised"] == (share > 0)
        assert found["share"] == pytest.approx(share, abs=0.02)
        assert found["authenticity"] == pytest.approx(
            (1 - share) * found["floor_authenticity"], abs=0.06
        )
    assert shares == sorted(shares)
    assert found_of(*planted(0.5))["ct"] < -3 and abs(found_of(*planted(0.0))["ct"]) < 3
    assert found_of(*planted(0.1, noise=0.1))["memorised"] == 1, "with a little noise, too"


def test_copies_that_are_far_from_what_was_copied_are_not_found():
    """What docs are frank about: noise as large as the data's own spread hides them."""
    assert found_of(*planted(0.1, noise=1.0))["memorised"] == 0


def test_order_changes_nothing():
    fake, trained, held = planted(0.1)
    found = found_of(fake, trained, held)
    again = found_of(fake.flip(0), trained, held.roll(5, 0))
    for key in ("share", "ct", "authenticity", "floor_authenticity"):
        assert again[key] == pytest.approx(found[key], abs=1e-6)
    assert again["memorised"] == found["memorised"] == 1


@pytest.mark.parametrize("features", ["random-conv", "values"])
def test_images_are_compared_in_pixels_and_in_features(features):
    real = drawn(200, 1, 8, 8)
    stored = ((real.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    metric = create("metric", "memorised", PICTURE, permutations=199, features=features)
    metric.learn(Dataset(stored[:140]), **SILENT)
    trained = stored[:140].float() / 127.5 - 1
    fake = torch.cat([trained[:40], drawn(40, 1, 8, 8, seed=4).clamp(-1, 1)])
    found = compared(metric, trained, fake, stored[140:].float() / 127.5 - 1)
    assert found["memorised"] == 1 and found["p"] < 0.01
    assert ("features_p" in found) == (features == "random-conv")
    if features == "random-conv":
        assert found["features_p"] < 0.01 and {"floor_features_share"} <= found.keys()
    assert {key.removeprefix("floor_") for key in found} <= {
        *("share", "p", "ct", "authenticity", "memorised"),
        *(f"features_{key}" for key in memorising.NAMES),
    }


def test_too_few_samples_and_no_held_out_ones_are_refused(cli):
    fake, trained, held = planted(0.0)
    with pytest.raises(Incompatible, match="metric memorised: takes 20 training, generated and"):
        found_of(fake[:19], trained, held)
    with pytest.raises(Incompatible, match=r"metric.memorised.count = 19"):
        create("metric", "memorised", PLANE, count=19)
    with pytest.raises(Incompatible, match=r"metric.memorised.near = 1.5: .* at most 1"):
        create("metric", "memorised", PLANE, near=1.5)
    few = ("--gen", "dcgan", "--loss", "nonsat", "--resolution", "8", "--dry-run")
    done = cli("train", *few, "--metric", "memorised")
    assert done.code == 2 and "--set data.holdout=0.1" in done.err.splitlines()[-1]
    assert np.isnan(found_of(fake * np.inf, trained, held)["share"])
