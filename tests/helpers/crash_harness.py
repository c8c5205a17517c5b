"""Kills trainings with SIGKILL, at random times and at
every named stage of saving, and checks what is left.

Run it: python tests/helpers/crash_harness.py [TRIALS], or with `whole [TRIALS]`. It imports torch
once and forks a child for each trial; a child trains, resumed from what the last one left, and
tells through a pipe which checkpoints are committed. After each kill the newest whole checkpoint
must be at least as new as the last one that was committed; at the end the finished run must equal,
bit for bit, one that was never killed. Prints the faults survived and tried, as JSON.

With `whole`, what is killed is the whole of `ganzoo train --resume`, and what is counted is what
lies in the run folder.
"""

import contextlib
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from ganzoo import cli
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.io import checkpoints as checkpoint
from ganzoo.io import files
from ganzoo.training import log_file as logbook
from ganzoo.training.loop import Training

BATCH, EVERY = 16, 64
STAGES = (
    "before discriminator",
    "within",
    "before fsync",
    "before rename",
    "between files",
    "before the manifest",
    "after the manifest",
)


def config(images):
    tree = {
        "gen": {"name": "mlp", "width": 16, "depth": 1},
        "disc": {"width": 16, "depth": 1},
        "data": {"resolution": 8},
        # A trial by the clock would choose bf16 in one training and not in the next.
        "train": {"images": images, "batch_size": BATCH, "precision": "fp32"},
        "checkpoint": {"images": EVERY, "keep": 2},
        "samples": {"images": 10**9, "count": 4},
        "log": {"images": 256},
    }
    return configuration.check(configuration.merge(configuration.defaults(), tree))


def resumed(folder, images):
    training = Training(assemble(config(images), zoo().registry), folder)
    found = checkpoint.newest(folder, lambda line: None)
    if found:
        training.load_state_dict(found[0])
        logbook.forget_after(folder, training.images)
    return training


def child(folder, images, pipe, kill_at):
    """Train; die at the n-th passing of a stage if told so; report every commit."""
    left = [kill_at[1]] if kill_at else [0]
    real = checkpoint.save

    def stage(name):
        if kill_at and name.startswith(kill_at[0]):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def save(path, state, about):
        real(path, state, about)
        os.write(pipe, f"{path.name}\n".encode())

    files.stage, checkpoint.save = stage, save
    resumed(folder, images).run()
    os._exit(0)


def trial(folder, images, chance, kill_at):
    """One kill; returns (died as planned, what was committed, what is the newest afterwards)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            child(folder, images, writer, kill_at)
        finally:
            os._exit(3)
    os.close(writer)
    if kill_at is None:
        time.sleep(chance.uniform(0.2, 1.2))
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reader) as lines:
        committed = [int(line) for line in lines.read().split()]
    found = checkpoint.newest(folder, lambda line: None)
    return os.WIFSIGNALED(status), max(committed, default=0), found[1]["images"] if found else 0


def main(trials):
    torch.set_num_threads(1)  # a forked child has no thread pool
    chance = random.Random(0)
    survived = deaths = last = 0
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "run"
        folder.mkdir()
        goal = 10**6  # never reached by a child that is killed
        for n in range(trials):
            kill_at = (STAGES[n // 2 % len(STAGES)], chance.randint(1, 3)) if n % 2 else None
            died, committed, newest = trial(folder, goal, chance, kill_at)
            deaths += died
            survived += newest >= max(last, committed)
            last = newest
        end = (last // BATCH + 8) * BATCH  # finish what is left, then the same without any kill
        killed = resumed(folder, end)
        killed.run()
        (Path(root) / "whole").mkdir()
        whole = resumed(Path(root) / "whole", end)
        whole.run()
        equal = all(
            torch.equal(value, killed.state_dict()[group][name])
            for group, content in whole.state_dict().items()
            for name, value in content.items()
            if isinstance(value, torch.Tensor)
        )
        checkpoint.sweep(folder)
        leftovers = [p.name for p in folder.rglob("*.tmp")]
    return {
        "tried": trials,
        "killed": deaths,
        "survived": survived,
        "images": end,
        "equal to an unkilled run": equal,
        "leftovers": leftovers,
    }


# What kills leave behind.


SMALL = ["--gen", "mlp", "--data", "ring", "--device", "cpu", "--engine", "eager"]
SMALL += ["--batch-size", "16", "--set", "gen.width=8", "--set", "disc.width=8"]
SMALL += ["--set", "checkpoint.images=64", "--set", "checkpoint.keep=2"]
SMALL += ["--set", "samples.images=160", "--set", "log.images=160"]


def doomed(command, kill_at, delay, modules):
    """In a child: run a command; so many stages of writing from its start, a thread kills the
    process within `delay` seconds. If it comes to its end, what it has imported is written down.
    """
    passed = 0

    def stage(name):
        nonlocal passed
        passed += 1
        if passed == kill_at:
            threading.Thread(target=die, daemon=True).start()
            time.sleep(delay / 2)  # now and then it dies right here

    def die():
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    files.stage = stage
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    code = cli.run([str(word) for word in command])
    modules.write_text("\n".join(sys.modules))
    os._exit(code)


def in_child(command, modules, kill_at=0, delay=0.0):
    """Whether the command, in a child of its own, was killed; any other error is a failure."""
    pid = os.fork()
    if pid == 0:
        try:
            doomed(command, kill_at, delay, modules)
        finally:
            os._exit(3)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0, f"exit {os.WEXITSTATUS(status)} of {command}"
    return os.WIFSIGNALED(status)


def lying(run):
    """How many checkpoints, broken checkpoints and temporary files a run folder holds."""
    names = [path.name for path in (run / "checkpoints").iterdir()]
    return {
        "checkpoints": sum(name.isdecimal() for name in names),
        "broken": sum(name.endswith(".broken") for name in names),
        "temporary": sum(1 for path in run.rglob(".*.tmp")),
        "others": sum(not name.removesuffix(".broken").isdecimal() for name in names),
    }


def whole(trials):
    """Kill `ganzoo train --resume` so often, then let it come to
    its end; returns what lay in the folder meanwhile and at last.
    """
    torch.set_num_threads(1)  # a forked child has no thread pool
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as root:
        modules, runs = Path(root) / "modules", Path(root) / "runs"
        assert not in_child(["train", *SMALL, "--images", 192, "--out", runs], modules)
        for name in modules.read_text().split():  # once, here, and not in each child
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        (run,) = runs.iterdir()
        found = []
        for n in range(trials):
            images = 192 + 640 * (n + 1)  # ten checkpoints more, of which it writes some
            command = ["train", "--resume", run, "--images", images]
            at, delay = chance.randint(2, 60), chance.choice([0.0, 0.01, 0.1])
            killed = in_child(command, modules, at, delay)
            found.append({"killed": killed, **lying(run)})
        assert not in_child(["train", "--resume", run, "--images", images + 640], modules)
        after = lying(run)
    kinds = ("checkpoints", "broken", "temporary", "others")
    return {
        "tried": trials,
        "killed": sum(one["killed"] for one in found),
        "most at once": {kind: max(one[kind] for one in found) for kind in kinds},
        "after the last kill": {kind: found[-1][kind] for kind in kinds},
        "after the end": after,
    }


if __name__ == "__main__":
    given = sys.argv[1:]
    kills = whole if given[:1] == ["whole"] else main
    print(json.dumps(kills(int(given[-1]) if given and given[-1].isdecimal() else 100)))
