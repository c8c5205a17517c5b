"""Trainings under torchrun: started, watched, ended."""

import json
import os
import subprocess
import sys
import time

import psutil

from ganzoo.errors import GanzooError

TINY = ["--data", "ring", "--gen", "mlp", "--disc", "mlp", "--loss", "hinge", "--batch-size", "16"]
TINY += ["--set", "gen.width=8", "--set", "disc.width=8", "--set", "samples.count=4"]


def torchrun(folder, *flags, ranks=2, restarts=0, command="train", **environment):
    """A training under torchrun, or another command, started; with what it says."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks)]
    launcher += ["--max-restarts", str(restarts), "--standalone", "-m", "ganzoo", command]
    return subprocess.Popen(
        [*launcher, *map(str, flags)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GANZOO_WAIT_MINUTES": "2"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(process, seconds=240):
    """(exit code, output) of a training; no process of it is left."""
    text = process.communicate(timeout=seconds)[0]
    left = [p for p in psutil.process_iter(["pid"]) if _session(p.pid) == process.pid]
    assert not left, left
    return process.returncode, text


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def only_run(folder):
    """The one run that there is."""
    (run,) = (p for p in (folder / "runs").iterdir() if not p.name.startswith("."))
    return run


def lines(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def errors_in(text):
    return sum(line.startswith("Error: ") for line in text.splitlines())


def saved(folder):
    found = list((folder / "runs").glob("*/checkpoints/*/manifest.json"))
    return found if len(found) > 0 else None


def ranks_of(process):
    """The processes of the ranks, by number."""
    found = {}
    for child in psutil.Process(process.pid).children():
        try:
            found[int(child.environ()["RANK"])] = child.pid
        except (psutil.Error, KeyError):
            continue
    return found


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.2)
    raise GanzooError("waited for too long")
