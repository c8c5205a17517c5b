"""Updates on tensors without storage: what fits together,
and how much memory it takes, without any arithmetic.

Such a tensor costs Python at every operation, some tenths of a millisecond. An update of small nets
on few numbers is done ten times as quickly as it is simulated, and its tensors are counted then.
"""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from ..components.isolation import contained
from ..contracts import Batch, Side, Spec
from ..io.device_memory import planned_memory
from .engine import only
from .losses import Parts, losses
from .randomness import forked
from .sizes import NO_LIMIT, TooLarge, refuse_update

FEW = 4  # real samples that a rehearsal takes
# What is done rather than simulated. Layers that use each weight at each number of a sample, which
# is the most that nets do, take a second on one core.
MOST_NUMBERS = 1 << 16  # of a batch
MOST_WORK = 10**10  # its numbers times the weights
M = TypeVar("M", bound=nn.Module)
R = TypeVar("R")


class Peak(TorchDispatchMode):
    """Counts the bytes of all storages that live at once,
    as an allocator would; raises TooLarge beyond `most`.
    """

    def __init__(self, most: int = NO_LIMIT) -> None:
        super().__init__()
        self.most = most
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
        if self.live > self.most:
            raise TooLarge("too large")
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def light(modules: Iterable[nn.Module], samples: int, spec: Spec) -> bool:
    """Whether a call on so many samples is quicker than its simulation."""
    numbers = samples * (spec.numel + sum(each.numel for each in spec.given.values()))
    weights = [p for module in modules for p in module.parameters()]
    on_cpu = all(p.device.type == "cpu" for p in weights)
    work = numbers * sum(p.numel() for p in weights)
    return on_cpu and numbers <= MOST_NUMBERS and work <= MOST_WORK


def light_update(parts: Parts, spec: Spec, batch: int) -> bool:
    """Whether an update of a batch is quicker than its simulation."""
    return light(parts.sections().values(), batch, spec)


def update_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    """The most that one eager update holds beside the weights,
    found by running it, on tensors without storage unless it is light.

    Where a part reads values, along a line through two small updates for real; of the whole batch
    only where a part cannot do with less. Raises DeviceError when that takes more than there is.
    """
    try:
        return quick_peak(parts, spec, batch, side)
    except Exception:
        pass
    few = min(batch, FEW)
    try:
        one, two = (_real_peak(parts, spec, count, side) for count in (few, 2 * few))
    except Exception:
        return _real_peak(parts, spec, batch, side)
    return one + (two - one) * (batch - few) // few


def quick_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    """The same; raises what the parts raise when they are
    wrong, or read values while there is no storage.
    """
    key = (side, batch, spec, parts.differentiation, parts.precision, *parts.sections().values())
    if key not in parts.peaks:  # a second to find, and asked for by who rehearses and who plans
        found = _real_peak if light_update(parts, spec, batch) else _simulated_peak
        parts.peaks[key] = found(parts, spec, batch, side)
    return parts.peaks[key]


def _simulated_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    with contained(), simulated(parts) as faked, Peak() as counter:
        one_update(faked, side, *inputs(faked, spec, batch))
    return int(counter.peak)


def _real_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    real = copy.deepcopy(parts)
    with fork(real), contained(), within_memory(batch) as counter:
        one_update(real, side, *inputs(real, spec, batch))
    return int(counter.peak)


@contextlib.contextmanager
def within_memory(batch: int) -> Iterator[Peak]:
    """Tensors that live within are counted, and more
    of them than there is memory for are a DeviceError.
    """
    free = planned_memory(torch.device("cpu"))
    counter = Peak(NO_LIMIT if free is None else free)
    try:
        with counter:
            yield counter
    except TooLarge:
        raise refuse_update(batch, counter.peak, free) from None


def peak_of(net: M, call: Callable[[M], Any]) -> int | None:
    """Bytes that a call holds at its peak, weights that it views
    among them, found without storage; None where it reads values.
    """
    try:
        return simulated_call(net, call)[1]
    except Exception:  # the real call will say what is wrong
        return None


def simulated_call(net: M, call: Callable[[M], R]) -> tuple[R, int]:
    """What a call of a copy of the net gives, without storage, and the bytes that it holds at its
    peak. Raises what the call raises. Random streams are left alone.
    """
    with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        faked = _fake_module(net, mode)
        with contained(), Peak() as counter:
            found = call(faked)
    return found, int(counter.peak)


def real_call(net: M, call: Callable[[M], R]) -> tuple[R, int]:
    """The same with storage."""
    copied = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]), contained(), Peak() as counter:
        found = call(copied)
    return found, int(counter.peak)


def fork(parts: Parts) -> contextlib.AbstractContextManager[None]:
    """Random streams are left alone within."""
    return forked(device_of(parts))


def device_of(parts: Parts) -> torch.device:
    """Where the generator is."""
    return next((p.device for p in parts.generator.parameters()), torch.device("cpu"))


@contextlib.contextmanager
def simulated(parts: Parts) -> Iterator[Parts]:
    """Copies of the parts whose tensors, and all that is made of
    them here, have no storage. Random streams are left alone.
    """
    with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield _faked(parts, mode)


def inputs(parts: Parts, spec: Spec, batch: int) -> tuple[Batch, Tensor]:
    """A batch without content, and latents, where the generator is."""
    device = device_of(parts)
    labels = torch.zeros(batch, dtype=torch.long, device=device) if spec.classes else None
    given = {
        name: torch.zeros(batch, *each.shape, device=device) for name, each in spec.given.items()
    }
    made = {name for c in parts.conditions.values() for name in c.gives()}
    stored = {name: each for name, each in given.items() if name not in made}
    samples = torch.zeros(batch, *spec.shape, device=device)
    return Batch(samples, labels, None, stored), parts.draw_latents(batch).to(device)


def one_update(parts: Parts, side: Side, batch: Batch, latents: Tensor) -> None:
    """The terms of one side and their gradients."""
    progress = torch.zeros((), device=latents.device)
    with only(parts.net(side), parts.rival(side)):
        losses(parts, side)(batch, latents, progress, parts.due(side, 0))[0].backward()


def _faked(parts: Parts, mode: FakeTensorMode) -> Parts:
    """The parts with copies of all modules whose tensors have no storage, on the CPU."""
    faked = copy.copy(parts)
    with mode:
        for name, part in vars(parts).items():
            if isinstance(part, nn.Module):
                setattr(faked, name, _fake_module(part, mode))
        faked.regularizers = {k: _fake_module(v, mode) for k, v in parts.regularizers.items()}
        faked.augmentations = {k: _fake_module(v, mode) for k, v in parts.augmentations.items()}
        faked.conditions = {k: _fake_module(v, mode) for k, v in parts.conditions.items()}
    return faked


def _fake_module(module: M, mode: FakeTensorMode) -> M:
    memo = {id(t): _fake_like(t, mode) for t in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, memo)


def _fake_like(tensor: Tensor, mode: FakeTensorMode) -> Tensor:
    fake = mode.from_tensor(tensor.detach().cpu())
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
