"""Metrics in the middle of a training: when, within which time, what is kept, and what a resumed
training goes on with.
"""

import json
import time

import pytest

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Metric, Tracker
from ganzoo.errors import Incompatible
from ganzoo.io import checkpoints
from ganzoo.measure import scores_file
from ganzoo.measure.measuring import Clock
from ganzoo.training.average_files import snapshots
from ganzoo.training.loop import Training

TINY = {
    "data": {"name": "ring"},
    "gen": {"name": "mlp", "width": 8},
    "disc": {"width": 8},
    "train": {"images": 64 * 10, "batch_size": 64, "device": "cpu"},
    "checkpoint": {"images": 128, "minutes": 0},
    "measure": {"images": 128, "share": 1.0},
}


class Given(Metric):
    """Figures that are told beforehand, one measurement after another."""

    larger = ("high",)

    def __init__(self, spec, figures, seconds=0.0):
        super().__init__(spec, count=4)
        self.figures, self.seconds = list(figures), seconds

    def measure(self, real, fake):
        time.sleep(self.seconds)
        low = self.figures.pop(0)
        return {"low": low, "high": -low}


class Told(Tracker):
    """Keeps what it is told."""

    def __init__(self):
        self.heard = []

    def start(self, run, folder, images):
        self.heard.append(("start", run["train"]["batch_size"], folder, images))

    def score(self, scores, images):
        self.heard.append(("score", scores["given.low"], images))


def training(folder, figures, listeners=(), seconds=0.0, **measure):
    tree = configuration.merge(
        configuration.merge(configuration.defaults(), TINY), {"measure": measure}
    )
    pipeline = assemble(configuration.check(tree), zoo().registry)
    pipeline.metrics = {"given": Given(pipeline.spec, figures, seconds)}
    return Training(pipeline, folder, listeners)


def best_of(folder):
    header = ganzoo.load(folder / "best.safetensors").header
    return header.scores["given.low"], header.training["images"]


def test_metrics_are_asked_every_so_many_images_and_the_best_is_kept(tmp_path):
    told = Told()
    run = training(tmp_path, [3.0, 1.0, 2.0, 5.0, 4.0], [told])
    run.run()
    assert told.heard == [
        ("start", 64, tmp_path, 0),
        *(("score", low, 128 * n) for n, low in enumerate([3.0, 1.0, 2.0, 5.0, 4.0], 1)),
    ]
    assert best_of(tmp_path) == (1.0, 256)
    assert ganzoo.load(tmp_path / "generator.safetensors").header.scores["given.low"] == 4.0
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = [(line["images"], line["best"]) for line in log if line.get("event") == "scores"]
    assert found == [(128, True), (256, True), (384, False), (512, False), (640, False)]


def test_the_figure_that_decides_is_chosen_and_may_be_one_that_grows(tmp_path):
    training(tmp_path, [3.0, 1.0, 2.0, 5.0, 4.0], best="given.high").run()
    assert best_of(tmp_path) == (1.0, 256), "its high is the largest"
    other = tmp_path / "other"
    other.mkdir()
    training(other, [3.0, float("nan"), 2.0, 5.0, 4.0], best="given.low").run()
    assert best_of(other) == (2.0, 384), "what is no number is never the best"
    none = tmp_path / "none"
    none.mkdir()
    training(none, [3.0, 1.0, 2.0, 5.0, 4.0], best="").run()
    assert not (none / "best.safetensors").exists()
    with pytest.raises(Incompatible, match=r"did you mean 'given.low'"):
        training(tmp_path, [1.0] * 5, best="given.lo").run()
    with pytest.raises(Incompatible, match=r"names no figure of a metric .* \(given\)"):
        training(tmp_path, [1.0] * 5, best="taken.low")


def test_without_asking_the_end_alone_is_measured(tmp_path):
    told = Told()
    training(tmp_path, [3.0], [told], images=0).run()
    assert told.heard[1:] == [("score", 3.0, 640)]
    assert not (tmp_path / "best.safetensors").exists()


def test_metrics_take_no_more_than_their_share_of_the_time(tmp_path):
    """The first is due at once; the others wait until nine times as long was trained."""
    told = Told()
    run = training(tmp_path, [1.0] * 5, [told], seconds=0.3, share=0.1)
    began = time.perf_counter()
    run.run()
    trained = time.perf_counter() - began - run.scoring.seconds
    middle = [images for kind, _, images in told.heard[1:] if images < 640]
    assert 1 <= len(middle) <= 1 + trained / 2.7 < 5
    assert told.heard[-1][2] == 640


def test_by_default_metrics_take_two_hundredths_of_the_time():
    """By a clock that is told: each measurement takes 3 s, an update 0.1 s."""
    assert configuration.defaults()["measure"]["share"] == 0.02
    time_now, trained, shares = 0.0, 0.0, []
    clock = Clock(0.02, lambda: time_now)
    for _ in range(20_000):
        trained += 0.1
        if clock.allows(trained):
            with clock:
                time_now += 3.0
            shares.append(clock.seconds / (trained + clock.seconds))
    assert len(shares) == 1 + int(2000 * 0.02 / 0.98 / 3 - 1), "as many as fit, and not fewer"
    assert max(shares[1:]) <= 0.02, "the first is taken before anybody knows how long it is"


def test_what_was_measured_by_a_lost_future_is_forgotten(tmp_path):
    whole = training(tmp_path, [3.0, 1.0, 2.0, 5.0, 4.0])
    whole.run()
    assert [each.images for each in scores_file.read(tmp_path)] == [128, 256, 384, 512, 640]
    scores_file.forget_after(tmp_path, 256)
    assert [each.images for each in scores_file.read(tmp_path)] == [128, 256]
    low = [each.figures["low"].value for each in scores_file.read(tmp_path)]
    assert low == [3.0, 1.0]


def test_a_resumed_training_knows_its_best(tmp_path):
    whole = training(tmp_path, [3.0, 1.0, 2.0, 5.0, 4.0])
    whole.goal = 64 * 6
    whole.run()
    again = training(tmp_path, [5.0, 1.5])
    again.load_state_dict(checkpoints.find(tmp_path, again.largest_state).state)
    assert again.scoring.best == (1.0, 256)
    again.run()
    assert best_of(tmp_path) == (1.0, 256), "1.5 is not better"


def test_a_training_ends_where_its_score_gets_no_better(tmp_path):
    """After so many measurements in a row: what is saved goes on exactly, and it is said why."""
    run = training(tmp_path, [3.0, 1.0, 2.0, 0.5, 4.0, 5.0], patience=2)
    told = []
    run.tell = told.append
    run.run()
    assert run.images == 640 and not run.enough, "one without a better figure is none too many"
    short = tmp_path / "short"
    short.mkdir()
    run = training(short, [3.0, 1.0, 2.0, 1.5], patience=2)
    run.tell = told.append
    run.run()
    why = "given.low got no better in 2 measurements (best 1 after 256 images)"
    assert run.images == 512 and told == [f"ended after 512 images: {why}"]
    log = [json.loads(line) for line in (short / "log.jsonl").read_text().splitlines()]
    assert log[-1] == {"images": 512, "event": "ended early", "reason": why}
    assert best_of(short) == (1.0, 256)
    state, _ = checkpoints.newest(short, print)
    assert state["counters"]["images"] == 512 and state["counters"]["scoring"]["waited"] == 2

    again = training(short, [9.0], patience=2)
    again.load_state_dict(state)
    again.run()
    assert (again.images, again.updates) == (512, run.updates), "it has ended"

    longer = training(short, [0.7], patience=9)
    longer.load_state_dict(state)
    longer.run()
    whole = training(None, [3.0, 1.0, 2.0, 1.5, 0.7])
    whole.run()
    for side in ("generator", "discriminator"):
        found, wanted = (t.pipeline.parts.net(side).state_dict() for t in (longer, whole))
        assert all(found[key].equal(wanted[key]) for key in wanted)
    assert longer.scoring.best == (0.7, 640)


def test_a_training_that_ended_early_is_finished_for_those_who_list_it(tmp_path, cli, ran):
    flags = ("--data", "ring", "--gen", "mlp", "--images", "1280", "--batch-size", "64")
    settings = ("measure.images=64", "measure.share=1", "measure.patience=1", "gen.width=8")
    flags += (*("--metric", "swd"), *(part for each in settings for part in ("--set", each)))
    kept = ("--set", "average.snapshots=100k", "--out", tmp_path)
    done = cli("train", *flags, "--set", "metric.swd.count=64", *kept)
    assert done.code == 0 and "swd.distance got no better in 1 measurements" in done.err
    (run,) = json.loads(ran("runs", tmp_path, "--json"))
    assert run["state"] == "finished" and run["images"] < 1280
    assert {each.images for each in snapshots(next(tmp_path.iterdir()))} == {run["images"]}
    done = cli("train", *flags, "--set", "measure.images=0", "--out", tmp_path)
    assert done.code == 2 and "measure.patience" in done.err
    assert "measure.images" in done.err.partition(";")[2], "the way out"


def test_equal_trainings_with_scores_write_equal_generator_files(tmp_path, monkeypatch):
    """But for their lines of scores, which say when they were taken."""
    moments = iter(f"2026-11-22T00:00:{second:02d}Z" for second in range(60))
    monkeypatch.setattr("ganzoo.training.scoring.now", lambda: next(moments))
    files, lines = [], []
    for name in "ab":
        settings = {**TINY, "metric": {"swd": {"count": 64}}}
        ganzoo.train(settings, tmp_path / name)
        files.append((tmp_path / name / "generator.safetensors").read_bytes())
        lines.append((tmp_path / name / scores_file.FILE).read_bytes())
    assert files[0] == files[1] and lines[0] != lines[1]
