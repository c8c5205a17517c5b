"""Successive halving: what optuna decides, on runs that are told beforehand and cost nothing."""

import importlib
import json

import pytest
from run_folders import made, score

from ganzoo import config as configuration
from ganzoo.errors import GanzooError, UsageError
from ganzoo.sweeps import halving, running
from ganzoo.sweeps import plan as planning
from ganzoo.sweeps import results as recording
from ganzoo.sweeps.executors import Executor
from ganzoo.sweeps.halving import Halving
from ganzoo.sweeps.spaces import Choice
from ganzoo.sweeps.trial import Outcome

IMAGES = 1800  # rungs of halving by three: 200, 600
EARLY = [5.0, 9.0, 2.0, 8.0, 7.0, 1.0, 6.0, 3.0, 4.0]  # what the trials score at the first rung
LATE = [5.0, 9.0, 2.0, 8.0, 7.0, 3.0, 6.0, 3.0, 4.0]  # and later: one gets no better


def plan():
    base = configuration.check(
        configuration.merge(
            configuration.defaults(), {"train": {"images": IMAGES}, "metric": {"swd": {}}}
        )
    ).tree()
    tries = {"gen.width": Choice(tuple(range(1, 10)))}
    return planning.Plan(base, tries, halving=3)


class Told(Executor):
    """Runs that come a rung further each time they are asked for, as if they were trained."""

    def __init__(self, root):
        self.root, self.at, self.asked, self.done = root, {}, [], []

    @property
    def free(self):
        return 0 if self.at else 1

    def start(self, task):
        self.asked.append(task.number)
        self.at[task.number] = 0
        assert task.config["measure"] == configuration.defaults()["measure"] | {
            "images": 200, "share": 1.0,
        }  # fmt: skip

    def ended(self):
        for number in [*self.at]:
            self.at[number] += 200
            images = self.at[number]
            lines = [{"images": images, "spread": 1.0, "variety": 1.0, "health": "balanced"}]
            found = [
                score("swd", images=n, distance=[(EARLY if n < 600 else LATE)[number]])
                for n in range(200, images + 1, 200)
            ]
            folder = self.root / "trials" / f"{number:03d}"
            if folder.exists():
                (folder / "log.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
                (folder / "scores.jsonl").write_text("".join(json.dumps(x) + "\n" for x in found))
            else:
                made(self.root / "trials", folder.name, lines, found, train={"images": IMAGES})
            if images >= IMAGES:
                self.done.append(Outcome(number, "finished"))
                del self.at[number]
        found, self.done = self.done, []
        return found

    def stop(self, number):
        self.done.append(Outcome(number, "stopped"))
        del self.at[number]

    def close(self):
        pass


@pytest.fixture
def optuna(monkeypatch):
    monkeypatch.setattr(running, "POLL", 0.0)
    return pytest.importorskip("optuna")


def by_hand():
    """ASHA, one trial after another: at a rung go on those that are among the best third (the best
    one of fewer) of all that have come there (Li et al. 2020, algorithm 2).
    """
    rungs, ends = {200: [], 600: []}, []
    for values in zip(EARLY, LATE, strict=True):
        end = IMAGES
        for (rung, known), value in zip(rungs.items(), values, strict=True):
            known.append(value)
            best = sorted(known)[: max(len(known) // 3, 1)]
            if value not in best:
                end = rung
                break
        ends.append(end)
    return ends


def test_trials_end_where_the_algorithm_says(tmp_path, optuna):
    folder = tmp_path / "sweep"
    running.begin(folder, plan())
    found = running.run(folder, executor=Told(folder))
    assert [r.images for r in found.results] == by_hand()
    assert {r.images for r in found.results} == {200, 600, IMAGES}, "all ways to end are there"
    for result in found.results:
        assert result.status == ("finished" if result.images == IMAGES else "pruned")
        assert (result.score is None) == (result.status == "pruned"), (
            "at fewer images: not the same"
        )
        assert result.survived and len(result.measures) == result.images // 200
    assert found.report["statuses"]["pruned"] == sum(r.status == "pruned" for r in found.results)
    assert found.report["best_of"] == [] and found.report["factors"] == [], "nobody knows"
    assert "| gen.width=2 | 1 of 1 | pruned |" in (folder / "report.md").read_text()
    best = found.report["settings"][0]
    assert best["values"] == {"gen.width": 3} and best["score"]["mean"] == 2.0


def test_what_was_weighed_before_counts_when_the_sweep_goes_on(tmp_path, optuna):
    folder = tmp_path / "sweep"
    running.begin(folder, plan())
    heard = []
    first = Told(folder)
    running.run(folder, executor=first, stop=lambda: len(heard) >= 5,
                told=lambda result, plan: heard.append(result))  # fmt: skip
    assert 5 <= len(recording.read(folder)) < 9
    second = Told(folder)
    found = running.run(folder, executor=second)
    assert set(second.asked) | {r.trial for r in heard} == set(range(9))
    assert not {r.trial for r in heard} & set(second.asked)
    ends = {r.trial: r.images for r in found.results}
    assert [ends[i] for i in range(9)] == by_hand()


def test_larger_scores_and_dead_trials(optuna):
    weigher = Halving(2, 100, larger=True)
    assert not weigher.weigh(0, 100, 0.5), "the first to come goes on"
    assert weigher.weigh(1, 100, 0.4)
    assert not weigher.weigh(2, 100, 0.6)
    dead = recording.Result(
        trial=2, setting=2, seed=0, values={}, status="not finite", survived=False
    )
    weigher.end(dead)
    states = [trial.state.name for trial in weigher.study.trials]
    assert states == ["RUNNING", "RUNNING", "FAIL"]


def test_without_optuna_it_is_said_how_to_get_it(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(GanzooError, match=r"not installed; pip install 'ganzoo\[sweep\]'"):
        halving.optuna()


def test_halving_needs_a_score_and_a_budget_in_images(cli):
    words = ("--data", "ring", "--gen", "mlp", "--device", "cpu", "--try", "gen.width=8,16")
    done = cli("sweep", *words, "--halving", "3", "--dry-run")
    assert done.code == 2 and "--halving 3: successive halving needs a metric" in done.err
    with pytest.raises(UsageError, match="needs a budget in images alone"):
        running._check_score(plan().__class__(**{**plan().__dict__, "seconds": 3.0}), ["swd"])
