"""What benchmarks.digits and benchmarks.ring measure, on samples whose figures are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from ganzoo_plugins.datasets.points import grid as grid_points
from ganzoo_plugins.datasets.points import ring as ring_points

from benchmarks import digits, quality, ring


def test_real_points_score_as_a_perfect_sampler() -> None:
    found = ring.scores(ring_points().samples[: ring.SAMPLES])
    assert found["near"] == pytest.approx(1 - math.exp(-4.5), abs=0.01) and found["modes"] == 8
    assert found["kl"] < 0.01
    one = ring.scores(torch.tensor([[1.0, 0.0]]).repeat(ring.SAMPLES, 1))
    assert (one["near"], one["modes"]) == (1.0, 1) and one["kl"] == pytest.approx(math.log(8))
    assert ring.scores(torch.zeros(ring.SAMPLES, 2))["near"] == 0


def test_the_grid_is_judged_by_its_own_centres() -> None:
    found = ring.scores(grid_points().samples[: ring.SAMPLES], "grid")
    floor = ring.perfect("grid")
    assert found["near"] == pytest.approx(floor["near"], abs=0.01)
    assert found["modes"] == floor["modes"] == 25 and found["kl"] < 3 * floor["kl"]


def test_shares_of_what_the_classifier_says() -> None:
    torch.manual_seed(0)
    net = digits.Classifier()
    pictures = torch.rand(64, 1, 28, 28) * 2 - 1
    _, features = net.judge(pictures)
    found = digits.scores(net, pictures, features)
    assert found["recognised"] == 0, "an untrained net is sure of nothing"
    assert found["distance"] == pytest.approx(0, abs=1e-6) and 0 <= found["entropy"] <= 1


def test_a_benchmark_trains_what_the_flags_say(tmp_path: Path) -> None:
    flags = ["--gen", "mlp", "--data", "ring", "--images", "512", "--set", "gen.width=8"]
    pipeline = quality.assembled(flags, 3)
    assert (pipeline.config.train.seed, pipeline.config.gen.options["width"]) == (3, 8)
    row = quality.trained(flags, 3, lambda net, built: ring.scores(quality.drawn(net, built, 100)))
    assert row["images"] == 512 and row["seconds"] > 0 and 0 <= row["near"] <= 1
    found = [
        {
            "machine": {"device": "a", "cores": 2, "torch": "t", "date": "d"},
            "command": "ganzoo train",
            "floors": {"perfect": {"near": 0.5}},
            "seeds": [row, row | {"near": 1.0}],
        }
    ]
    text = quality.markdown(json.loads(json.dumps(found)), {"near": "{:.0%}"}, ["near"])
    assert "| `ganzoo train` |" in text and "to 100%" in text and "| perfect | 50% | - |" in text
