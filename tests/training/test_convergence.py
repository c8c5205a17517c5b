"""Short trainings end where they ended when it was last measured.

`python -m benchmarks.convergence` measures: the values of five seeds, with machine and date, are
in convergence.json, and the seed trained here is a sixth. A change that moves a score on purpose
measures again, and says so.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import convergence

MEASURED = json.loads((Path(__file__).parent / "convergence.json").read_text("utf-8"))
BROKEN = [("ring", "hasty"), ("grid", "turned"), ("digits", "turned")]


def outside(case: str, found: dict[str, float]) -> list[str]:
    """The scores that are not where they should be, with the band."""
    bands = {key: convergence.band(MEASURED[case]["scores"][key]) for key in found}
    return [
        f"{key} {value:.4f}, expected {bands[key][0]:.4f} to {bands[key][1]:.4f}"
        for key, value in found.items()
        if not bands[key][0] <= value <= bands[key][1]
    ]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_band_is_that_of_a_sixth_value() -> None:
    """A prediction interval of 99 %: of many sixths, one in a hundred is outside."""
    stream = torch.Generator().manual_seed(0)
    draws = torch.randn(4000, 6, generator=stream, dtype=torch.float64).tolist()
    bands = [convergence.band(five) for *five, _ in draws]
    misses = [not low <= six <= high for (low, high), (*_, six) in zip(bands, draws, strict=True)]
    assert statistics.mean(misses) == pytest.approx(0.01, abs=0.005)
    assert convergence.band([25] * 5) == (22.5, 27.5) and convergence.band([0.5] * 5) == (0.5, 0.5)


def test_the_sliced_distance_of_sets_whose_distance_is_known() -> None:
    stream = torch.Generator().manual_seed(0)
    one = torch.randn(1000, 3, generator=stream)
    assert convergence.sliced_distance(one, one.flip(0)) == 0
    moved = convergence.sliced_distance(one, one + torch.tensor([3.0, 0, 0]))
    assert moved == pytest.approx(3 / 3**0.5, rel=0.05), "a third of the square in each direction"


def test_real_data_score_as_perfect() -> None:
    data = convergence.create("dataset", "digits")
    some, _ = data.batch(torch.linspace(0, len(data) - 1, convergence.SAMPLES).long())
    found = convergence.digit_scores(some)
    assert found["sliced"] == 0 and 0 <= found["frechet"] < 0.02 * 330, "all black is at 330"
    points = convergence.create("dataset", "grid").samples[: convergence.SAMPLES]
    found = convergence.grid_scores(points)
    assert found["modes"] == 25 and found["sliced"] == 0 and 0 < found["uneven"] < 0.06
    found = convergence.grid_scores(points[:1].expand(convergence.SAMPLES, 2))
    assert found["modes"] == 1 and found["uneven"] == pytest.approx(0.96)
    points = convergence.create("dataset", "ring").samples[: convergence.SAMPLES]
    found = convergence.ring_scores(points)
    assert found["modes"] == 8 and found["sliced"] == 0 and 0.98 < found["near"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("case", convergence.CASES)
def test_a_training_ends_where_it_did(case: str) -> None:
    assert not outside(case, convergence.trained(case, len(convergence.SEEDS)))


@pytest.mark.slow
@pytest.mark.parametrize(("case", "how"), BROKEN)
def test_a_spoiled_training_ends_elsewhere(case: str, how: str) -> None:
    found = convergence.trained(case, len(convergence.SEEDS), convergence.BROKEN[how])
    assert outside(case, found)
