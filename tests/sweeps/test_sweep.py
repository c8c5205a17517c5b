"""Sweeps that train: equal budgets, what goes on after a stop or a kill, and what is refused before
the first trial.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import ganzoo
from ganzoo.components.loading import zoo
from ganzoo.errors import BadFile, BadRun, UsageError
from ganzoo.io import checkpoints
from ganzoo.io.activity import heard
from ganzoo.runs.listing import find, read_run
from ganzoo.sweeps import plan as planning
from ganzoo.sweeps import results as recording
from ganzoo.sweeps import running
from ganzoo.sweeps.executors import Executor, Local
from ganzoo.sweeps.trial import work

SMALL = {
    "data": {"name": "ring"},
    "gen": {"name": "mlp", "width": 8, "depth": 1},
    "disc": {"width": 8, "depth": 1},
    "loss": {"name": "hinge"},
    "metric": {"swd": {"count": 64}},
    "train": {"images": 320, "batch_size": 32, "device": "cpu"},
    "samples": {"images": 100_000, "count": 4},
    "log": {"images": 64},
}
FLAGS = (
    *("--data", "ring", "--gen", "mlp", "--images", "320", "--batch-size", "32"),
    *(
        "--device",
        "cpu",
        "--loss",
        "hinge",
        "--set",
        "gen.depth=1",
        "--set",
        "disc.width=8",
        "--metric",
        "swd",
    ),
    *("--set", "metric.swd.count=64"),
)


class Here(Executor):
    """Trains in this process, one after another; `told` decides when trials stop, by their tick."""

    def __init__(self, told=lambda task: False, most=99):
        self.told, self.most = told, most
        self.tasks, self.outcomes, self.stopped = [], [], set()

    @property
    def free(self):
        return 0 if self.outcomes or len(self.tasks) >= self.most else 1

    def start(self, task):
        self.tasks.append(task)
        self.outcomes.append(work(task, lambda: self.told(task) or task.number in self.stopped))

    def ended(self):
        found, self.outcomes = self.outcomes, []
        return found

    def stop(self, number):
        self.stopped.add(number)

    def close(self):
        pass


def states(folder):
    return {result.trial: result.status for result in recording.read(folder)}


def state_of(run):
    """The newest checkpoint without what a clock measured."""
    state, _ = checkpoints.newest(run, lambda line: None)
    state["counters"]["seconds"] = state["counters"]["scoring"] = None
    return state


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return one.equal(other) if hasattr(one, "equal") else one == other


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two batches with two seeds."""
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    executor = Here()
    found = ganzoo.sweep(SMALL, {"train.batch_size": [32, 48]}, folder, seeds=2, executor=executor)
    return folder, found, executor


def test_every_setting_has_its_seeds_and_the_same_budget(swept):
    folder, found, executor = swept
    assert not found.stopped and len(found.results) == 4 == len(executor.tasks)
    trains = [task.config["train"] for task in executor.tasks]
    assert [(t["seed"], t["batch_size"]) for t in trains] == [(0, 32), (1, 32), (0, 48), (1, 48)]
    for result in found.results:
        assert result.status == "finished" and result.score > 0
        assert 320 <= result.images < 320 + 48, "equal images, to the end of a batch"
    assert len({result.score for result in found.results}) == 4
    report = json.loads((folder / "report.json").read_text())
    assert report == found.report and report["score"] == "swd.distance"
    assert report["survival"]["total"] == 4
    assert report["factors"] == [], "what has a value for each setting explains them anyhow"
    assert {level["option"] for level in report["levels"]} == {"train.batch_size"}
    assert "## What a budget buys" in (folder / "report.md").read_text()


def test_trials_are_ordinary_runs(swept, ran):
    folder, found, _ = swept
    runs = {run["name"]: run for run in json.loads(ran("runs", folder / "trials", "--json"))}
    assert len(runs) == 4 and runs["000"]["settings"]["train.batch_size"] == 32
    for result in found.results[:2]:
        run = runs[f"{result.trial:03d}"]
        assert run["state"] == "finished" and run["images"] == result.images
        assert run["scores"]["swd.distance"] == result.score
        assert run["settings"]["train.seed"] == result.seed
    trials = folder / "trials"
    compared = json.loads(ran("compare", trials / "000", trials / "001", trials / "002", "--json"))
    assert [len(group) for group in compared["groups"].values()] == [2, 1]
    assert ganzoo.load(trials / "000").sample(4).shape == (4, 2)


def test_what_is_finished_is_not_trained_again(swept, ran, cli):
    folder, found, _ = swept
    before = (folder / recording.FILE).read_bytes()
    again = Here()
    assert running.run(folder, executor=again).results == found.results
    assert again.tasks == [] and (folder / recording.FILE).read_bytes() == before
    shown = json.loads(ran("sweep", "--report", folder, "--json"))
    assert shown == found.report
    assert "## Settings" in ran("sweep", "--report", folder)
    done = cli("sweep", *FLAGS, "--try", "gen.width=8", "--out", folder)
    assert done.code == 1 and "holds a sweep already" in done.err
    listed = json.loads(ran("sweep", "--resume", folder, "--dry-run", "--json"))
    assert [trial["folder"] for trial in listed["trials"]][:2] == ["trials/000", "trials/001"]
    with pytest.raises(BadRun, match="holds another sweep"):
        ganzoo.sweep(SMALL, {"gen.width": [8, 16]}, folder)


def test_a_trial_that_was_stopped_goes_on_exactly(swept, tmp_path):
    """It saves where it stands; the sweep goes on with it, and comes to what it would have."""
    tries, asked = {"train.batch_size": [32, 48]}, []

    def fifth(task):
        asked.append(task.number)
        return asked.count(1) > 4

    stopped = ganzoo.sweep(SMALL, tries, tmp_path, executor=Here(fifth))
    assert states(tmp_path) == {0: "finished"} and stopped.report["ended"] == 1
    run = read_run(tmp_path / "trials" / "001")
    assert run.state == "stopped" and 0 < run.images < 320
    executor = Here()
    found = ganzoo.sweep(SMALL, tries, tmp_path, executor=executor)
    assert [task.number for task in executor.tasks] == [1] and len(found.results) == 2
    for mine, other in (("000", "000"), ("001", "002")):
        one, two = (state_of(tmp_path / "trials" / mine), state_of(swept[0] / "trials" / other))
        assert equal(one, two)
    whole = {r.trial: r.score for r in swept[1].results}
    assert [r.score for r in found.results] == [whole[0], whole[2]]


def test_seconds_of_training_are_a_budget_too(tmp_path, monkeypatch):
    """By a clock that counts: every trial ends in order at the first update past its seconds."""
    clock = iter(range(10**9))
    monkeypatch.setattr("ganzoo.training.loop.time.perf_counter", lambda: next(clock) / 10)
    found = ganzoo.sweep(SMALL, {"gen.width": [8, 12]}, tmp_path / "s", seconds=1.0,
                         executor=Here())  # fmt: skip
    first, second = found.results
    assert first.status == second.status == "finished"
    assert first.images == second.images < 320 and first.score is not None
    assert found.report["seconds"] == 1.0
    log = (tmp_path / "s" / "trials" / "000" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["reason"] == "its 1 seconds of training are over"


def test_parts_that_do_not_fit_are_a_result_and_a_machines_fault_is_tried_again(tmp_path):
    """The base draws points: a net for pictures is refused when it is built. A rate of a billion
    does not stay finite.
    """
    with pytest.raises(UsageError, match=r"train.seed.* is the same in all trials"):
        ganzoo.sweep(SMALL, {"train.seed": [1]}, tmp_path / "s")
    folder, small = tmp_path / "s", SMALL | {"disc": {}}
    tries = {"disc.name": ["resnet"], "optim.gen.lr": [1e9]}
    found = ganzoo.sweep(small, tries, folder, alone=True, executor=Here())
    assert [r.status for r in found.results] == ["finished", "refused", "not finite"]
    assert [r.survived for r in found.results[1:]] == [False, False]
    assert all(r.reason and r.score is None for r in found.results[1:])
    failed = found.results[0].model_copy(update={"status": "failed", "reason": "a full disk"})
    recording.append(folder, failed)
    assert running.read(folder).report["ended"] == 2, "what failed says nothing of its setting"
    again = Here()
    running.run(folder, executor=again)
    assert [task.number for task in again.tasks] == [0] and states(folder)[0] == "finished"


def test_wrong_words_are_refused_before_anything_is_made(tmp_path, cli):
    """One line, as train says it, and no folder."""
    out = tmp_path / "sweep"
    wrong = [
        (["gen.widht=8,16"], "--try gen.widht=8,16: no option 'widht'; did you mean 'width'?"),
        (["gen.width=lag(1,2)"], "--try gen.width=lag(1,2): no range 'lag'; did you mean 'log'?"),
        (["gen.width=int(8,16)"], "gen.width has a range"),
        (["reg.gpp.weight=1,2"], "'gpp' is not in this pipeline"),
        (["gen.width=8", "gen.width=16"], "is tried twice"),
        (["loss=hinge,hinje"], "no loss named 'hinje'; did you mean 'hinge'?"),
    ]
    for tries, said in wrong:
        words = [word for text in tries for word in ("--try", text)]
        done = cli("sweep", *FLAGS, *words, "--out", out)
        assert done.code == 2 and said in done.err, done.err
        assert done.err.strip().count("Error") == 1 and not out.exists()
    for words, said in {
        (): "--try: give something to try",
        ("--try", "gen.width=8", "--score", "fid.distance"): "names no figure of a metric",
        ("--try", "gen.width=8", "--alone", "--draws", "3"): "each value is tried by itself",
        ("--preset", "lucic-wyde"): "did you mean 'lucic-wide'?",
        ("--resume", tmp_path): "leave the rest out",
    }.items():
        done = cli("sweep", *FLAGS, *words)
        assert done.code == 2 and said in done.err, done.err
    done = cli("sweep", "--resume", tmp_path)
    assert done.code == 1 and done.err == f"Error: {tmp_path}: no sweep there (no sweep.toml)\n"


def test_a_folder_that_cannot_be_the_sweeps_is_refused_before_the_data_are_opened(
    swept, cli, monkeypatch, tmp_path
):
    monkeypatch.setattr(running, "prepare", lambda *given, **about: pytest.fail("it was prepared"))
    (tmp_path / "file").write_text("")
    for out, said in {
        swept[0]: "holds a sweep already; resume that one, or name another folder",
        tmp_path / "file": "is a file, and a folder is needed there",
    }.items():
        done = cli("sweep", *FLAGS, "--try", "gen.width=8", "--out", out)
        assert done.code == 1 and done.err.startswith(f"Error: --out {out}: ") and said in done.err


def test_a_score_that_was_not_measured_ends_the_sweep_at_its_first_trial(tmp_path):
    """Which figures a metric has is known when it has measured; the rest need not be trained."""
    executor = Here()
    with pytest.raises(UsageError) as raised:
        ganzoo.sweep(SMALL, {"gen.width": [8, 12]}, tmp_path, score="swd.dist", executor=executor)
    said = str(raised.value)
    assert "did you mean 'swd.distance'?" in said and "begin another sweep" in said
    assert len(executor.tasks) == 1 and recording.read(tmp_path) == []


def test_what_is_trained_is_said(tmp_path):
    said = []
    with heard(lambda what, now: said.append(what)):
        ganzoo.sweep(SMALL, {"gen.width": [8, 12]}, tmp_path, executor=Here())
    at = said.index("training trials/000")
    assert said.index("training trials/001") > at and said[-1] == ""


def test_the_command_lists_what_it_would_train(ran):
    words = ("--try", "loss=hinge,wgan", "--try", "reg=gp,none", "--seeds", "2")
    rows = [line.split("\t") for line in ran("sweep", *FLAGS, *words, "--dry-run").splitlines()]
    assert len(rows) == 8 and rows[3] == ["trials/003", "1", "loss.name=hinge, reg=none"]
    words = ("--preset", "lucic-wide", "--draws", "3", "--json", "--dry-run")
    listed = json.loads(ran("sweep", *FLAGS, *words))["trials"]
    assert len(listed) == 3
    for trial in listed:
        values = trial["values"]
        assert 1e-5 <= values["optim.gen.lr,optim.disc.lr"] <= 1e-2
        assert values["optim.gen.betas,optim.disc.betas"][1] == 0.999
        assert "reg.gp.weight" not in values, "the recipe has no such penalty"


def test_a_plan_of_before_a_setting_was_there_has_its_default(tmp_path):
    plan = planning.Plan(_base(), planning.tries_of({"gen.width": [8, 16]}))
    train = {key: value for key, value in plan.base["train"].items() if key != "label_dropout"}
    planning.write(tmp_path, dataclasses.replace(plan, base={**plan.base, "train": train}))
    assert planning.same(planning.read(tmp_path), plan)


def test_a_plan_that_was_edited_is_refused(tmp_path):
    """It says what the trials that there are were trained with."""
    running.begin(tmp_path, planning.Plan(_base(), planning.tries_of({"gen.width": [8, 16]})))
    path = tmp_path / planning.FILE
    plan = planning.read(tmp_path)
    assert [t.values["gen.width"] for t in plan.trials] == [8, 16] and plan.images == 100_000
    text = path.read_text()
    for wrong in (text.replace("[8, 16]", "[8, 32]"), text[:-30], "", "sha256 = 3\n"):
        path.write_text(wrong)
        with pytest.raises((BadRun, UsageError)) as raised:
            planning.read(tmp_path)
        assert planning.FILE in str(raised.value)


@pytest.mark.parametrize("left", ["trials", "results.jsonl"])
def test_what_is_left_of_another_sweep_is_not_gone_on_with(tmp_path, left):
    (tmp_path / left).mkdir()
    with pytest.raises(BadRun, match=f"holds {left} of another sweep"):
        ganzoo.sweep(SMALL, {"gen.width": [8]}, tmp_path, executor=Here())
    assert not (tmp_path / planning.FILE).exists()


def test_a_plan_of_a_stranger_is_bounded(tmp_path):
    """With a sum that matches: numbers that no sweep has are no plan, and links lead nowhere."""
    base, tries = _base(), planning.tries_of({"gen.width": [8, 16]})
    for wrong in ({"halving": "3"}, {"draws": -1}, {"design": "any"}, {"score": 3}):
        planning.write(tmp_path, planning.Plan(base, tries, **wrong))
        with pytest.raises(BadRun, match="is no plan of a sweep"):
            planning.read(tmp_path)
    planning.write(tmp_path, planning.Plan(base, tries, seeds=10**12))
    with pytest.raises(UsageError, match="trials, and a sweep has at most 100,000"):
        running.run(tmp_path, executor=Here())
    planning.write(tmp_path, planning.Plan(base, tries))
    (tmp_path / "elsewhere").mkdir()
    for name in ("trials", "logs"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(BadFile, match="a link"):
            running.run(tmp_path, executor=Here())
        (tmp_path / name).unlink()
    (tmp_path / "worker-0.txt").symlink_to(tmp_path / "elsewhere" / "file")
    with pytest.raises(BadFile, match="a link"):
        Local(1, tmp_path, []).start(work_of(tmp_path, base, tries))
    assert not [*(tmp_path / "elsewhere").iterdir()]


def work_of(folder, base, tries):
    plan = planning.Plan(base, tries)
    return plan.task(plan.trials[0], folder)


def _base():
    from ganzoo import config as configuration

    return configuration.check(configuration.defaults()).tree()


def test_slots_share_cores_and_gpus(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("ganzoo.sweeps.executors._cores", lambda: 8)
    executor = Local(4, tmp_path, ["2", "3"])
    found = [executor.environment(slot) for slot in range(4)]
    assert [env["CUDA_VISIBLE_DEVICES"] for env in found] == ["2", "3", "2", "3"]
    assert {env["OMP_NUM_THREADS"] for env in found} == {"2"}
    assert "OMP_NUM_THREADS" not in Local(1, tmp_path, []).environment(0)
    assert executor.free == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert executor.environment(0)["OMP_NUM_THREADS"] == "3", "a person's own word"


# With processes of their own.


def begun(folder, *words):
    command = [sys.executable, "-m", "ganzoo", "sweep", *FLAGS, "--try", "gen.width=8,12"]
    long = words or ("--images", "160k")
    settings = ("--set", "checkpoint.images=1k", "--set", "log.images=1k")
    flags = [word for word in command if word not in ("--images", "320")]
    return subprocess.Popen([*flags, *long, *settings, "--out", str(folder)],
                            stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip


def until(condition, seconds=120.0):
    """Wait for something to be there."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_where_it_was(tmp_path, cli):
    """Killed with -9 in the second trial: the first is not trained again, the second goes on from
    its checkpoint and comes to what a trial comes to that was never killed.
    """
    whole, other = tmp_path / "whole", tmp_path / "other"
    process = begun(other, "--images", "8k")
    second = other / "trials" / "001" / "checkpoints"
    until(lambda: list(second.glob("*/manifest.json")))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    first = (other / "trials" / "000" / "log.jsonl").stat().st_mtime_ns
    assert states(other) == {0: "finished"}
    done = cli("sweep", "--resume", other)
    assert done.code == 0, done.err
    assert states(other) == {0: "finished", 1: "finished"}
    assert (other / "trials" / "000" / "log.jsonl").stat().st_mtime_ns == first
    plan = planning.read(other)
    assert work(plan.task(plan.trials[1], whole), lambda: False).status == "finished"
    one, two = (state_of(folder / "trials" / "001") for folder in (whole, other))
    assert equal(one, two)
    scores = [read_run(folder / "trials" / "001").scores for folder in (whole, other)]
    assert scores[0] == scores[1] and scores[0]


@pytest.mark.slow
def test_a_signal_stops_a_sweep_in_order(tmp_path):
    process = begun(tmp_path / "sweep")
    run = tmp_path / "sweep" / "trials" / "000"
    until(lambda: (run / "log.jsonl").exists())
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    said = err.decode().splitlines()[-1]
    assert said.startswith("stopped; 0 trials ended, the others are saved; continue with:")
    assert said.endswith(f"ganzoo sweep --resume {tmp_path / 'sweep'}")
    assert read_run(run).state == "stopped" and list((run / "checkpoints").iterdir())
    assert len(find(tmp_path / "sweep" / "trials")) == 1


@pytest.mark.slow
def test_a_process_that_dies_is_told_and_another_takes_its_place(tmp_path):
    """By a worker that is killed: its trial has failed, the next is trained."""
    plan = planning.Plan(_base(), planning.tries_of({"gen.width": [8, 12]}))
    small = ganzoo.library.layered(SMALL, zoo().registry)[0]
    plan = planning.Plan(planning.configuration.check(small).tree(), plan.tries)
    executor = Local(1, tmp_path / "logs", [])
    executor.start(plan.task(plan.trials[0], tmp_path))
    executor._slots[0].process.kill()
    found = []
    until(lambda: found.extend(executor.ended()) or found)
    assert (found[0].status, found[0].reason) == ("failed", "its process was killed by signal 9")
    executor.start(plan.task(plan.trials[1], tmp_path))
    until(lambda: found.extend(executor.ended()) or len(found) > 1)
    executor.close()
    assert (found[1].number, found[1].status) == (1, "finished"), found[1].reason


def test_a_trial_that_somebody_else_stopped_stops_the_sweep(tmp_path):
    """Which goes on with it, and does not pass it over in silence."""
    executor = Here(lambda task: True)
    found = running.sweep(SMALL, {"gen.width": [8, 12]}, tmp_path, executor=executor)
    assert found.stopped and not found.results and len(executor.tasks) == 1


def test_the_command_ends_as_if_it_had_been_stopped_then(tmp_path, cli, monkeypatch):
    executor = Here(lambda task: True)
    monkeypatch.setattr("ganzoo.cli.sweep._executor", lambda name, jobs, gpus: executor)
    done = cli("sweep", *FLAGS, "--try", "gen.width=8", "--out", tmp_path / "sweep")
    assert done.code == 128 + signal.SIGTERM, done.err
    assert "stopped; 0 trials ended" in done.err and "unexpected" not in done.err


def test_an_answer_that_was_cut_off_is_a_failure(tmp_path):
    executor = Local(1, tmp_path, devices=())
    executor.start(planning.Task(0, str(tmp_path / "run"), {}))
    worker = executor._slots[0]
    worker.process.kill()
    worker.process.wait()
    worker.answers.put(b'{"number": 0, "sta')
    (outcome,) = executor.ended()
    assert outcome.status == "failed" and "signal 9" in outcome.reason
