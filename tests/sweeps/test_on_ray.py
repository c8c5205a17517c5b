"""Trials by Ray, on this machine; skipped where Ray is not installed."""

import importlib

import pytest
from test_sweep import SMALL, states

import ganzoo
from ganzoo.errors import GanzooError
from ganzoo.sweeps.on_ray import OnRay


@pytest.fixture(scope="module")
def ray():
    package = pytest.importorskip("ray")
    package.init(num_cpus=1, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    yield package
    package.shutdown()


@pytest.mark.slow
def test_ray_trains_the_trials_of_a_sweep(ray, tmp_path):
    """One after another by one actor; a second sweep stops its trial, and goes on with it."""
    found = ganzoo.sweep(SMALL, {"gen.width": [8, 12]}, tmp_path / "s", executor=OnRay(1))
    assert [r.status for r in found.results] == ["finished", "finished"]
    assert all(r.score is not None and r.images == 320 for r in found.results)
    assert states(tmp_path / "s") == {0: "finished", 1: "finished"}
    executor = OnRay(1)
    plan_folder = tmp_path / "t"
    stops = iter([False, False, False, True])

    from ganzoo.sweeps import plan as planning
    from ganzoo.sweeps import running

    plan = planning.read(tmp_path / "s")
    longer = planning.configuration.merge(plan.base, {"train": {"images": 10_000_000}})
    running.begin(plan_folder, planning.Plan(longer, plan.tries))
    found = running.run(plan_folder, executor=executor, stop=lambda: next(stops, True))
    assert found.stopped and found.results == []


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(GanzooError, match=r"not installed; pip install 'ganzoo\[ray\]'"):
        OnRay(1)
