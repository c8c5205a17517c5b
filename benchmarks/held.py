"""Is this checkout as fast as an older one? `python -m benchmarks.held --before COMMIT` tells.

The commit is checked out beside, each of both trees is installed into a virtual environment of its
own over the packages of this one, and both take turns at the same commands, each in a process of
its own with one thread. CPU seconds are compared, which a busy machine changes less than the clock.
With `--kernels` nothing is timed: counted is what the compiler makes of an update of each side.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import torch

from ganzoo.bench.machine_limits import machine

from . import tables

ROOT = Path(__file__).resolve().parents[1]
WARM = 40  # steps of the optimizers, of which the first compile
# Of `ganzoo train` with what is given: CPU seconds from the start of the process to the first
# step of an optimizer in the run, and of an update in the `seconds` after the first WARM. A step
# before there is a run folder is one of a rehearsal.
PROBE = """
import json, os, sys, time
out, seconds, warm = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
from torch.optim.optimizer import register_optimizer_step_post_hook
import torch._dynamo  # as every optimizer of torch does
imported, steps = time.process_time(), []
def stepped(*_):
    if steps or os.path.isdir("runs"):
        steps.append(time.process_time())
    later = steps[warm:]
    if steps and (not seconds or later and later[-1] - later[0] >= seconds):
        each = (later[-1] - later[0]) / (len(later) - 1) if later else 0.0
        from torch._inductor import metrics
        from torch._dynamo.utils import counters
        found = {"start": steps[0], "ours": steps[0] - imported, "update": each}
        found["kernels"] = metrics.generated_kernel_count
        found["calls"] = counters["inductor"]["extern_calls"]
        with open(out, "w") as file:
            json.dump(found, file)
        os._exit(0)
register_optimizer_step_post_hook(stepped)
sys.argv = ["ganzoo", "train", *sys.argv[4:]]
import ganzoo_plugins.vanilla.nets as nets
if hasattr(nets, "Frame"):  # points in units of the data's deviation, which the older tree has not
    nets.Frame = lambda spec: None
from ganzoo.cli import main
main()
"""
MLP = "--gen mlp --data ring --batch-size 256 --set gen.width=128 --set disc.width=128"
DCGAN = "--gen dcgan --resolution 32 --batch-size 64 --set gen.width=8 --set disc.width=8"
UNLABELLED = "--set gen.labels=false --set disc.labels=false"
# What each tree is asked for, and what only the newer one can be, so that the nets are the same.
TRAININGS = {
    "mlp on ring, nonsat, gp": (
        f"{MLP} --set gen.depth=5 --loss nonsat --reg gp",
        "--set disc.waves=0",
    ),
    "dcgan, nonsat": (f"{DCGAN} --loss nonsat --reg none", UNLABELLED),
    "dcgan, nonsat, gp": (f"{DCGAN} --loss nonsat --reg gp", UNLABELLED),
    "dcgan, rpgan, r1, r2": (f"{DCGAN} --loss rpgan --reg r1 --reg r2", UNLABELLED),
}
ALIKE = "--precision fp32 --images 1000M --engine"
START = "start"
Pair = list[dict[str, float]]  # what was found in both trees


def installed(tree: Path, folder: Path) -> Path:
    """The Python of a new virtual environment with the tree's ganzoo over the packages of this."""
    venv.create(folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = next(folder.rglob("site-packages"))
    packages = [path for path in sys.path if path.endswith("-packages")]
    (site / "around.pth").write_text("\n".join(packages), "utf-8")
    options = ["-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([python, "-m", "pip", "install", *options, "-e", tree], check=True)
    return python


def measured(python: Path, arguments: list[str], seconds: float) -> dict[str, float]:
    """What the probe finds, in an empty folder and a process of its own, in which everything is
    compiled anew, since only that is counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "found.json")
        command = [python, "-c", PROBE, out, str(seconds), str(WARM), *arguments]
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": "",
            "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        }
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if not out.exists():
            raise SystemExit(f"{python}: {' '.join(arguments)}: {done.stdout}{done.stderr}")
        found: dict[str, float] = json.loads(out.read_text("utf-8"))
    return found


def row(name: str, key: str, unit: float, turns: list[Pair]) -> list[str]:
    """The medians of both sides, the median ratio of the turns, and its range."""
    medians = [statistics.median(pair[side][key] for pair in turns) * unit for side in (0, 1)]
    ratios = sorted(before[key] / now[key] for before, now in turns)
    cells = [*(f"{value:.2f}" for value in medians), f"{statistics.median(ratios):.2f}"]
    return [name, *cells, f"{ratios[0]:.2f} to {ratios[-1]:.2f}"]


def markdown(found: dict[str, list[Pair]]) -> str:
    """The start in two rows, and a row for each training."""
    rows = []
    if START in found:
        rows.append(row("start, s", "start", 1.0, found[START]))
        rows.append(row("start, ganzoo's own, s", "ours", 1.0, found[START]))
    for name, turns in found.items():
        if name != START:
            rows.append(row(f"{name}, ms an update", "update", 1000.0, turns))
    return tables.table(["CPU time", "before", "now", "before / now", "of the turns"], rows)


def counted(found: dict[str, list[Pair]]) -> str:
    """What the compiler made of the updates in both trees."""
    heads = ["compiled", "kernels before", "now", "calls of libraries before", "now"]
    rows = [
        [name, *(f"{side[key]:.0f}" for key in ("kernels", "calls") for side in turns[0])]
        for name, turns in found.items()
    ]
    return tables.table(heads, rows)


def asked_for(given: argparse.Namespace) -> dict[str, tuple[str, str]]:
    """The rows of the table: what both trees are asked for, and what the newer one besides."""
    rows = {} if given.kernels else {START: ("--engine eager", "")}
    for engine in ["compiled"] if given.kernels else given.engines.split(","):
        for name, (asked, besides) in TRAININGS.items():
            rows[f"{name}, {engine}"] = f"{asked} {ALIKE} {engine}", besides
    return {name: row for name, row in rows.items() if given.only in name}


def compared(given: argparse.Namespace) -> dict[str, list[Pair]]:
    """Each row in both trees, turn by turn."""
    found: dict[str, list[Pair]] = {}
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder, "before")
        git = ["git", "-C", ROOT, "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", old, given.before], check=True)
        try:
            trees = {"old": old, "new": ROOT}
            pythons = [installed(tree, Path(folder, name)) for name, tree in trees.items()]
            for turn in range(1 if given.kernels else given.turns):
                for name, (asked, besides) in asked_for(given).items():
                    seconds = 0.0 if name == START else given.seconds
                    commands = [asked.split(), f"{asked} {besides}".split()]
                    pair = [measured(*p, seconds) for p in zip(pythons, commands, strict=True)]
                    found.setdefault(name, []).append(pair)
                    print(turn, name, pair, flush=True)
        finally:
            subprocess.run([*git, "remove", "--force", old], check=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of CPU time, of a training")
    parser.add_argument("--engines", default="eager,compiled", help="by comma")
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose name has it")
    parser.add_argument("--document", type=Path, help="write the table between its marks")
    parser.add_argument("--kernels", action="store_true", help="count them; time nothing")
    given = parser.parse_args()
    found = compared(given)
    about = machine(torch.device("cpu"))
    where = f"{about['device']}, torch {about['torch']}, {about['date']}"
    turns = "" if given.kernels else f"{given.turns} turns; "
    table = counted(found) if given.kernels else markdown(found)
    text = f"{given.before} before; {turns}{where}.\n\n{table}"
    print(text)
    if given.document:
        tables.write(given.document, "kernels" if given.kernels else "held", text)


if __name__ == "__main__":
    main()
