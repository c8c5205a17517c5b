"""How much memory a training will need, worked out without running it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from .pipeline import SIDES, Pipeline
from .update import terms


def _size(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def estimate(pipeline: Pipeline) -> dict[str, int]:
    """Bytes: weights (with average), gradients, optimizer state, activations of the larger update, resident data, total."""
    nets = [pipeline.parts.net(side) for side in SIDES]
    weights = sum(_size([*net.parameters(), *net.buffers()]) for net in (*nets, pipeline.average.net))
    gradients = max(_size(net.parameters()) for net in nets)
    optimizers = sum(_optimizer_state(pipeline.optimizers[side], net) for side, net in zip(SIDES, nets, strict=True))
    activations = max(_activations(pipeline, side) for side in SIDES)
    data = pipeline.dataset.samples.numel() * pipeline.dataset.samples.element_size()
    found = {
        "weights": weights,
        "gradients": gradients,
        "optimizers": optimizers,
        "activations": activations,
        "data": data,
    }
    return {**found, "total": sum(found.values())}


def _optimizer_state(optimizer: torch.optim.Optimizer, net: nn.Module) -> int:
    """Found by stepping a copy of the optimizer's kind on one scalar: state tensors per weight, times the weights."""
    probe = nn.Parameter(torch.zeros(2))
    probe.grad = torch.ones(2)
    settings = {k: v for k, v in optimizer.defaults.items() if k not in ("fused", "foreach", "capturable")}
    trial = type(optimizer)([probe], **settings)
    trial.step()
    per_weight = sum(v.numel() for v in trial.state[probe].values() if isinstance(v, Tensor) and v.numel() == 2) // 2
    return per_weight * _size(net.parameters())


def _activations(pipeline: Pipeline, side: Any) -> int:
    """What one update keeps for its backward pass, counted on tensors without storage."""
    config, spec = pipeline.config.train, pipeline.spec
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[id(tensor.untyped_storage())] = tensor.untyped_storage().nbytes()
        alive.append(tensor)
        return tensor

    alive: list[Tensor] = []
    latents = pipeline.parts.generator.draw_latents(2)  # type: ignore[operator]
    with (
        FakeTensorMode(allow_non_fake_inputs=True) as mode,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t),
    ):
        parts = copy.copy(pipeline.parts)
        parts.way = "double"
        data = torch.empty(config.batch_size, *spec.shape)
        labels = torch.zeros(config.batch_size, dtype=torch.long) if spec.classes else None
        fake_latents = mode.from_tensor(latents)[:1].expand(config.batch_size, *latents.shape[1:]).clone()
        total, _, _ = terms(_faked(parts, mode), side)(data, labels, fake_latents, torch.zeros(()), parts.due(side, 0))
        del total
    return sum(kept.values())


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
