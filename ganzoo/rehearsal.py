"""Updates before the training, on copies: do the parts work together, and how much memory does it take?"""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from .blame import reason
from .contained import contained
from .contracts import Dataset, Side, Spec
from .devices import planned_memory
from .engine import SIDES, only
from .errors import BrokenPlugin, GanzooError
from .sizes import NO_LIMIT, TooLarge, refuse_update
from .streams import forked
from .update import Parts, terms

FEW = 4  # real samples that a rehearsal takes
M = TypeVar("M", bound=nn.Module)


class Peak(TorchDispatchMode):
    """Counts the bytes of all storages that live at once, as an allocator would; raises TooLarge beyond `most`."""

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


def update_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    """The most that one eager update holds beside the weights, found by running it on tensors without storage.

    Where a part reads values, along a line through two small updates for real; of the whole batch
    only where a part cannot do with less. Raises DeviceError when that takes more than there is.
    """
    try:
        return _simulated_peak(parts, spec, batch, side)
    except Exception:
        pass
    few = min(batch, FEW)
    try:
        one, two = (_real_peak(parts, spec, count, side) for count in (few, 2 * few))
    except Exception:
        return _real_peak(parts, spec, batch, side)
    return one + (two - one) * (batch - few) // few


def _simulated_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    """The same without storage; raises what the parts raise when they read values, or are wrong."""
    key = (side, batch, spec, parts.way, parts.precision, *parts.sections().values())
    if key not in parts.peaks:  # a second to find, and asked for by who rehearses and who plans
        with contained(), simulated(parts) as faked, Peak() as counter:
            _update(faked, side, *inputs(faked, spec, batch))
        parts.peaks[key] = int(counter.peak)
    return parts.peaks[key]


def _real_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    real = copy.deepcopy(parts)
    with _fork(real), contained(), within_memory(batch) as counter:
        _update(real, side, *inputs(real, spec, batch))
    return int(counter.peak)


@contextlib.contextmanager
def within_memory(batch: int) -> Iterator[Peak]:
    """Tensors that live within are counted, and more of them than there is memory for are a DeviceError."""
    free = planned_memory(torch.device("cpu"))
    counter = Peak(NO_LIMIT if free is None else free)
    try:
        with counter:
            yield counter
    except TooLarge:
        raise refuse_update(batch, counter.peak, free) from None


def peak_of(net: M, call: Callable[[M], Any]) -> int | None:
    """Bytes that a call holds at its peak, weights that it views among them, found without storage; None where it reads values.

    Random streams are left alone.
    """
    try:
        with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True) as mode:
            faked = _fake_module(net, mode)
            with contained(), Peak() as counter:
                call(faked)
    except Exception:  # the real call will say what is wrong
        return None
    return int(counter.peak)


def _fork(parts: Parts) -> contextlib.AbstractContextManager[None]:
    """Random streams are left alone within."""
    return forked(_device(parts))


def _device(parts: Parts) -> torch.device:
    return next((p.device for p in parts.generator.parameters()), torch.device("cpu"))


@contextlib.contextmanager
def simulated(parts: Parts) -> Iterator[Parts]:
    """Copies of the parts whose tensors, and all that is made of them here, have no storage. Random streams are left alone."""
    with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield _faked(parts, mode)


def inputs(parts: Parts, spec: Spec, batch: int) -> tuple[Tensor, Tensor | None, Tensor]:
    """Data and labels without content, and latents, where the generator is."""
    device = _device(parts)
    labels = torch.zeros(batch, dtype=torch.long, device=device) if spec.classes else None
    latents: Tensor = parts.generator.draw_latents(batch)  # type: ignore[operator]
    return torch.zeros(batch, *spec.shape, device=device), labels, latents.to(device)


def _update(parts: Parts, side: Side, data: Tensor, labels: Tensor | None, latents: Tensor) -> None:
    """The terms of one side and their gradients."""
    with only(parts.net(side), parts.rival(side)):
        terms(parts, side)(
            data, labels, latents, torch.zeros((), device=data.device), parts.due(side, 0)
        )[0].backward()


def rehearse(
    parts: Parts, dataset: Dataset, spec: Spec, batch: int, say: Callable[[str], str]
) -> None:
    """Updates of both sides on copies of the parts, so that what does not work is a line before the training.

    Once at full size on tensors without storage, which costs no arithmetic, and once on a few real
    samples, hooks after the update included; on a whole batch where a part cannot do with less.
    `say` words a section ("reg.gp") for the person. Raises BrokenPlugin naming the part that failed.
    """
    for side in SIDES:
        few = min(batch, FEW)
        try:
            _simulated_peak(parts, spec, batch, side)
        except GanzooError:
            raise
        except Exception:  # perhaps only because a part reads values, which these tensors have not
            few = batch
            _check_room(parts, spec, batch, side)
        for count in dict.fromkeys((few, batch)):
            error = _tried(parts, dataset, spec, count, side)
            if error is None:
                break
        else:
            assert error is not None
            section, problem = error
            who = say(section) if section else "a part"
            raise BrokenPlugin(
                f"{who} fails in the {side}'s update with a batch of {batch}: {problem}"
            )


def _check_room(parts: Parts, spec: Spec, batch: int, side: Side) -> None:
    """Raises DeviceError when an update, which is about to be tried for real, needs more memory than there is."""
    try:
        need = update_peak(parts, spec, batch, side)
    except GanzooError:
        raise
    except Exception:  # the trial says whose fault it is
        return
    free = planned_memory(torch.device("cpu"))
    if free is not None and need > free:
        raise refuse_update(batch, need, free)


def _tried(
    parts: Parts, dataset: Dataset, spec: Spec, count: int, side: Side
) -> tuple[str | None, str] | None:
    """What goes wrong in an update of copies on so many real samples, as (section, reason); None for nothing."""
    real = copy.deepcopy(parts)
    try:
        with _fork(real), contained():
            with within_memory(count):
                _update(real, side, *_samples(real, dataset, spec, count))
            with torch.no_grad():
                for regularizer in real.regularizers.values():
                    if regularizer.on(side):
                        regularizer.after_update(real.net(side))
    except GanzooError:
        raise
    except Exception as error:
        return real.culprit(error), reason(error)
    return None


def _samples(
    parts: Parts, dataset: Dataset, spec: Spec, count: int
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Samples from all over the data, which are often sorted by class, their labels where they are read, and latents."""
    chosen = torch.linspace(0, len(dataset) - 1, count).long()
    data, labels = dataset.batch(chosen)
    device = _device(parts)
    latents: Tensor = parts.generator.draw_latents(count)  # type: ignore[operator]
    labels = labels.to(device) if labels is not None and spec.classes else None
    return data.to(device), labels, latents.to(device)


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
