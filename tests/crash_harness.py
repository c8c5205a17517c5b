"""Kills trainings with SIGKILL, at random times and at every named stage of saving, and checks what is left.

Run it: python tests/crash_harness.py [TRIALS]. It imports torch once and forks a child for each trial; a child trains, resumed
from what the last one left, and tells through a pipe which checkpoints are committed. After each kill the newest whole
checkpoint must be at least as new as the last one that was committed; at the end the finished run must equal, bit for bit, one
that was never killed. Prints the faults survived and tried, as JSON.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

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
        "train": {"images": images, "batch_size": BATCH},
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


if __name__ == "__main__":
    result = main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    print(json.dumps(result))
