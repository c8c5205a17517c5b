"""Scores by a classifier of the data's own labels: what it computes, against values by hand; when
it is trained, and when it is refused.
"""

import json
import math

import numpy as np
import pytest
import torch
from ganzoo_plugins.metrics import classes, classifier, frechet, neighbours

from ganzoo import create
from ganzoo.contracts import Dataset, Spec
from ganzoo.errors import Incompatible
from ganzoo.measure import measuring

SHAPE = (1, 8, 8)
SPEC = Spec(SHAPE)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "classifiers"
    monkeypatch.setenv("GANZOO_CACHE", str(folder))
    return folder / "classifiers"


def bars(count, seed=0, noise=0.15, shape=SHAPE):
    """Pictures of a bar at one of four places, and which."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    levels = torch.full((count, *shape), -0.8)
    for label in range(4):
        levels[labels == label, :, 2 * label : 2 * label + 2] = 0.8
    levels += noise * torch.randn(levels.shape, generator=stream)
    return ((levels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8), labels


def data_of(count=400, seed=0, **more):
    return Dataset(*bars(count, seed, **more), classes=tuple("abcd"))


def silent(what):
    pass


@pytest.fixture(scope="module")
def data():
    return data_of()


def measured(metric, real, fake):
    return metric.measure(*(each.float() / 127.5 - 1 for each in (real, fake)))


# The classifier.


def test_it_is_trained_once_and_kept_by_data_and_recipe(data, tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    cache = tmp_path / "classifiers"
    monkeypatch.setattr(classifier, "SLOW", 0.0)
    said = []
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first = classifier.learned(data, said.append, "x")
    assert torch.equal(state, torch.random.get_rng_state()), "nobody's random numbers are used up"
    assert first.accuracy == 1.0 and first.tested == 40
    assert said[0] == "training a classifier on 360 samples: 0 %" and said[-1] == ""
    assert len([*cache.iterdir()]) == 1
    again = classifier.learned(data_of(), said.clear, "x")  # would fail if it said anything
    assert again.digest == first.digest and said[-1] == ""
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    assert classifier.learned(data, silent, "x").digest == first.digest, "damaged: made again"
    assert classifier.learned(data_of(seed=1), silent, "x").digest != first.digest
    monkeypatch.setattr(classifier, "RECIPE", ["another"])
    classifier.learned(data, silent, "x")
    assert len([*cache.iterdir()]) == 3
    renamed = Dataset(*bars(400), classes=("w", "x", "y", "z", "any"))
    assert classifier.learned(renamed, silent, "x").digest == first.digest
    assert len([*cache.iterdir()]) == 3, "names change nothing"


def test_its_protocol_says_which_net_and_a_low_accuracy():
    net = classifier.Classifier(1, 2)
    good, bad = (classifier.Learned(net, share, 500, "f" * 32) for share in (0.98, 0.6))
    assert good.protocol() == {"classifier": "f" * 16, "accuracy": "0.98 of 500"}
    assert bad.protocol()["accuracy"] == "0.6 of 500, low: its features say little"


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (4, 17, 12), (2, 4, 4), (3, 150, 70)])
def test_it_takes_images_of_any_size(shape):
    net = classifier.Classifier(shape[0], 5).eval()
    assert net.features(torch.zeros(2, *shape)).shape == (2, classifier.FEATURES)
    assert net(torch.zeros(2, *shape)).shape == (2, 5)


def test_labels_that_give_no_classifier_are_refused():
    with pytest.raises(Incompatible, match="9 samples of 4 classes are too few"):
        classifier.learned(data_of(9), silent, "x")
    one = Dataset(bars(50)[0], torch.zeros(50, dtype=torch.int64), ("a", "b"))
    with pytest.raises(Incompatible, match="50 samples of 1 classes are too few"):
        classifier.learned(one, silent, "x")
    stream = torch.Generator().manual_seed(0)
    chance = Dataset(bars(400)[0], torch.randint(4, (400,), generator=stream), tuple("abcd"))
    with pytest.raises(Incompatible, match=r"metric x: a classifier tells .* no more than chance"):
        classifier.learned(chance, silent, "x")


# Scores.


def test_the_score_is_that_of_the_formula():
    logits = 3 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).double()
    shares = np.exp(logits.numpy())
    shares /= shares.sum(1, keepdims=True)
    by_hand = np.exp((shares * np.log(shares / shares.mean(0))).sum(1).mean())
    assert classes.inception_score(logits) == pytest.approx(by_hand, rel=1e-9)
    sure = 1e3 * torch.eye(4).double().repeat(5, 1)
    assert classes.inception_score(sure) == pytest.approx(4), "as many as classes, at best"
    assert classes.inception_score(sure[:1].repeat(20, 1)) == pytest.approx(1), "one class alone"
    assert classes.inception_score(torch.zeros(7, 4).double()) == pytest.approx(1)


def test_figures_are_those_of_their_features(data):
    metric = create("metric", "classifier", SPEC, count=200, k=3)
    metric.learn(data, silent)
    real, fake = bars(200, 1)[0], bars(200, 2, noise=0.4)[0]
    found = measured(metric, real, fake)
    net = classifier.learned(data, silent, "x")
    one, other = (net.features(each.float() / 127.5 - 1) for each in (real, fake))
    halves = [(one[:100], other[:100]), (one[100:], other[100:])]
    distance = np.mean([frechet.frechet_distance(a, b) for a, b in halves])
    assert found["distance"] == pytest.approx(distance, rel=1e-6)
    near = [neighbours.prdc(a, b, 3) for a, b in halves]
    for name in ("precision", "recall"):
        assert found[name] == pytest.approx(np.mean([each[name] for each in near]))
    floor = frechet.frechet_distance(one[:100], one[100:])
    assert found["floor_distance"] == pytest.approx(floor, rel=1e-6)
    assert metric.protocol()["features"] == "classifier" and "accuracy" in metric.protocol()


@pytest.mark.parametrize(("name", "options"), [("classifier", {}), ("frechet", {}), ("prdc", {})])
def test_noise_makes_it_worse_and_order_changes_nothing(data, name, options):
    options = options if name == "classifier" else {"features": "classifier"}
    metric = create("metric", name, SPEC, count=120, **options)
    metric.learn(data, silent)
    real = bars(120, 1)[0]
    figure = {"prdc": "precision"}.get(name, "distance")
    worse = [measured(metric, real, bars(120, 2, noise=n)[0])[figure] for n in (0.15, 0.6, 1.5)]
    assert worse == sorted(worse, reverse=figure == "precision") and worse[0] != worse[-1]
    turned = [torch.cat([half.flip(0) for half in bars(120, seed)[0].chunk(2)]) for seed in (1, 2)]
    found = measured(metric, real, bars(120, 2)[0])
    assert measured(metric, *turned) == pytest.approx(found, rel=1e-4, abs=1e-6)


def test_a_metric_that_learns_is_asked_through_the_protocol(data):
    metric = create("metric", "frechet", SPEC, count=100, features="classifier")
    own = measuring.Asked("frechet", metric, {"features": "classifier"})
    real = measuring.Real(data, 100)
    fake = bars(100, 5)[0]
    found = [
        own.ask(real, lambda count, seed, b=block: iter(fake.split(b)), 100, [0])[0]["distance"]
        for block in (100, 33)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-4) and math.isfinite(found[0])
    protocol = own.protocol(data="bars")
    assert protocol["features"] == "classifier" and protocol["accuracy"] == "1 of 40"


def test_data_without_labels_or_of_one_class_are_refused_in_one_line(tmp_path, cli):
    metric = create("metric", "prdc", SPEC, count=100, features="classifier")
    for data, said in (
        (Dataset(bars(100)[0]), "the data are without labels"),
        (Dataset(*bars(100)[:1], torch.zeros(100).long(), ("a",)), "the data are of one class"),
    ):
        own = measuring.Asked("prdc", metric, {})
        with pytest.raises(Incompatible, match=f"^metric.prdc: takes labels of two .*{said}; have"):
            own.ask(measuring.Real(data, 100), lambda *_: iter([bars(9)[0]]), 9, [0])
    done = cli("train", "--data", "ring", "--gen", "mlp", "--metric", "classifier", "--dry-run")
    assert done.code == 2 and "handles image data" in done.err.splitlines()[-1]
    done = cli(
        *("train", "--data", "ring", "--gen", "mlp", "--metric", "frechet", "--dry-run"),
        *("--set", "metric.frechet.features=classifier"),
    )
    assert done.code == 2 and "take values" in done.err.splitlines()[-1]


def test_a_training_and_an_evaluation_have_one_figure(tmp_path, cli):
    few = ("--set", "metric.classifier.count=64")
    done = cli(
        *("train", "--gen", "dcgan", "--loss", "nonsat", "--images", "32", "--batch-size", "16"),
        *("--resolution", "8", "--set", "gen.width=4", "--set", "disc.width=4", *few),
        *("--metric", "classifier", "--out", tmp_path),
    )
    assert done.code == 0, done.err
    assert "training a classifier on 9,000 samples: 0 %" in done.err, "nobody waits unsaid"
    (run,) = tmp_path.iterdir()
    first = json.loads((run / "scores.jsonl").read_text())
    done = cli("evaluate", run, "--json")
    (again,) = json.loads(done.out)
    assert again["figures"]["distance"]["value"] == first["figures"]["distance"]["value"]
    assert again["protocol"]["classifier"] == first["protocol"]["classifier"]
    assert "of 1,000" in again["protocol"]["accuracy"]
