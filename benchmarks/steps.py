"""Whole trainings, as `ganzoo train` runs them, beside the
tutorial loop and beside the bare step of the same engine.
"""

from __future__ import annotations

import gc
import itertools
import math
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.bench import machine_limits as ceiling
from ganzoo.bench.speed import bare_step, measure
from ganzoo.bench.timing import Laps, Ticking, Variant, paired_ratio, repeated, wait
from ganzoo.cli._report import Reporter
from ganzoo.components.loading import zoo
from ganzoo.config.tree import Config
from ganzoo.training import run_folder as runs
from ganzoo.training.loop import Training

from .tutorial_loop import TutorialLoop

UPDATES = 204  # timed, at least, of every variant
CHECKPOINTS = 6  # written, at least, while a training is timed
KINDS: dict[str, dict[str, Any]] = {  # the tutorial loop's kinds, as sections of a configuration
    "none": {},
    "gp": {"reg": {"gp": {}}},
    "rpgan+r1+r2": {"loss": {"name": "rpgan"}, "reg": {"r1": {}, "r2": {}}},
    "sn": {"reg": {"sn": {}}},
}


@dataclass(frozen=True)
class Setting:
    """What the rows of a table have in common."""

    data: str
    size: int
    width: int
    every: int  # images between two grids, and between two checkpoints
    device: str

    def config(self, kind: str, batch: int) -> Config:
        """dcgan for one row; what is not named here is ganzoo's default."""
        tree = {
            "gen": {"width": self.width},
            "disc": {"width": self.width},
            "data": {"name": self.data, "resolution": self.size},
            "train": {"batch_size": batch, "device": self.device},
            "samples": {"images": self.every},
            "checkpoint": {"images": self.every},
        }
        return configuration.check(
            configuration.merge(configuration.merge(configuration.defaults(), tree), KINDS[kind])
        )


def whole(setting: Setting, kind: str, batch: int, folder: Path) -> dict[str, Any]:
    """One row: a training with everything that `ganzoo train`
    does beside the updates, the loop, and the bare step.
    """
    pipeline = assemble(setting.config(kind, batch), zoo().registry)
    device, precision = pipeline.device, pipeline.parts.precision
    run_folder = runs.new_folder(folder, pipeline.config)
    runs.describe(run_folder, pipeline, "benchmarks.speed")
    reporter, ticking = Reporter(pipeline), Ticking(device)

    def tick(images: int) -> None:
        ticking.tick(images)
        reporter.tick(images)

    training = ticking.training = Training(pipeline, run_folder, [reporter], tick)
    trained = Variant("train", batch, ticking.run, ticking.laps, precision)
    laps = Laps(device)
    bare = Variant("bare step", batch, repeated(bare_step(training), laps), laps, precision)
    plain = tutorial(setting, kind, batch, training)
    variants = [*plain, bare, trained]
    rounds = (
        3 if device.type == "cuda" else 12
    )  # a CPU's pace changes more, and its updates are long
    for variant in variants:
        variant.warm_up()
        variant.laps.clear()
        variant.block = math.ceil(UPDATES / rounds)
    trained.block = max(trained.block, math.ceil(CHECKPOINTS * setting.every / batch / rounds))
    for number in range(rounds):
        for variant in variants if number % 2 == 0 else reversed(variants):
            variant.turn()
    return {
        **asdict(setting),
        "data": Path(setting.data).name,
        "kind": kind,
        "batch": batch,
        "engine": training.engine.mode,
        "precision": precision,
        "way": pipeline.parts.differentiation if "reg" in KINDS[kind] and kind != "sn" else "",
        "loop": batch / plain[0].median,
        "loop_default": batch / plain[-1].median,
        "bare": batch / bare.median,
        "train": batch / trained.median,
        "train_mean": batch / trained.mean,
        "times_loop": paired_ratio(plain[0], trained, statistics.median),
        "of_bare": paired_ratio(bare, trained, statistics.median),
        "first_update_seconds": bare.first,
        "updates": min(len(variant.laps.seconds()) for variant in variants),
    }


def tutorial(setting: Setting, kind: str, batch: int, training: Training) -> list[Variant]:
    """The tutorial loop over batches of the same pictures,
    which lie on the device as float32 from the start.

    On a GPU twice: in fp32 throughout, and with PyTorch's
    default switches, by which convolutions run in TF32.
    """
    dataset, device = training.pipeline.dataset, training.pipeline.device
    pictures = dataset.batch(torch.arange(min(len(dataset), 8 * batch)))[0].to(device)
    loop = TutorialLoop(setting.size, dataset.samples.shape[1], setting.width, kind, device)
    places = itertools.cycle(range(0, len(pictures) - batch + 1, batch))

    def step() -> None:
        place = next(places)
        loop.step(pictures[place : place + batch])

    found = []
    for precision in ("fp32", "default") if device.type == "cuda" else ("fp32",):
        laps = Laps(device)
        found.append(Variant("tutorial loop", batch, repeated(step, laps), laps, precision))
    return found


def engines(setting: Setting, kind: str, batch: int, seconds: float) -> dict[str, Any]:
    """What `ganzoo bench` finds: of every engine
    without a penalty, of the device's usual one with.
    """
    usual = ["captured" if torch.device(setting.device).type == "cuda" else "eager"]
    found = measure(
        setting.config(kind, batch), zoo().registry, [] if kind == "none" else usual, seconds
    )
    return {**found, "kind": kind}


def hot_spots(setting: Setting, kind: str, batch: int, count: int = 12) -> list[dict[str, Any]]:
    """The kernels (on a CPU: PyTorch's operations) that take most of a bare step, by name."""
    pipeline = assemble(setting.config(kind, batch), zoo().registry)
    step, updates = bare_step(Training(pipeline)), 10
    cuda = pipeline.device.type == "cuda"
    for _ in range(5):
        step()
    wait(pipeline.device)
    with (
        ceiling.no_stderr(),
        profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiler,
    ):
        for _ in range(updates):
            step()
        wait(pipeline.device)
    found = []
    for event in profiler.key_averages():
        counts = event.device_type.name == ("CUDA" if cuda else "CPU") and not getattr(
            event, "is_user_annotation", False
        )
        micro = event.self_device_time_total if cuda else event.self_cpu_time_total
        if counts and micro:
            found.append(
                {"name": event.key, "ms": micro / 1e3 / updates, "calls": event.count / updates}
            )
    total = sum(entry["ms"] for entry in found)
    found.sort(key=lambda entry: -entry["ms"])
    return [
        {**entry, "share": entry["ms"] / total, "kind": kind, "batch": batch}
        for entry in found[:count]
    ]


def fresh_start() -> None:
    """Forget what was compiled and give the memory
    back, so that one row does not weigh on the next.
    """
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
