"""How much memory a training will need, worked out without running it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Side
from ..data.loader import budget_bytes
from ..engine.simulation import update_peak
from ..errors import DeviceError
from ..io.activity import doing
from ..io.device_memory import VARIABLE, free_memory, insisted
from .pipeline import SIDES, Pipeline

# Working memory of CUDA's libraries. cuBLAS takes 32 MiB (:4096:8) for every handle and stream, and
# a training has at least four such pairs: the stream of the loop and that of recordings, in the
# thread of the forward pass and in that of the backward pass.
LIBRARIES = 4 * (32 << 20)

SMALLER = "take a smaller batch, more parts of it, or more ranks"
NO_BATCH = f"no batch fits: take smaller nets or a smaller resolution, or set {VARIABLE}"


def _size(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def estimate(
    pipeline: Pipeline, batch: int | None = None, engine: str | None = None
) -> dict[str, int]:
    """Bytes, for the pipeline's batch and engine or others: weights (with average), gradients,
    optimizer state, what the larger update holds at its peak, resident data, total. An eager update
    is found at once and holds the most; one that is compiled takes seconds to find. Of ranks that
    nets are spread over it is the first, which has whole averages beside its parts of all.
    """
    nets = [pipeline.parts.net(side) for side in SIDES]
    averages = [each.net for each in (pipeline.average, *pipeline.powers.values())]
    share = pipeline.ranks.count if pipeline.shards else 1
    weights = sum(
        _size(net.parameters()) // share + _size(net.buffers()) for net in (*nets, *averages)
    )
    gradients = sum(_size(net.parameters()) for net in nets) // share
    optimizers = (
        sum(
            _optimizer_state(pipeline.optimizers[side], net)
            for side, net in zip(SIDES, nets, strict=True)
        )
        // share
    )
    update = max(
        _update(pipeline, side, _part(pipeline, side, batch), engine or pipeline.engine)
        for side in SIDES
    )
    if pipeline.shards:
        weights += sum(_size([*net.parameters(), *net.buffers()]) for net in averages)
        units = pipeline.parts.units
        update += sum(_gathered(net, units[role]) for role, net in pipeline.parts.nets.items())
    found = {
        "weights": weights,
        "gradients": gradients,
        "optimizers": optimizers,
        "update": update,
        "data": _resident(pipeline),
    }
    return {**found, "total": sum(found.values())}


def _gathered(net: nn.Module, units: Iterable[str]) -> int:
    """Weights and gradients of a net that are whole at once, where it is spread over ranks: what
    belongs to no unit, and two units, one that is computed and the one that comes next.
    """
    sizes = sorted(_size(net.get_submodule(unit).parameters()) for unit in units)
    return 2 * (_size(net.parameters()) - sum(sizes[:-2]))


def _part(pipeline: Pipeline, side: Side, batch: int | None) -> int:
    """Samples that a side computes at once, where the discriminator computes so many."""
    train = pipeline.config.train
    own = train.part_of(side) // pipeline.ranks.count
    whole = train.part // pipeline.ranks.count
    return own if batch is None else max(own * batch // whole, 1)


def _update(pipeline: Pipeline, side: Side, batch: int, engine: str) -> int:
    """What one side's update holds at its peak."""
    libraries = LIBRARIES if pipeline.device.type == "cuda" else 0
    if engine != "eager":
        with contextlib.suppress(Exception):  # what cannot be traced will run eager
            from .compiled_memory import (
                compiled_peak,  # late: the compiler takes a second to import
            )

            return libraries + compiled_peak(pipeline.parts, pipeline.spec, batch, side)
    return libraries + update_peak(pipeline.parts, pipeline.spec, batch, side)


def _resident(pipeline: Pipeline) -> int:
    """What the samples take on the device."""
    data, size = pipeline.config.data, pipeline.dataset.size
    if size is None:
        return 0
    budget = budget_bytes(data.budget, pipeline.device)
    auto = data.resident == "auto" and (budget is None or size <= budget)
    return size if data.resident == "gpu" or auto else 0


def available(device: torch.device) -> int | None:
    """Bytes that a training could still take on the device,
    or may by GANZOO_MEMORY; None where nothing says.
    """
    if (size := insisted()) is not None:
        return size
    free = free_memory(device)
    if free is not None and device.type == "cuda":
        free += torch.cuda.memory_reserved(device)  # what this process holds counts too
    return free


def needed(pipeline: Pipeline, found: dict[str, int]) -> int:
    """Bytes that must be free for a training of that estimate: its peak, a
    checkpoint's copy of the state, and with recordings the memory of an
    update once more, for they hold theirs while the next one is warmed up.
    """
    twice = found["update"] if pipeline.engine == "captured" else 0
    return found["total"] + found["weights"] + found["optimizers"] + twice


def check_fits(pipeline: Pipeline, free: int | None = None) -> None:
    """Raises DeviceError before the training when it
    will not fit, with the largest batch that does.
    """
    doing("working out the memory")
    free = available(pipeline.device) if free is None else free
    if free is None:
        return
    if (
        needed(pipeline, estimate(pipeline, engine="eager")) > free
        and needed(pipeline, estimate(pipeline)) > free
    ):
        raise advice(pipeline, free)


def after_failure(pipeline: Pipeline) -> DeviceError:
    """The error for a training that ran out although the estimate
    said it would fit: a batch a tenth below the estimate's.
    """
    if pipeline.shards:  # an estimate goes by copies, which nets that are spread do not give
        return DeviceError("out of memory", section="train", key="batch_size", remedy=SMALLER)
    most = needed(pipeline, estimate(pipeline))
    free = available(pipeline.device)
    free = most if free is None else min(free, most)
    error = advice(pipeline, free * 9 // 10)
    error.message = f"out of memory: {error.message}"
    return error


def advice(pipeline: Pipeline, free: int) -> DeviceError:
    """An error that says what is needed, what there is, and the
    largest batch that fits, from a line through two estimates.
    """
    batch = pipeline.config.train.part // pipeline.ranks.count
    half = max(batch // 2, 1)
    whole, less = (needed(pipeline, estimate(pipeline, size)) for size in (batch, half))
    per_sample = (whole - less) / max(batch - half, 1)
    fits = batch - math.ceil((whole - free) / per_sample) if per_sample > 0 else 0
    needs = (
        f"needs about {whole / 2**30:.1f} GiB and {pipeline.device} has {free / 2**30:.1f} GiB free"
    )
    parts = pipeline.config.train.accumulate
    smaller = {"train.batch_size": fits * parts} if fits >= 1 else {}
    return DeviceError(
        needs,
        section="train",
        key="batch_size",
        value=batch * parts,
        remedy="the largest that fits is about" if smaller else NO_BATCH,
        change=smaller,
    )


def _optimizer_state(optimizer: torch.optim.Optimizer, net: nn.Module) -> int:
    """Found by stepping a copy of the optimizer's kind on
    one scalar: state tensors per weight, times the weights.
    """
    probe = nn.Parameter(torch.zeros(2))
    probe.grad = torch.ones(2)
    settings = {
        k: v for k, v in optimizer.defaults.items() if k not in ("fused", "foreach", "capturable")
    }
    try:
        trial = type(optimizer)([probe], **settings)
        trial.step()
        per_weight = (
            sum(
                v.numel()
                for v in trial.state[probe].values()
                if isinstance(v, Tensor) and v.numel() == 2
            )
            // 2
        )
    except Exception:  # one that is not made from its defaults, or fails: the training will say so
        per_weight = 2  # as Adam
    return per_weight * _size(net.parameters())
