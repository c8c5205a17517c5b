"""Run folders from strangers: nothing in one is
followed out of it, waited for, or read beyond a limit.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
from fuzzing import little_memory, timed, watched
from hostile import refused, two_runs

from ganzoo.errors import BadFile, GanzooError
from ganzoo.io import checkpoints as checkpoint
from ganzoo.io import untrusted_folder as inside
from ganzoo.training import log_file as logbook
from ganzoo.training import resume as resuming

PLACES = (
    "run.toml",
    "log.jsonl",
    ".lock",
    ".lock-owner",
    "generator.safetensors",
    "real.png",
    "samples",
    "samples/000000032.png",
    "samples/other.png",
    "checkpoints",
    "checkpoints/000000032",
    "checkpoints/000000032.broken",
    "checkpoints/000000032/manifest.json",
    "checkpoints/000000032/net_gen.safetensors",
)
GIB = 1 << 30


def snapshot(folder):
    """Every name below, with the content, mode and time of files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (content, about.st_mode, about.st_mtime_ns)
    return found


@pytest.fixture
def outside(tmp_path):
    """A folder of somebody's, with what a run would like to delete, rename or overwrite."""
    folder = tmp_path / "outside"
    (folder / "000000016").mkdir(parents=True)
    (folder / "000000032").mkdir()
    for name in ("notes.txt", ".x.tmp", "000000016/mine.txt", "000000032/manifest.json"):
        (folder / name).write_text("mine")
    return folder


@pytest.fixture
def run(tmp_path):
    """A copy of a finished run."""
    return Path(shutil.copytree(two_runs() / "mlp", tmp_path / "run"))


def cleared(run, place):
    """The path of a place in the run, with nothing there."""
    path = run / place
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return path


def everything(cli, run):
    """Each command that touches a run folder; returns what they said."""
    more = ("--images", "64", "--device", "cpu")
    done = [
        cli("train", "--resume", run, *more),
        cli("generate", run, "--out", run.parent / "g.png"),
    ]
    for one in done:
        assert "unexpected" not in one.err and "Traceback" not in one.err, one.err
    return done


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
@pytest.mark.parametrize("place", PLACES)
def test_a_link_anywhere_is_refused_before_anything_is_written(run, outside, cli, place, kind):
    target = outside / {"file": "notes.txt", "folder": ".", "nothing": "not/there"}[kind]
    cleared(run, place).symlink_to(target.resolve())
    before, inner = snapshot(outside), snapshot(run)
    resumed, _ = everything(cli, run)
    assert resumed.code == 1 and resumed.err.startswith("Error: ") and place in resumed.err
    assert resumed.err.count("\n") == 1
    assert snapshot(outside) == before and snapshot(run) == inner


@pytest.mark.parametrize("place", PLACES)
def test_a_pipe_anywhere_is_refused_and_not_waited_for(run, cli, place):
    os.mkfifo(cleared(run, place))
    inner = set(snapshot(run))
    with refused():
        resuming.open_run(run)
    resumed, _ = everything(cli, run)
    assert resumed.code == 1 and place in resumed.err and resumed.err.count("\n") == 1
    assert set(snapshot(run)) == inner


@pytest.mark.parametrize("place", ["checkpoints", "samples"])
def test_a_link_that_comes_later_is_not_followed_either(run, outside, place):
    """Each function by itself, since the folder may change after it was looked through."""
    from ganzoo.assembly.assembling import assemble
    from ganzoo.components.loading import zoo
    from ganzoo.training.loop import Training

    config = resuming.open_run(run).config
    training = Training(assemble(config, zoo().registry), run)
    cleared(run, place).symlink_to(outside.resolve())
    before = snapshot(outside)
    for act in (
        lambda: checkpoint.prune(run, 1),
        lambda: checkpoint.newest(run, print),
        lambda: checkpoint.sweep(run),
        lambda: checkpoint.save(run / "checkpoints" / "000000064", training.state_dict(), {}),
        lambda: checkpoint.load(run / "checkpoints" / "000000032"),
        lambda: inside.listing(run / place, run),
    ):
        if place == "checkpoints":
            with pytest.raises(BadFile, match="a link"):
                act()
    if place == "samples":
        training.gallery.draw(training.images)
        with pytest.raises(BadFile, match="a link"):
            training.writer.wait()
    training.writer.close()
    assert snapshot(outside) == before


def test_a_second_name_of_a_file_is_not_written_through(run, outside, cli):
    os.link(outside / "notes.txt", cleared(run, ".lock"))
    assert "hard link" in everything(cli, run)[0].err
    (run / ".lock").unlink()
    os.link(outside / "notes.txt", cleared(run, "log.jsonl"))
    with refused(GanzooError, "hard link"):
        logbook.append(run, {"images": 1})
    assert everything(cli, run)[0].code == 0  # the log is written anew before it grows
    assert (outside / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("place", [p for p in PLACES if "." in p and "broken" not in p])
def test_a_file_of_twelve_gibibytes_is_not_read(run, cli, place):
    path = run / place
    os.truncate(path if path.exists() else Path(shutil.copy(run / "real.png", path)), 12 * GIB)
    if path.parent.name == "000000032":  # else its size alone would betray it
        resign(path)
    with watched(), little_memory(), timed(10):
        done = everything(cli, run)
    said = "".join(one.err for one in done)
    assert "Memory" not in said and "allocate" not in said
    if place in ("log.jsonl", "run.toml"):  # without the second, the checkpoint says what it said
        assert (done[0].code != 0) == (place == "log.jsonl")
        assert "larger than" in said and place in said


def resign(path):
    """Make a manifest that vouches for the file as it is, as an enemy could."""
    if path.name == "manifest.json":
        return
    manifest = json.loads((path.parent / "manifest.json").read_text())
    manifest["files"][path.name]["bytes"] = path.stat().st_size
    manifest["sha256"] = checkpoint._digest(manifest)
    (path.parent / "manifest.json").write_bytes(checkpoint._serialised(manifest))


def test_a_long_log_is_read_a_line_at_a_time(run):
    path = run / "log.jsonl"
    os.truncate(path, 900 << 20)
    with path.open("ab") as file:
        file.write(b"\n" + b'{"images": 16}\n' + b'{"images": 99}\n')
    own = list(path.open("rb").readline().splitlines())
    with watched(), little_memory():
        logbook.forget_after(run, 32)
    assert path.read_bytes().splitlines() == [*own, b'{"images": 16}']
