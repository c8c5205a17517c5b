"""A resume never starts over by itself, goes on
with what was saved, and loses nothing on the way.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tomlkit
import torch
from PIL import Image
from safetensors import safe_open
from signing import sign

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Dataset, Metric, Tracker
from ganzoo.errors import BadRun, GanzooError
from ganzoo.io import checkpoints as checkpoint
from ganzoo.training import resume as resuming
from ganzoo.training import run_folder as runs
from ganzoo.training.loop import Interrupted, Training

TIMES = ("seconds", "images_per_second")
TINY = {
    "gen": {"name": "mlp", "width": 8, "depth": 1},
    "disc": {"width": 8, "depth": 1},
    "reg": {"r1": {}, "gp": {"every": 3}, "noise": {}},
    "data": {"name": "digits", "resolution": 8},
    "train": {"images": 640, "batch_size": 16, "device": "cpu", "engine": "eager"},
    "samples": {"count": 4},
    "log": {"images": 200},
    "checkpoint": {"images": 0, "minutes": 0},
}


def config(**changes):
    tree = configuration.merge(configuration.merge(configuration.defaults(), TINY), changes)
    return configuration.check(tree)


def pipeline(**changes):
    return assemble(config(**changes), zoo().registry)


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a finished run, to be damaged."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def manifests(run):
    return sorted((run / "checkpoints").glob("*/manifest.json"))


def content(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
        if p.name != ".lock"
    }


# 1: no resume starts over by itself.


def flip(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


DAMAGE = {
    "damaged": lambda run: [flip(path) for path in (run / "checkpoints").glob("*/net_gen*")],
    "manifests damaged": lambda run: [flip(path) for path in manifests(run)],
    "manifests missing": lambda run: [path.unlink() for path in manifests(run)],
    "missing": lambda run: shutil.rmtree(run / "checkpoints"),
    "emptied": lambda run: [shutil.rmtree(path.parent) for path in manifests(run)],
    "all but the log missing": lambda run: [
        shutil.rmtree(run / "checkpoints"),
        (run / "generator.safetensors").unlink(),
    ],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_resume_never_starts_over_by_itself(damage, run, cli):
    DAMAGE[damage](run)
    before = content(run)
    for _ in range(2):  # the second attempt finds what the first one left
        done = cli("train", "--resume", run)
        assert done.code == 1 and done.err.count("\n") == 1, done.err
        assert "--from-scratch" in done.err and "checkpoint" in done.err
        assert content(run) == before
    done = cli("train", "--resume", run, "--from-scratch")
    assert done.code == 0 and "begins again" in done.err, done.err
    lines = (run / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["images"] for line in lines] == [256]
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["000000256"], "nothing broken left"


def test_a_newer_format_is_named_and_older_checkpoints_are_no_way_out(run, cli):
    newest = run / "checkpoints" / "000000256"
    shutil.copytree(newest, newest.with_name("000000128"))
    sign(newest, lambda manifest: manifest.update(format=checkpoint.FORMAT + 1))
    before = content(run)
    done = cli("train", "--resume", run)
    assert done.code == 1 and "newer ganzoo" in done.err and "format 2" in done.err
    assert content(run) == before


def test_from_scratch_does_not_throw_away_what_is_whole(run, cli):
    before = content(run)
    done = cli("train", "--resume", run, "--from-scratch")
    assert done.code == 2 and "--from-scratch: the run has a whole checkpoint" in done.err
    assert content(run) == before
    done = cli("train", "--from-scratch", "--dry-run")
    assert done.code == 2 and "--from-scratch: goes with --resume" in done.err


def test_a_run_stopped_before_its_first_checkpoint_begins_again(run, cli):
    shutil.rmtree(run / "checkpoints")
    (run / "generator.safetensors").unlink()
    (run / "log.jsonl").write_text('{"images": 64}\n')
    (run / "checkpoints" / "000000256").mkdir(parents=True)  # the process died while it saved
    done = cli("train", "--resume", run)
    assert done.code == 0 and "stopped before its first checkpoint" in done.err, done.err


def test_the_refusal_has_fields(run):
    flip(manifests(run)[0])
    with pytest.raises(BadRun) as caught:
        resuming.open_run(run)
    assert caught.value.change == {"from_scratch": True} and caught.value.remedy
    assert "damaged" in caught.value.message
    assert resuming.open_run(run, from_scratch=True).manifest is None


# 2: run.toml is part of the state.


def test_an_edited_run_file_is_named_and_does_not_decide(run, cli):
    text = (run / "run.toml").read_text()
    edited = text.replace("seed = 0", "seed = 7").replace("batch_size = 16", "batch_size = 32")
    assert edited.count("= 7") == 1 and edited != text
    (run / "run.toml").write_text(edited)
    done = cli("train", "--resume", run, "--images", 320)
    assert done.code == 0, done.err
    (line,) = (line for line in done.err.splitlines() if "was edited" in line)
    assert "train.seed = 7 (saved: 0)" in line and "train.batch_size = 32 (saved: 16)" in line
    tree = configuration.read(run / "run.toml")
    assert tree["train"]["seed"] == 0 and tree["train"]["batch_size"] == 16 and runs.intact(tree)
    header = ganzoo.load(run).header.training["config"]
    assert header["train"]["seed"] == 0 and header["train"]["batch_size"] == 16


@pytest.mark.parametrize("cut", ["", "[run]\n", "[train]", "missing", "no [ toml"])
def test_a_cut_or_emptied_run_file_is_named_as_damaged(cut, run, cli):
    path = run / "run.toml"
    text = path.read_text()
    if cut == "missing":
        path.unlink()
    else:
        path.write_text(text[: text.index(cut)] if cut == "[train]" else cut)
    done = cli("train", "--resume", run, "--images", 320)
    assert done.code == 0, done.err
    (line,) = (line for line in done.err.splitlines() if "run.toml is" in line)
    assert any(word in line for word in ("cut short or emptied", "missing or damaged")), line
    assert configuration.read(path)["train"] == configuration.read(path)["train"] | {
        "batch_size": 16,
        "images": 320,
    }


def test_without_a_checkpoint_a_run_file_must_be_whole(run, cli):
    shutil.rmtree(run / "checkpoints")
    (run / "generator.safetensors").unlink()
    (run / "log.jsonl").unlink()
    text = (run / "run.toml").read_text()
    for damaged in (text[: text.index("[train]")], text.replace("seed = 0", "seed = 7")):
        (run / "run.toml").write_text(damaged)
        done = cli("train", "--resume", run)
        assert done.code == 1 and "run.toml: damaged or edited" in done.err, done.err
    (run / "run.toml").write_text(text)
    assert cli("train", "--resume", run, "--dry-run").code == 0


def test_a_crash_after_an_extension_goes_on_to_the_new_length(run, cli):
    """run.toml is written anew at a resume, the next checkpoint later: a crash between the two."""
    config = resuming.open_run(run).config
    train = config.train.model_copy(update={"images": 512})
    longer = config.model_copy(update={"train": train})
    runs.describe(run, assemble(longer, zoo().registry), "ganzoo train --images 512")
    opened = resuming.open_run(run)
    assert opened.config.train.images == 512 and opened.notes == []
    done = cli("train", "--resume", run)
    assert done.code == 0 and "trained on 512 images" in done.out, done.err


def test_the_order_of_regularizers_survives(tmp_path):
    """Penalties are summed, and nets prepared, in the order of the configuration."""
    first = pipeline(reg={"r1": {}, "gp": {}, "noise": {}})
    training = Training(first, tmp_path)
    training.run()
    assert list(resuming.open_run(tmp_path).config.reg) == ["r1", "gp", "noise"]


# 4: changed data are noticed.


def pictures(folder, count, invert=False):
    folder.mkdir(exist_ok=True)
    chance = torch.Generator().manual_seed(0)
    for i in range(count):
        pixels = torch.randint(256, (8, 8, 3), generator=chance, dtype=torch.uint8)
        Image.fromarray((255 - pixels if invert else pixels).numpy()).save(folder / f"{i:03d}.png")


@pytest.fixture
def on_pictures(tmp_path, monkeypatch, cli, small):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    pictures(tmp_path / "data", 40)
    done = cli("train", "--data", tmp_path / "data", *small, "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    return next((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: (data / "000.png").unlink(), "40 samples before, 39 now"),
        (lambda data: pictures(data, 60), "40 samples before, 60 now"),
        (lambda data: pictures(data, 40, invert=True), "as many samples (40), but others"),
        (lambda data: (data / "000.png").rename(data / "zzz.png"), "or in another order"),
    ],
    ids=["removed", "added", "inverted", "renamed"],
)
def test_changed_pictures_are_refused_unless_accepted(change, says, on_pictures, tmp_path, cli):
    change(tmp_path / "data")
    before = content(on_pictures)
    done = cli("train", "--resume", on_pictures, "--images", 320)
    assert done.code == 1 and says in done.err and "--accept-data" in done.err, done.err
    assert content(on_pictures) == before
    done = cli("train", "--resume", on_pictures, "--images", 320, "--accept-data")
    assert done.code == 0 and says in done.err and "accepted" in done.err, done.err
    done = cli("train", "--resume", on_pictures, "--images", 384)
    assert done.code == 0 and "data have changed" not in done.err, "they are the run's data now"


def test_pictures_that_were_only_copied_are_the_same(on_pictures, tmp_path, cli):
    for picture in (tmp_path / "data").iterdir():
        picture.write_bytes(picture.read_bytes())  # another time of change
        picture.touch()
    done = cli("train", "--resume", on_pictures, "--images", 320)
    assert done.code == 0 and "data have changed" not in done.err, done.err


def test_a_fingerprint_tells_every_change_and_nothing_else():
    chance = torch.Generator().manual_seed(0)
    samples = torch.randint(256, (300, 3, 40, 40), generator=chance, dtype=torch.uint8)
    labels = torch.randint(4, (300,), generator=chance)
    names = ["a", "b", "c", "d"]
    now = Dataset(samples, labels, names).fingerprint()
    same = samples.to(memory_format=torch.channels_last)
    assert Dataset(same, labels.clone(), tuple(names), ["a note"]).fingerprint() == now

    def differs(samples, labels=labels, names=names):
        return resuming.difference(now, Dataset(samples, labels, names).fingerprint())

    for place in (0, 7, samples.numel() // 2, samples.numel() - 1):
        other = samples.clone()
        other.view(-1)[place] ^= 1
        assert "but others" in differs(other)
    swapped = samples[torch.tensor([1, 0, *range(2, 300)])]
    assert "but others" in differs(swapped)
    assert "shape" in differs(samples[:, :1])
    assert "299 now" in differs(samples[:299], labels[:299])
    assert "labels" in differs(samples, labels.flip(0))
    assert "names of classes" in differs(samples, labels, ["a", "b", "c", "e"])


def test_points_have_a_fingerprint_too(run):
    manifest = json.loads(manifests(run)[0].read_text())
    assert manifest["data"] == pipeline_data(manifest).fingerprint()


def pipeline_data(manifest):
    return assemble(configuration.check(manifest["config"]), zoo().registry).dataset


# 5: the same log and the same file, however often it was stopped.


def trained_in(folder, cuts=(), **changes):
    """Log and generator file of a training stopped gracefully after these images."""
    folder.mkdir()
    training = Training(pipeline(**changes), folder)
    for cut in cuts:

        def stop(images, training=training, cut=cut):
            if images >= cut:
                training.stop = 15

        training.tick = stop
        with pytest.raises(Interrupted):
            training.run()
        training = Training(pipeline(**changes), folder)
        training.load_state_dict(checkpoint.find(folder).state)
    training.run()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    lines = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
    return lines, (folder / "generator.safetensors").read_bytes()


def test_the_log_and_the_file_do_not_know_of_stops(tmp_path):
    whole = trained_in(tmp_path / "whole")
    assert len(whole[0]) == 4 and whole == trained_in(tmp_path / "again")
    assert whole == trained_in(tmp_path / "cut", (16, 112, 208, 432))


def signalled(arguments, out, number, lines):
    """The run of a `ganzoo train` in a process of its own,
    which got a signal after so many lines of its log.
    """
    # Whoever runs the tests may ignore signals (nohup),
    # which children inherit and a training heeds.
    heeding = f"import signal; signal.signal({int(number)}, signal.SIG_DFL)"
    code = f"{heeding}; from ganzoo.cli import main; main()"
    command = [sys.executable, "-c", code, "train", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            while process.poll() is None and sum(map(length, out.glob("*/log.jsonl"))) < lines:
                time.sleep(0.01)
            process.send_signal(number)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 128 + number, said
    (run,) = out.iterdir()
    return run


def length(log):
    return log.read_bytes().count(b"\n")


@pytest.mark.slow
def test_the_log_of_a_run_that_got_signals_is_that_of_one_that_did_not(tmp_path, cli):
    """Every line in full but for times, means of what was measured before the signal among them."""
    train = {"images": 24_000, "precision": "fp32"}
    tree = configuration.merge(TINY, {"train": train, "log": {"images": 1200}})
    (tmp_path / "config.toml").write_text(tomlkit.dumps(tree))
    given = ["--config", tmp_path / "config.toml", "--out"]
    assert cli("train", *given, tmp_path / "whole").code == 0
    run, stops = signalled([*given, tmp_path / "cut"], tmp_path / "cut", signal.SIGTERM, 3), []
    for number, lines in ((signal.SIGINT, 7), (signal.SIGHUP, 12)):
        stops.append(int(max(p.name for p in (run / "checkpoints").iterdir())))
        signalled(["--resume", run], tmp_path / "cut", number, lines)
    assert cli("train", "--resume", run).code == 0
    assert any(stop % 1200 for stop in stops), "none came between two lines"

    def told(folder):
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]

    (other,) = (tmp_path / "whole").iterdir()
    assert len(told(other)) == 20 and told(run) == told(other)
    generators = [(folder / "generator.safetensors").read_bytes() for folder in (run, other)]
    assert generators[0] == generators[1]


def test_checkpoints_add_no_lines(tmp_path):
    whole = trained_in(tmp_path / "whole")
    often = trained_in(tmp_path / "often", checkpoint={"images": 48, "minutes": 0})
    assert whole[0] == often[0]


# 6: scores.


class Mean(Metric):
    def measure(self, real, fake):
        return {"value": float(fake.mean())}


class Told(Tracker):
    def __init__(self):
        self.scores = []

    def score(self, scores, images):
        self.scores.append((dict(scores), images))


@pytest.mark.parametrize("every", [0, 64, 640])
def test_scores_end_in_the_generator_file_and_are_told(every, tmp_path):
    """640 images meet a checkpoint every 64, as 100k meet one every 50k."""
    parts = pipeline(checkpoint={"images": every, "minutes": 0})
    parts.metrics = {"mean": Mean(parts.spec, count=8)}
    told = Told()
    training = Training(parts, tmp_path, [told])
    training.run()
    ((scores, images),) = told.scores
    assert images == 640 and scores == training.scores and "mean.value" in scores
    with safe_open(tmp_path / "generator.safetensors", "pt") as file:
        assert json.loads(file.metadata()["ganzoo"])["scores"] == scores


def test_a_metric_that_fails_at_the_end_loses_nothing(tmp_path):
    class Fails(Metric):
        def measure(self, real, fake):
            raise ValueError("no")

    parts = pipeline()
    parts.metrics = {"fails": Fails(parts.spec, count=8)}
    with pytest.raises(ValueError, match="no"):
        Training(parts, tmp_path).run()
    assert checkpoint.find(tmp_path).manifest["images"] == 640


# 7: what kills leave is cleaned.


def test_broken_checkpoints_and_temporary_files_are_cleaned(tmp_path):
    state = {"counters": {"images": 1}, "generator": {"weight": torch.ones(3)}}
    for images in (100, 200, 300, 400):
        checkpoint.save(tmp_path / "checkpoints" / f"{images:09d}", state, {"images": images})
    for images in (200, 300, 400):
        (tmp_path / "checkpoints" / f"{images:09d}" / "manifest.json").unlink()
    assert checkpoint.newest(tmp_path, lambda line: None)[1]["images"] == 100
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["000000100", "000000400.broken"], "the newest broken one, until a good one is"
    for place in (".", "checkpoints/000000100", "checkpoints/000000400.broken", "samples"):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / ".x.safetensors.123.tmp").write_text("half")
    checkpoint.sweep(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))
    checkpoint.save(tmp_path / "checkpoints" / "000000200", state, {"images": 200})
    checkpoint.prune(tmp_path, 2)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["000000100", "000000200"]


def test_an_old_checkpoint_that_cannot_be_deleted_stops_nothing(tmp_path, monkeypatch):
    state = {"counters": {"images": 1}, "generator": {"weight": torch.ones(3)}}
    for images in (100, 200):
        checkpoint.save(tmp_path / "checkpoints" / f"{images:09d}", state, {"images": images})

    def fails(*given, **more):
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "rmdir", fails)
    checkpoint.prune(tmp_path, 1)
    assert checkpoint.newest(tmp_path, print)[1]["images"] == 200
    old = tmp_path / "checkpoints" / "000000100"
    assert old.is_dir() and not (old / "manifest.json").exists(), "and it looks whole no more"


def test_a_resume_takes_away_what_a_killed_process_could_not(run, cli):
    newest = run / "checkpoints" / "000000256"
    keep = configuration.defaults()["checkpoint"]["keep"]
    for images in range(0, 256, 32):
        shutil.copytree(newest, newest.with_name(f"{images:09d}"))
    broken = newest.with_name("000000300.broken")
    shutil.copytree(newest, broken)
    done = cli("train", "--resume", run)
    assert done.code == 0 and "has shown its 256 images already" in done.err, done.err
    left = sorted(path.name for path in newest.parent.iterdir())
    whole = [f"{images:09d}" for images in range(0, 257, 32)]
    assert left == [*whole[-keep:], "000000300.broken"]


# 8: what cannot be read is not damaged.


@pytest.fixture
def sick_disk(monkeypatch):
    """A disk that fails so many reads with an error; returns the counter of those to come."""
    left = [0]
    monkeypatch.setattr(checkpoint, "PAUSES", (0.0, 0.0))
    read, opened = checkpoint.inside.read, checkpoint.inside.open_file

    def failing(read):
        def wrapped(*arguments):
            if left[0] > 0:
                left[0] -= 1
                raise OSError(errno.EIO, "Input/output error")
            return read(*arguments)

        return wrapped

    monkeypatch.setattr(checkpoint.inside, "read", failing(read))
    monkeypatch.setattr(checkpoint.inside, "open_file", failing(opened))
    return left


def test_a_read_error_is_no_damage(run, sick_disk, cli):
    before = content(run)
    sick_disk[0] = 2
    assert resuming.open_run(run).manifest is not None, "tried again"
    sick_disk[0] = 99
    with pytest.raises(GanzooError, match="cannot be read: Input/output error") as caught:
        checkpoint.newest(run, print)
    assert caught.value.remedy and not isinstance(caught.value, BadRun)
    sick_disk[0] = 99
    done = cli("train", "--resume", run)
    assert done.code == 1 and "Input/output error" in done.err and "--from-scratch" not in done.err
    sick_disk[0] = 99
    checkpoint.prune(run, 1)
    assert content(run) == before


def test_a_folder_that_cannot_be_listed_is_not_empty(run, monkeypatch, cli):
    def scandir(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(checkpoint.inside.os, "scandir", scandir)
    done = cli("train", "--resume", run)
    assert done.code == 1 and "Input/output error" in done.err, done.err
