"""How much memory a training will need, worked out without running it."""

from __future__ import annotations

import copy
import math
import os
import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from .contracts import Side
from .engine import only
from .errors import DeviceError
from .feed import budget_bytes
from .pipeline import SIDES, Pipeline
from .update import terms


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
    update = max(_update_peak(pipeline, side, batch or pipeline.config.train.batch_size) for side in SIDES)
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
    trial = type(optimizer)([probe], **settings)
    trial.step()
    per_weight = sum(v.numel() for v in trial.state[probe].values() if isinstance(v, Tensor) and v.numel() == 2) // 2
    return per_weight * _size(net.parameters())


class _Peak(TorchDispatchMode):
    """Counts the bytes of all storages that live at once, as an allocator would."""

    def __init__(self) -> None:
        super().__init__()
        self.live: int = 0
        self.peak: int = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, result)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def _update_peak(pipeline: Pipeline, side: Side, batch: int) -> int:
    """The most that one update holds beside the weights, found by running it on tensors without storage."""
    spec = pipeline.spec
    with torch.random.fork_rng(devices=[]):
        latents: Tensor = pipeline.parts.generator.draw_latents(2)  # type: ignore[operator]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        parts = _faked(pipeline.parts, mode)
        data = torch.empty(batch, *spec.shape)
        labels = torch.zeros(batch, dtype=torch.long) if spec.classes else None
        drawn = torch.empty(batch, *latents.shape[1:])
        other: Side = "generator" if side == "discriminator" else "discriminator"
        with _Peak() as counter, only(parts.net(side), parts.net(other)):
            terms(parts, side)(data, labels, drawn, torch.zeros(()), parts.due(side, 0))[0].backward()
    peak: int = counter.peak
    return peak


def _faked(parts: Any, mode: FakeTensorMode) -> Any:
    """The parts with copies of all modules whose tensors have no storage, on the CPU."""
    faked = copy.copy(parts)
    with mode:
        for name in ("generator", "discriminator", "loss"):
            setattr(faked, name, _fake_module(getattr(parts, name), mode))
        faked.regularizers = {k: _fake_module(v, mode) for k, v in parts.regularizers.items()}
        faked.augmentations = {k: _fake_module(v, mode) for k, v in parts.augmentations.items()}
    return faked


def _fake_module(module: nn.Module, mode: FakeTensorMode) -> nn.Module:
    memo = {id(t): _fake_like(t, mode) for t in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, memo)


def _fake_like(tensor: Tensor, mode: FakeTensorMode) -> Tensor:
    fake = mode.from_tensor(tensor.detach().cpu())
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
