"""What a machine could do at most, measured on the spot, and how much work an update is."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from .. import __version__
from ..assembly.pipeline import SIDES, Pipeline
from ..contracts import Batch
from ..engine.devices import processor
from ..engine.engine import Engine
from ..spec import as_given, as_samples
from .timing import Laps, Variant, repeated, wait

PROFILED = 5  # updates that are looked into for the kernel share


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "device": gpu or processor(),
        "kind": device.type,
        "cores": cores,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "ganzoo": __version__,
        "date": date.today().isoformat(),
    }


def ceilings(device: torch.device) -> dict[str, Any]:
    """Rates of a large matrix product [FLOP/s] and a large
    copy [bytes/s, read and written], each the median of 20.
    """
    cuda = device.type == "cuda"
    side, dtype = (8192, torch.bfloat16) if cuda else (1024, torch.float32)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    product = _seconds(lambda: torch.mm(a, b, out=out), device)
    source = torch.zeros(1 << (30 if cuda else 28), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _seconds(lambda: target.copy_(source), device)
    what = f"{str(dtype).removeprefix('torch.')} {side}x{side}x{side}"
    return {
        "product": what,
        "flop_per_second": 2 * side**3 / product,
        "copy_bytes_per_second": 2 * source.numel() / copy,
    }


def _seconds(function: Any, device: torch.device) -> float:
    laps = Laps(device)
    run = repeated(function, laps)
    run(3)
    laps.clear()
    run(20)
    return statistics.median(laps.seconds())


class _Flops(TorchDispatchMode):
    """Counts the floating-point operations of matrix products
    and convolutions, a multiplication and an addition as two.

    PyTorch's own FlopCounterMode hooks into modules, which torch.func.grad does not take.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def flop_per_image(pipeline: Pipeline) -> float:
    """Of a real image shown: the updates of both sides,
    counted in eager mode, lazy penalties at their share.

    Runs updates, so the pipeline's weights change.
    """
    parts, train = pipeline.parts, pipeline.config.train
    clips = dict.fromkeys(SIDES, (0.0, 0.0))
    engine = Engine(
        parts, pipeline.optimizers, clips, "eager", torch.zeros((), device=pipeline.device)
    )
    given = batch(pipeline)
    latents = parts.draw_latents(train.batch_size).to(pipeline.device)
    period = math.lcm(*(regularizer.every for regularizer in parts.regularizers.values()))
    total = 0.0
    for side in SIDES:
        share = 1.0 if side == "discriminator" else 1 / train.n_critic
        dues = [parts.due(side, number) for number in range(period)]
        for due, times in Counter(dues).items():
            with _Flops() as counter:
                engine.update(side, given, latents, dues.index(due))
            total += share * counter.total * times / period
    return total / train.batch_size


def batch(pipeline: Pipeline) -> Batch:
    """A batch of the pipeline's data as nets see them, on its device."""
    count, dataset = pipeline.config.train.batch_size, pipeline.dataset
    found = dataset.gather(torch.arange(count))
    given = {**found.given}
    for name, other in dataset.others.items():
        given[name] = other.gather(torch.arange(count) % len(other)).samples
    seen = found._replace(
        samples=as_samples(found.samples),
        labels=found.labels if pipeline.spec.classes else None,
        given=as_given(given),
    )
    return seen.each(lambda tensor: tensor.to(pipeline.device))


def kernel_share(variant: Variant) -> float:
    """The share of an update's time in which the device
    computes: kernels on a GPU, PyTorch's operations on a CPU.

    On a GPU the kernels' time is set against the median of updates that no profiler slowed.
    """
    device, median = variant.laps.device, variant.median
    activities = [ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU]
    with no_stderr(), profile(activities=activities) as profiler:
        variant.run(PROFILED)
        wait(device)
    under_profiler = sum(variant.laps.runs().pop())
    averages = profiler.key_averages()
    if device.type == "cuda":
        kernels = (
            e
            for e in averages
            if e.device_type.name == "CUDA" and not getattr(e, "is_user_annotation", False)
        )
        return min(
            1.0, float(sum(e.self_device_time_total for e in kernels)) / 1e6 / PROFILED / median
        )
    computing = (e for e in averages if e.key.startswith(("aten::", "## Call CompiledFxGraph")))
    return min(1.0, float(sum(e.self_cpu_time_total for e in computing)) / 1e6 / under_profiler)


@contextlib.contextmanager
def no_stderr() -> Iterator[None]:
    """The profiler's C++ part writes log lines to file
    descriptor 2, which nothing else switches off.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
