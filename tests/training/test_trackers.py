"""Trackers: what they hear is read back by the tools it is meant for, and none stops a training."""

import csv
import importlib.util
import json
import subprocess
import sys

import pytest
from PIL import Image

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Tracker
from ganzoo.training import run_folder
from ganzoo.training.loop import Training

TINY = {
    "data": {"name": "ring"},
    "gen": {"name": "mlp", "width": 8},
    "disc": {"width": 8},
    "train": {"images": 64 * 6, "batch_size": 64, "device": "cpu"},
    "log": {"images": 128},
    "metric": {"swd": {"count": 64}},
    "measure": {"images": 128, "share": 1.0},
}
HEARD = (
    {"images": 64, "rank": 0.5, "generator": {"total": 2.0}, "health": "balanced: right 50%"},
    {"images": 128, "rank": 0.6, "generator": {"total": 1.0}, "health": "balanced: right 60%"},
    {"images": 192, "rank": 1.0, "generator": {"total": 9.0, "late": 3.0}, "health": "narrow: 1%"},
)
missing = {
    name: pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"without {name}")
    for name in ("tensorboard", "wandb", "mlflow")
}


def training(folder, tell=lambda line: None, **layer):
    tree = configuration.merge(configuration.merge(configuration.defaults(), TINY), layer)
    return Training(assemble(configuration.check(tree), zoo().registry), folder, tell=tell)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "000000064.png"
    Image.new("L", (20, 10), 255).save(path)
    return path


def tell(tracker, folder, picture, images=0, lines=HEARD):
    """A short training, as a tracker hears it."""
    tracker.start(configuration.defaults(), folder, images)
    for line in lines:
        tracker.log(line)
    tracker.picture("samples/000000064", picture)
    tracker.score({"swd.distance": 1.5}, 128)
    tracker.finish()


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# csv.


def test_tables_of_a_training_hold_what_its_log_holds(tmp_path):
    run = training(tmp_path, tracker={"csv": {}})
    run.run()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    lines = [line for line in log if "event" not in line]
    found = rows(tmp_path / "log.csv")
    assert len(found) == len(lines) == 3
    for row, line in zip(found, lines, strict=True):
        assert int(row["images"]) == line["images"] and row["health"] == line["health"]
        assert float(row["discriminator.total"]) == line["discriminator"]["total"]
    scores = rows(tmp_path / "scores.csv")
    assert [int(row["images"]) for row in scores] == [128, 256, 384]
    assert float(scores[-1]["swd.distance"]) == run.scores["swd.distance"]


def test_a_late_figure_is_a_column_and_a_resumed_training_goes_on_below(tmp_path, picture):
    tell(ganzoo.create("tracker", "csv"), tmp_path, picture)
    before = rows(tmp_path / "log.csv")
    assert [row["generator.late"] for row in before] == ["", "", "3.0"]
    with (tmp_path / "log.csv").open("a") as file:
        file.write("25")  # as a crash would leave it
    again = ganzoo.create("tracker", "csv")
    again.start(configuration.defaults(), tmp_path, 128)
    assert rows(tmp_path / "log.csv") == before[:2], "what comes again is dropped"
    again.log(HEARD[2])
    assert rows(tmp_path / "log.csv") == before
    assert len(rows(tmp_path / "scores.csv")) == 1
    ganzoo.create("tracker", "csv").start(configuration.defaults(), tmp_path, 0)
    assert rows(tmp_path / "log.csv") == [], "a training that begins again"


# The others.


@missing["tensorboard"]
def test_tensorboard_reads_figures_scores_pictures_settings_and_health(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = training(tmp_path, tracker={"tensorboard": {}})
    run.run()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    tags = found.Tags()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    ranks = {line["images"]: line["rank"] for line in lines if "rank" in line}
    seen = {event.step: event.value for event in found.Scalars("rank")}
    assert seen == pytest.approx(ranks) and len(ranks) == 3
    assert {"discriminator/total", "generator/total", "D(real)"} <= {*tags["scalars"]}
    scored = found.Scalars("scores/swd.distance")
    assert [event.step for event in scored] == [128, 256, 384]
    assert scored[-1].value == pytest.approx(run.scores["swd.distance"])
    assert {*tags["images"]} == {"real", "samples"}
    drawn = found.Images("samples")
    assert drawn[-1].step == 384 and drawn[-1].width == 512
    texts = {tag: found.Tensors(tag) for tag in tags["tensors"]}
    (settings,) = texts["settings/text_summary"]
    assert b"gen.name = 'mlp'" in settings.tensor_proto.string_val[0]
    first = next(line["health"] for line in lines if "health" in line)
    health = texts["health/text_summary"]
    assert health[0].tensor_proto.string_val[0].decode() == first
    changes = [line["health"].partition(":")[0] for line in lines if "health" in line]
    words = [word for i, word in enumerate(changes) if i == 0 or word != changes[i - 1]]
    assert len(health) == len(words), "a text a change"


@missing["tensorboard"]
def test_tensorboard_hides_what_a_resumed_training_does_again(tmp_path, picture):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell(ganzoo.create("tracker", "tensorboard"), tmp_path, picture)
    again = ganzoo.create("tracker", "tensorboard")
    tell(again, tmp_path, picture, images=128, lines=[HEARD[2] | {"rank": 0.25}])
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("rank")] == [
        (64, 0.5),
        (128, pytest.approx(0.6)),
        (192, 0.25),
    ]


@missing["wandb"]
def test_wandb_writes_a_run_that_can_be_sent_later(tmp_path, picture, monkeypatch):
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "online")  # which the option goes over
    tell(ganzoo.create("tracker", "wandb", project="mine"), tmp_path, picture)
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = file.read_bytes()  # a log of protocol buffers, whose texts are as they are
    for text in ("scores/swd.distance", "generator.total", "narrow: 1%", "mine", "nonsat"):
        assert text.encode() in content, text
    assert b"balanced: right 50%" in content and b"60%" not in content, "an event a change"
    (media,) = (tmp_path / "wandb").glob("offline-run-*/files/media/images/samples_*.png")
    with Image.open(media) as drawn:
        assert drawn.size == (20, 10)


@missing["mlflow"]
def test_mlflow_s_client_reads_what_was_sent_and_a_resumed_run_goes_on(tmp_path, picture):
    import os

    folder = tmp_path / "runs" / "0001-a"
    folder.mkdir(parents=True)
    tell(ganzoo.create("tracker", "mlflow"), folder, picture, lines=HEARD[:2])
    tell(ganzoo.create("tracker", "mlflow"), folder, picture, images=128, lines=HEARD[2:])
    assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "runs" / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("ganzoo").experiment_id])
    assert run.info.run_name == "0001-a" and run.info.status == "FINISHED"
    assert run.data.params["gen.name"] == "dcgan"
    assert run.data.metrics["scores/swd.distance"] == 1.5
    history = client.get_metric_history(run.info.run_id, "generator.total")
    assert [(each.step, each.value) for each in history] == [(64, 2.0), (128, 1.0), (192, 9.0)]
    health = {name: text for name, text in run.data.tags.items() if name.startswith("health")}
    assert health == {
        "health": "narrow: 1%",
        "health.000000064": "balanced: right 50%",
        "health.000000192": "narrow: 1%",
    }
    assert [a.path for a in client.list_artifacts(run.info.run_id, "samples")] == [
        "samples/000000064.png"
    ]


def test_packages_are_imported_only_when_a_tracker_is_asked_for():
    code = (
        "import sys, ganzoo\n"
        "for c in ganzoo.list_components('tracker'): c.load(), c.options()\n"
        "print(*sorted({'tensorboard', 'wandb', 'mlflow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("name", missing)
def test_a_missing_package_is_one_line_before_anything_is_written(name, cli, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda asked, *rest: None if asked == name else found(asked, *rest),
    )
    points = ("--gen", "mlp", "--data", "ring", "--out", tmp_path / "runs")
    done = cli("train", *points, "--tracker", name)
    assert done.code == 1
    last = done.err.splitlines()[-1]
    said = f"needs {name}, which is not installed; pip install 'ganzoo[{name}]'"
    assert last == f"Error: --tracker {name}: {said}"
    assert not (tmp_path / "runs").exists()


# What fails.


class Fails(Tracker):
    """Fails in one method, and counts what it hears."""

    def __init__(self, method, error):
        self.heard = []
        for name in ("start", "log", "picture", "score", "finish"):
            setattr(self, name, self.hear(name, error if name == method else None))

    def hear(self, name, error):
        def heard(*_):
            self.heard.append(name)
            if error is not None:
                raise error

        return heard


def test_a_resumed_run_may_have_other_trackers(tmp_path):
    old, new = (
        configuration.check(configuration.merge(configuration.defaults(), {"tracker": chosen}))
        for chosen in ({"csv": {}}, {"mlflow": {"uri": "x"}})
    )
    run_folder.check_same(old, new, tmp_path)
    assert run_folder.adopted(old.tree(), new.tree())["tracker"] == {"mlflow": {"uri": "x"}}


@pytest.fixture(scope="module")
def pipeline():
    """One of a short training."""
    layer = {"train": {"images": 128}, "samples": {"count": 4}, "measure": {"images": 0}}
    return training(None, **layer).pipeline


FULL = OSError(28, "No space left")
FAILURES = [
    *((method, FULL) for method in ("start", "log", "picture", "score", "finish")),
    ("log", SystemExit(3)),
    ("picture", KeyboardInterrupt()),
]


@pytest.mark.parametrize(("method", "error"), FAILURES, ids=str)
def test_a_tracker_that_fails_is_told_once_and_stops_nothing(method, error, pipeline, tmp_path):
    told, tracker = [], Fails(method, error)
    pipeline.trackers = {"bad": tracker}
    run = Training(pipeline, tmp_path, tell=told.append)
    run.run()
    assert run.images == run.goal and (tmp_path / "generator.safetensors").exists()
    assert len([line for line in told if line.startswith("tracker.bad of ")]) == 1
    assert tracker.heard.count(method) == 1 and tracker.heard[-1] == method
