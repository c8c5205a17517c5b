"""What the steps of benchmarks.gpu_first do, each in a process
of its own: they measure, and check what can be checked.

A step returns what goes into its JSON; `checks` names what must hold.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganzoo import config as configuration
from ganzoo.assembly import memory as memory_module
from ganzoo.assembly.assembling import assemble
from ganzoo.bench.speed import bare_step
from ganzoo.bench.timing import Laps, Ticking, Variant, repeated, wait
from ganzoo.components.loading import zoo
from ganzoo.config.tree import Config
from ganzoo.training import run_folder as runs
from ganzoo.training.loop import Training
from ganzoo.training.spacing import Spacing

from . import pictures, steps

TARGETS = {64: 38_000, 1024: 100_000}  # images/s of a bare step that counting promises on an H200


@dataclass(frozen=True)
class Sizes:
    """How large things are: as in the tables on a GPU, tiny in a rehearsal."""

    device: str
    size: int
    width: int
    small: int  # batches
    large: int
    huge: int
    images: int
    updates: int

    @staticmethod
    def of(device: str) -> Sizes:
        if device == "cuda":
            return Sizes("cuda", 64, 64, 64, 1024, 4096, 200_000, 300)
        return Sizes("cpu", 16, 8, 8, 16, 32, 512, 8)

    def config(self, out: Path, batch: int, **sections: Any) -> Config:
        """dcgan with the defaults of `ganzoo train`, on pictures."""
        tree = {
            "gen": {"name": "dcgan", "width": self.width},
            "disc": {"width": self.width},
            "loss": {"name": "nonsat"},
            "data": {"name": str(pictures.find_or_make(out)[0]), "resolution": self.size},
            "train": {"batch_size": batch, "device": self.device, "images": self.images},
        }
        return configuration.check(
            configuration.merge(configuration.merge(configuration.defaults(), tree), sections)
        )

    def training(self, config: Config, **given: Any) -> Training:
        return Training(assemble(config, zoo().registry), **given)


def has_cuda() -> bool:
    """Asked in a process of its own, so that this one opens no context on the card."""
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def versions(sizes: Sizes, out: Path) -> dict[str, Any]:
    """What is installed, and a tiny compilation: Triton needs a C compiler."""
    x = torch.randn(64, 64, device=sizes.device)
    compiled = torch.compile(lambda t: (t @ t).relu().sum(), fullgraph=True)
    near = torch.isclose(compiled(x), (x @ x).relu().sum(), rtol=1e-2)
    found: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version()}
    if sizes.device == "cuda":
        found |= {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        found |= {"cudnn": torch.backends.cudnn.version(), "free": torch.cuda.mem_get_info()}
        asked = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm", "--format=csv,noheader"]
        found["driver"] = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return {**found, "checks": {"compiles": bool(near)}}


def train(sizes: Sizes, out: Path) -> dict[str, Any]:
    """`ganzoo train` with its defaults in a run folder: no
    falling back, no compilation after the first, four recordings.
    """
    torch._logging.set_logs(recompiles=True)
    said: list[str] = []
    config = sizes.config(out, sizes.small)
    folder = runs.new_folder(out / "runs", config)
    training = sizes.training(config, folder=folder, tell=said.append)
    runs.describe(folder, training.pipeline, "benchmarks.gpu_first")
    training.run()
    lines = [json.loads(text) for text in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    recordings = sum(len(captured.graphs) for captured in training.engine.captured.values())
    checks = {"did not fall back": training.engine.mode == training.pipeline.engine}
    if sizes.device == "cuda":
        checks |= {"four recordings": recordings == 4}
        checks |= {"bf16": training.pipeline.parts.precision == "bf16"}
    return {
        "run": str(folder),
        "said": [*training.pipeline.notes, *said],
        "engine": training.engine.mode,
        "recordings": recordings,
        "precision": training.pipeline.parts.precision,
        "last": lines[-1],
        "checks": checks,
    }


def bare(sizes: Sizes, out: Path) -> dict[str, Any]:
    """Images/s of the bare step, with cuDNN's trials and
    without, and with inductor's combined kernels for small ones.
    """
    rows = []
    for batch in (sizes.small, sizes.large):
        for trials, combined in ((True, False), (False, False), (True, True)):
            with torch._inductor.config.patch(combo_kernels=combined):
                training = sizes.training(sizes.config(out, batch))
                torch.backends.cudnn.benchmark = trials and sizes.device == "cuda"
                seconds = median_update(training, sizes.updates)
            row = {"batch": batch, "cudnn_trials": trials, "combined_kernels": combined}
            rows.append(
                {**row, "engine": training.engine.mode, "images_per_second": batch / seconds}
            )
            print(rows[-1], flush=True)
            steps.fresh_start()
    best = (
        {b: max(r["images_per_second"] for r in rows if r["batch"] == b) for b in TARGETS}
        if (sizes.device == "cuda")
        else {}
    )
    checks = {
        f"{target:,} images/s at {b}": best[b] >= target
        for b, target in TARGETS.items()
        if b in best
    }
    return {"rows": rows, "checks": checks}


def median_update(training: Training, updates: int) -> float:
    """Seconds of an update, by the device's own clock."""
    laps = Laps(training.pipeline.device)
    variant = Variant("bare", 1, repeated(bare_step(training), laps), laps)
    variant.warm_up()
    laps.clear()
    variant.run(updates)
    wait(training.pipeline.device)
    training.feed.close()
    return statistics.median(laps.seconds())


def kernels(sizes: Sizes, out: Path) -> dict[str, Any]:
    """The kernels of a bare step at the large batch, by time;
    changes of layout, casts and memsets among them by name.
    """
    data = str(pictures.find_or_make(out)[0])
    setting = steps.Setting(data, sizes.size, sizes.width, 10**9, sizes.device)
    found = {kind: steps.hot_spots(setting, kind, sizes.large, 40) for kind in ("none", "gp")}
    words = ("nchwToNhwc", "nhwcToNchw", "Memset", "_to_copy")
    suspects = {
        word: sum(row["ms"] for row in found["none"] if word.lower() in row["name"].lower())
        for word in words
    }
    return {**found, "suspect_ms": suspects, "checks": {}}


def writer(sizes: Sizes, out: Path) -> dict[str, Any]:
    """Mean against median update of a training with checkpoints
    and pictures as often as they are due by images, and without.
    """
    rows = {}
    for name, every in (("with", sizes.images // 4), ("without", 10**9)):
        sections = {"checkpoint": {"images": every}, "samples": {"images": every}}
        config = sizes.config(out, sizes.small, **sections)
        ticking = Ticking(torch.device(sizes.device))
        folder = runs.new_folder(out / "runs", config)
        training = ticking.training = sizes.training(config, folder=folder, tick=ticking.tick)
        runs.describe(folder, training.pipeline, "benchmarks.gpu_first")
        training.checkpoints, training.pictures = Spacing(0.0), Spacing(0.0)
        ticking.run(5)
        ticking.laps.clear()
        ticking.run(sizes.images // sizes.small)
        laps = ticking.laps.seconds()
        rows[name] = {"mean": statistics.mean(laps), "median": statistics.median(laps)}
        rows[name]["longest"] = max(laps)
        steps.fresh_start()
    cost = rows["with"]["mean"] / rows["without"]["mean"] - 1
    return {"rows": rows, "cost_of_writing": cost, "checks": {}}


def memory(sizes: Sizes, out: Path, batch: int) -> dict[str, Any]:
    """What a training holds at most beside what was estimated."""
    training = sizes.training(sizes.config(out, batch))
    pipeline = training.pipeline
    estimate = memory_module.estimate(pipeline)
    needed = memory_module.needed(pipeline, estimate)
    if sizes.device != "cuda":
        return {"batch": batch, "estimate": estimate, "needed": needed, "checks": {}}
    torch.cuda.reset_peak_memory_stats()
    training.goal = batch * 12
    training.run()
    reserved, allocated = torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated()
    return {
        "batch": batch,
        "estimate": estimate,
        "needed": needed,
        "max_reserved": reserved,
        "max_allocated": allocated,
        "checks": {
            "a fifth around what is allocated": abs(estimate["total"] / allocated - 1) <= 0.2,
            "what is asked for is enough": needed >= reserved,
        },
    }


def memory_small(sizes: Sizes, out: Path) -> dict[str, Any]:
    return memory(sizes, out, sizes.small)


def memory_large(sizes: Sizes, out: Path) -> dict[str, Any]:
    return memory(sizes, out, sizes.large)


def memory_huge(sizes: Sizes, out: Path) -> dict[str, Any]:
    return memory(sizes, out, sizes.huge)


def resume(sizes: Sizes, out: Path, device: str = "") -> dict[str, Any]:
    """The run of the step `train` trained on, by the command that a person types."""
    run = Path(json.loads((out / "05-train.json").read_text("utf-8"))["run"])
    before = images_of(run)
    more = sizes.small * (10 if device else 100)
    words = ["train", "--resume", str(run), "--images", str(before + more)]
    code = "from ganzoo.cli import main; main()"
    device = device or sizes.device
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--device", device],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    print(done.stdout, done.stderr)
    goes_on = done.returncode == 0 and images_of(run) >= before + more
    return {"images": images_of(run), "said": done.stderr[-2000:], "checks": {"goes on": goes_on}}


def resume_on_cpu(sizes: Sizes, out: Path) -> dict[str, Any]:
    return resume(sizes, out, "cpu")


def images_of(run: Path) -> int:
    """Images of the last line of a run's log."""
    return int(json.loads((run / "log.jsonl").read_text("utf-8").splitlines()[-1])["images"])
