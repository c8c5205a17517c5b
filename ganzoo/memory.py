"""How much memory a training will need, worked out without running it."""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import Tensor, nn

from .errors import DeviceError
from .feed import budget_bytes
from .pipeline import SIDES, Pipeline
from .rehearsal import update_peak


def _size(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def estimate(pipeline: Pipeline, batch: int | None = None) -> dict[str, int]:
    """Bytes, for the pipeline's batch or another: weights (with average), gradients, optimizer state, what the larger update
    holds at its peak, resident data, total.
    """
    nets = [pipeline.parts.net(side) for side in SIDES]
    weights = sum(_size([*net.parameters(), *net.buffers()]) for net in (*nets, pipeline.average.net))
    gradients = sum(_size(net.parameters()) for net in nets)
    optimizers = sum(_optimizer_state(pipeline.optimizers[side], net) for side, net in zip(SIDES, nets, strict=True))
    update = max(update_peak(pipeline.parts, pipeline.spec, batch or pipeline.config.train.batch_size, side) for side in SIDES)
    found = {"weights": weights, "gradients": gradients, "optimizers": optimizers, "update": update, "data": _resident(pipeline)}
    return {**found, "total": sum(found.values())}


def _resident(pipeline: Pipeline) -> int:
    """What the samples take on the device."""
    data, samples = pipeline.config.data, pipeline.dataset.samples
    size = samples.numel() * samples.element_size()
    budget = budget_bytes(data.budget, pipeline.device)
    return size if data.resident == "gpu" or (data.resident == "auto" and (budget is None or size <= budget)) else 0


def available(device: torch.device) -> int:
    """Bytes that a training could still take on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_fits(pipeline: Pipeline, free: int | None = None) -> None:
    """Raises DeviceError before the training when it will not fit, with the largest batch that does."""
    free = available(pipeline.device) if free is None else free
    found = estimate(pipeline)
    if found["total"] > free:
        raise DeviceError(advice(pipeline, found, free))


def after_failure(pipeline: Pipeline) -> str:
    """The line for a training that ran out although the estimate said it would fit: a batch a tenth below the estimate's."""
    found = estimate(pipeline)
    return "out of memory: " + advice(pipeline, found, min(available(pipeline.device), found["total"]) * 9 // 10)


def advice(pipeline: Pipeline, found: dict[str, int], free: int) -> str:
    """One line: what is needed, what there is, and the largest batch that fits, from a line through two estimates."""
    batch = pipeline.config.train.batch_size
    half = max(batch // 2, 1)
    per_sample = (found["total"] - estimate(pipeline, half)["total"]) / max(batch - half, 1)
    fits = batch - math.ceil((found["total"] - free) / per_sample) if per_sample > 0 else 0
    remedy = f"the largest batch that fits is about {fits}" if fits >= 1 else "no batch fits: take smaller nets or --resolution"
    needs = f"needs about {found['total'] / 2**30:.1f} GiB and {pipeline.device} has {free / 2**30:.1f} GiB free"
    return f"--batch-size {batch}: {needs}; {remedy}"


def _optimizer_state(optimizer: torch.optim.Optimizer, net: nn.Module) -> int:
    """Found by stepping a copy of the optimizer's kind on one scalar: state tensors per weight, times the weights."""
    probe = nn.Parameter(torch.zeros(2))
    probe.grad = torch.ones(2)
    settings = {k: v for k, v in optimizer.defaults.items() if k not in ("fused", "foreach", "capturable")}
    try:
        trial = type(optimizer)([probe], **settings)
        trial.step()
        per_weight = sum(v.numel() for v in trial.state[probe].values() if isinstance(v, Tensor) and v.numel() == 2) // 2
    except Exception:  # one that is not made from its defaults, or fails: the training will say so
        per_weight = 2  # as Adam
    return per_weight * _size(net.parameters())
