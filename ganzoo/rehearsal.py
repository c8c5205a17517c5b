"""One update run on tensors without storage: do the parts work together, and how much memory does it take?"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from .contracts import Side, Spec
from .engine import SIDES, only
from .errors import BrokenPlugin, GanzooError, one_line
from .update import Parts, terms

M = TypeVar("M", bound=nn.Module)


class Peak(TorchDispatchMode):
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


def update_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    """The most that one update holds beside the weights, found by running it on tensors without storage."""
    with torch.random.fork_rng(devices=[]):
        latents: Tensor = parts.generator.draw_latents(2)  # type: ignore[operator]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        faked = _faked(parts, mode)
        drawn = torch.empty(batch, *latents.shape[1:])
        with Peak() as counter:
            _update(faked, spec, batch, side, drawn)
    peak: int = counter.peak
    return peak


def _update(parts: Parts, spec: Spec, batch: int, side: Side, latents: Tensor) -> None:
    """The terms of one side and their gradients, on samples without content."""
    data = torch.zeros(batch, *spec.shape)
    labels = torch.zeros(batch, dtype=torch.long) if spec.classes else None
    other: Side = "generator" if side == "discriminator" else "discriminator"
    with only(parts.net(side), parts.net(other)):
        terms(parts, side)(data, labels, latents, torch.zeros(()), parts.due(side, 0))[0].backward()


def rehearse(parts: Parts, spec: Spec, batch: int, name: Callable[[str], str]) -> None:
    """One update of each side on copies of the parts, so that parts that do not work together are a line before the training.

    `name` words a section ("reg.gp") for the person. It costs no arithmetic unless a part cannot do without: then the update is
    run for real. Raises BrokenPlugin naming the part that failed.
    """
    for side in SIDES:
        try:
            update_peak(parts, spec, batch, side)
        except GanzooError:
            raise
        except Exception:  # perhaps only because a part reads values, which these tensors have not
            real = copy.deepcopy(parts)
            try:
                with torch.random.fork_rng(devices=[]):
                    _update(real, spec, batch, side, real.generator.draw_latents(batch))  # type: ignore[operator]
            except GanzooError:
                raise
            except Exception as error:
                section = real.culprit(error)
                who = name(section) if section else "a part"
                raise BrokenPlugin(f"{who} fails in the {side}'s update with a batch of {batch}: {one_line(error)}") from error


def _faked(parts: Parts, mode: FakeTensorMode) -> Parts:
    """The parts with copies of all modules whose tensors have no storage, on the CPU."""
    faked = copy.copy(parts)
    with mode:
        for name in ("generator", "discriminator", "loss"):
            setattr(faked, name, _fake_module(getattr(parts, name), mode))
        faked.regularizers = {k: _fake_module(v, mode) for k, v in parts.regularizers.items()}
        faked.augmentations = {k: _fake_module(v, mode) for k, v in parts.augmentations.items()}
    return faked


def _fake_module(module: M, mode: FakeTensorMode) -> M:
    memo = {id(t): _fake_like(t, mode) for t in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, memo)


def _fake_like(tensor: Tensor, mode: FakeTensorMode) -> Tensor:
    fake = mode.from_tensor(tensor.detach().cpu())
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
