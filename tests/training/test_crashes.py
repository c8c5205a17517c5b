"""Saving and loading under faults: kills at every stage,
and every sort of damage to the newest checkpoint.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganzoo.errors import BadFile, BadRun
from ganzoo.io import checkpoints as checkpoint
from ganzoo.io import files
from ganzoo.training.run_folder import Lock


def state(value):
    return {
        "generator": {"weight": torch.full((40, 40), float(value))},
        "optim": {"state.0.step": torch.tensor(3.0), "groups": [{"lr": 1e-3}]},
        "counters": {"images": value},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for images in (100, 200):
        checkpoint.save(folder / "checkpoints" / f"{images:09d}", state(images), {"images": images})
    return folder


def survives(run, tmp_path, damage):
    """Whether the older checkpoint is taken, and a line
    says why, after `damage` was done to the newest.
    """
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    damage(copy / "checkpoints" / "000000200")
    said = []
    found, manifest = checkpoint.newest(copy, said.append)
    assert manifest["images"] == 100 and torch.equal(
        found["generator"]["weight"], state(100)["generator"]["weight"]
    )
    assert (
        len(said) == 1
        and said[0].startswith("checkpoint 000000200 is broken: ")
        and "\n" not in said[0]
    )
    assert (copy / "checkpoints" / "000000200.broken").is_dir()


FILES = ("net_gen.safetensors", "optim.safetensors", "manifest.json")


def test_truncation_is_found(run, tmp_path):
    for n in range(20):
        name = FILES[n % 3]

        def cut(folder, name=name, n=n):
            content = (folder / name).read_bytes()
            (folder / name).write_bytes(content[: len(content) * n // 20])

        survives(run, tmp_path, cut)


def test_flipped_bits_are_found(run, tmp_path):
    chance = random.Random(0)
    for n in range(200):

        def flip(folder, name=FILES[n % 3]):
            content = bytearray((folder / name).read_bytes())
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            (folder / name).write_bytes(content)

        survives(run, tmp_path, flip)


@pytest.mark.parametrize("name", FILES)
def test_missing_and_empty_files_are_found(run, tmp_path, name):
    survives(run, tmp_path, lambda folder: (folder / name).unlink())
    survives(run, tmp_path, lambda folder: (folder / name).write_bytes(b""))


def test_swapped_files_are_found(run, tmp_path):
    def within(folder):
        a, b = folder / FILES[0], folder / FILES[1]
        content = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(content)

    survives(run, tmp_path, within)
    survives(
        run,
        tmp_path,
        lambda folder: shutil.copy(folder.parent / "000000100" / FILES[0], folder / FILES[0]),
    )
    survives(run, tmp_path, lambda folder: (folder / FILES[0]).rename(folder / "other.safetensors"))


def test_manifest_cannot_name_files_outside(run, tmp_path):
    def outside(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"] = {
            "../000000100/net_gen.safetensors": manifest["files"]["net_gen.safetensors"]
        }
        manifest["sha256"] = checkpoint._digest(manifest)
        (folder / "manifest.json").write_bytes(checkpoint._serialised(manifest))

    survives(run, tmp_path, outside)


def test_nothing_whole_is_nothing(tmp_path):
    assert checkpoint.newest(tmp_path, print) is None
    (tmp_path / "checkpoints" / "000000100").mkdir(parents=True)
    assert checkpoint.newest(tmp_path, print) is None


def test_pruning_keeps_the_last_whole_one(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    newest = copy / "checkpoints" / "000000200"
    (newest / "manifest.json").unlink()
    checkpoint.prune(copy, 1)
    assert checkpoint.newest(copy, print)[1]["images"] == 100
    checkpoint.save(copy / "checkpoints" / "000000300", state(300), {"images": 300})
    checkpoint.prune(copy, 1)
    assert [p.name for p in checkpoint.folders(copy)] == ["000000300"]


def test_unknown_format_is_named(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    folder = tmp_path / "copy" / "checkpoints" / "000000200"
    manifest = json.loads((folder / "manifest.json").read_text()) | {"format": 99}
    manifest["sha256"] = checkpoint._digest(manifest)
    (folder / "manifest.json").write_bytes(checkpoint._serialised(manifest))
    with pytest.raises(BadFile, match="format 99"):
        checkpoint.load(folder)


def test_one_training_a_run(tmp_path):
    """The second is refused while the first lives, also when it
    is another process; the lock of a dead one is no obstacle.
    """
    held = Lock(tmp_path)
    with pytest.raises(BadRun, match="another training"):
        Lock(tmp_path)
    held.release()
    program = f"""
from pathlib import Path
from ganzoo.training.run_folder import Lock
lock = Lock(Path({str(tmp_path)!r}))
print("held", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BadRun, match=f"process {other.pid}"):
            Lock(tmp_path)
        other.kill()
    Lock(tmp_path).release()


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """What reaches the disk below tmp_path, in order:
    ("sync", file or folder, its bytes) and ("rename", file).
    """
    told = []
    sync, replace = os.fsync, os.replace

    def note_sync(handle):
        found = os.fstat(handle)
        paths = [tmp_path, *tmp_path.rglob("*")]
        (path,) = (p for p in paths if os.path.samestat(p.stat(), found))
        told.append(("sync", path.name, None if path.is_dir() else path.read_bytes()))
        sync(handle)

    def note_rename(source, target):
        told.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_rename)
    return told


FOLDERS_ARE_SYNCED = hasattr(os, "O_DIRECTORY")


def committed(name, content, folder):
    """What a power cut cannot harm: all of a file on the
    disk, then its name, then the folder that holds the name.
    """
    steps = [("sync", f".{name}.{os.getpid()}.tmp", content), ("rename", name)]
    return [*steps, ("sync", folder, None)] if FOLDERS_ARE_SYNCED else steps


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path, journal):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    files.write_bytes(target, b"some new content")
    assert journal == committed("file", b"some new content", tmp_path.name)


def test_a_manifest_is_the_last_to_reach_the_disk(tmp_path, journal):
    folder = tmp_path / "run" / "checkpoints" / "000000100"
    checkpoint.save(folder, state(100), {"images": 100})
    names = ["net_gen.safetensors", "optim.safetensors", "manifest.json"]
    wanted = [("sync", "run", None), ("sync", "checkpoints", None)] * FOLDERS_ARE_SYNCED
    for name in names:
        wanted += committed(name, (folder / name).read_bytes(), "000000100")
    assert journal == wanted


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a child for each trial")
def test_kills(capsys):
    """A hundred SIGKILLs, half of them at named stages of saving."""
    harness = Path(__file__).parents[1] / "helpers" / "crash_harness.py"
    done = subprocess.run(
        [sys.executable, harness, "100"], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\nfaults survived / tried: {result['survived']} / {result['tried']}")
    assert result["survived"] == result["tried"] == 100
    assert result["killed"] >= 95
    assert result["equal to an unkilled run"] and not result["leftovers"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a child for each trial")
def test_sixty_kills_leave_nothing_behind(capsys):
    """Of the whole command, at stages of writing and up to
    a tenth of a second after; two checkpoints are kept.
    """
    harness = Path(__file__).parents[1] / "helpers" / "crash_harness.py"
    command = [sys.executable, harness, "whole", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n{result}")
    assert result["killed"] >= 55
    # A kill may leave what was being written and what
    # was about to go; the next resume takes it away.
    most = result["most at once"]
    assert most["checkpoints"] <= 4 and most["broken"] <= 1 and most["temporary"] <= 3
    clean = {"checkpoints": 2, "broken": 0, "temporary": 0, "others": 0}
    assert result["after the end"] == clean
