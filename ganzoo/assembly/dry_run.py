"""Before the training, on copies: does each net work, do the parts
work together, and how much memory does it take?

What can be found without arithmetic is found on tensors without storage; the update of each side
then runs once for real, on a few samples. What is quicker done than simulated, as updates of small
nets are, is only done. Nets are tried by themselves first, since regularizers
prepare them, and would be blamed for one that is broken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..components.isolation import contained
from ..contracts import Batch, Dataset, Game, Side, Spec
from ..engine.blame import reason
from ..engine.engine import SIDES, observe
from ..engine.losses import Parts
from ..engine.simulation import (
    FEW,
    device_of,
    fork,
    light,
    light_update,
    one_update,
    quick_peak,
    real_call,
    simulated_call,
    update_peak,
    within_memory,
)
from ..engine.sizes import check_call, refuse_update
from ..errors import BrokenPlugin, GanzooError, one_line
from ..io.device_memory import planned_memory


def try_nets(
    game: Game, nets: Mapping[str, Any], specs: Mapping[str, Spec], say: Callable[[str], str]
) -> None:
    """Two samples through a copy of each net.

    specs: what each net was built for, by role; `say` words the owner of a role. Raises
    BrokenPlugin when a net fails, or gives what no update can use, DeviceError when it is too
    large.
    """
    for role, about in game.roles().items():
        net = nets[role]
        call, expected = _trial(about.kind, specs[role], net)
        who = f"{type(net).__name__} of {say(role)}"
        try:
            found, peak = _called(net, call, specs[role])
        except Exception as error:
            raise BrokenPlugin(f"{who} fails: {one_line(error)}", section=role) from error
        check_call(role, peak)
        judges = about.kind == "discriminator" and isinstance(found, list | tuple)
        several = found if judges else [found]
        problems = [_problem(one, expected, net) for one in several]
        problem = next(filter(None, problems), "" if problems else "gives no logits")
        if problem:
            raise BrokenPlugin(f"{who} {problem}", section=role)


def _called(net: nn.Module, call: Callable[[Any], Any], spec: Spec) -> tuple[Any, int | None]:
    """What a call of a copy on two samples gives, and the bytes that it
    takes; not known where it reads values, and is too much to be just done.
    """
    try:
        tried = real_call if light([net], 2, spec) else simulated_call
        return tried(net, lambda copied: call(copied.train()))
    except Exception:  # perhaps only because it reads values
        with contained():
            return call(copy.deepcopy(net).train()), None


def _trial(kind: str, spec: Spec, net: Any) -> tuple[Callable[[Any], Any], tuple[int, ...]]:
    """(a call on two samples, the shape that it gives) of a net of that kind."""
    labels = torch.zeros(2, dtype=torch.long) if spec.classes else None
    samples = torch.zeros(2, *spec.shape)

    def read_by(net: Any) -> dict[str, Tensor]:
        names = getattr(net, "reads", ())
        return {name: torch.zeros(2, *spec.given[name].shape) for name in names}

    def drawn(net: Any) -> Any:
        return net(net.draw_latents(2), labels, **read_by(net))

    def judged(net: Any) -> Any:
        return net.score(net.features(samples, **read_by(net)), labels if net.conditional else None)

    if kind == "generator":
        return drawn, (2, *spec.shape)
    if kind == "discriminator":
        return judged, (2,)
    return lambda net: net(samples), (2, 2, net.latent_dim)


def _problem(found: Any, expected: tuple[int, ...], net: nn.Module) -> str:
    """What keeps an update from using what a net gave, or nothing."""
    if not isinstance(found, Tensor):
        return f"gives a {type(found).__name__}, not a tensor"
    start = tuple(found.shape)[: len(expected)]  # a discriminator's logits may be a map of patches
    column = len(expected) == 1 and found.dim() == 2 and found.shape[1] == 1
    if start != expected or column or (len(expected) > 1 and found.dim() != len(expected)):
        return f"gives {tuple(found.shape)}, not {expected}"
    if not found.is_floating_point():
        return f"gives {found.dtype}, not floating-point numbers"
    learns = any(p.requires_grad for p in net.parameters())
    if learns and not found.requires_grad:
        return "gives numbers without a gradient; nothing may be detached on the way"
    return ""


def rehearse(
    parts: Parts,
    dataset: Dataset,
    spec: Spec,
    batches: Mapping[Side, int],
    say: Callable[[str], str],
) -> None:
    """Updates of both sides on copies of the parts, so
    that what does not work is a line before the training.

    Once at full size on tensors without storage, which costs no arithmetic, and once on a few real
    samples, hooks after the update included; on a whole batch where a part cannot do with less, and
    nothing but this where that is quicker. `say` words a section ("reg.gp") for the person. Raises
    BrokenPlugin naming the part that failed.
    """
    for side in SIDES:
        batch = batches[side]
        few = few_of(parts, spec, batch, side)
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


def few_of(parts: Parts, spec: Spec, batch: int, side: Side = "discriminator") -> int:
    """Samples of a trial for real: all of a small batch, else as few as the parts can do with."""
    if light_update(parts, spec, batch):
        return batch
    try:
        quick_peak(parts, spec, batch, side)
    except GanzooError:
        raise
    except Exception:  # perhaps only because a part reads values, which these tensors have not
        _check_room(parts, spec, batch, side)
        return batch
    return min(batch, FEW)


def _check_room(parts: Parts, spec: Spec, batch: int, side: Side) -> None:
    """Raises DeviceError when an update, which is about
    to be tried for real, needs more memory than there is.
    """
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
    """What goes wrong in an update of copies on so many
    real samples, as (section, reason); None for nothing.
    """
    real = copy.deepcopy(parts)
    try:
        with fork(real), contained():
            inputs = samples_of(real, dataset, spec, count)
            with within_memory(count):
                one_update(real, side, *inputs)
            with torch.no_grad():
                for net in real.nets_of(side).values():
                    observe(net, *inputs)
                for regularizer in real.regularizers.values():
                    if regularizer.on(side):
                        regularizer.after_update(real.net(side))
                real.game.after_update(side)
    except GanzooError:
        raise
    except Exception as error:
        return real.culprit(error), reason(error)
    return None


def samples_of(parts: Parts, dataset: Dataset, spec: Spec, count: int) -> tuple[Batch, Tensor]:
    """Samples from all over the data, which are often sorted
    by class, with what belongs to them, and latents.
    """
    chosen = torch.linspace(0, dataset.at_hand - 1, count).long()
    batch, device = dataset.gather(chosen), device_of(parts)
    given = dict(batch.given)
    for name, other in dataset.others.items():
        given[name] = other.gather(torch.linspace(0, other.at_hand - 1, count).long()).samples
    batch = batch._replace(
        labels=batch.labels if spec.classes else None,
        given={name: each for name, each in given.items() if name in spec.given},
    )
    return batch.each(lambda tensor: tensor.to(device)), parts.draw_latents(count).to(device)
