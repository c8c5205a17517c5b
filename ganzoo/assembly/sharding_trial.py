"""Whether parts can train while each rank has only a part of the nets: found out by trying."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..components.isolation import contained
from ..contracts import Batch, Side
from ..distributed.ranks import Ranks
from ..distributed.sharding import is_spread, spread, units, whole_of
from ..engine.blame import reason
from ..engine.engine import SIDES
from ..engine.losses import Parts
from ..engine.randomness import reseed
from ..engine.simulation import fork, one_update
from ..errors import GanzooError

SHARE = 1e-3  # of a gradient's length that rounding may change; what is wrong changes more
LEAST = 1e-6  # and what may be changed of one that is zero
Gradients = dict[str, Tensor]
Inputs = Callable[[Parts], tuple[Batch, Tensor]]
Units = Mapping[str, tuple[str, ...]]  # names of modules, by the role of their net


def try_sharded(
    parts: Parts, inputs: Inputs, ranks: Ranks, refuse: Callable[[str, str], GanzooError]
) -> Units:
    """Which modules can be gathered by themselves, none where each net has to be gathered as a
    whole. Updates copies of the parts, with whole nets and with nets that are spread, on every
    rank at once.

    inputs: some samples, alike on all ranks, who share them; refuse: words a section, or none, and
    what is wrong with it. Raises what that gives where an update fails, or has other gradients.
    """
    called: dict[str, set[str]] = {role: set() for role in parts.nets}
    whole = {side: _gradients(parts, side, inputs, ranks, called=called) for side in SIDES}
    chosen = {role: units(net, called[role]) for role, net in parts.nets.items()}
    none: Units = dict.fromkeys(chosen, ())
    problem: tuple[Side, str, Exception | None] | None = None
    for trial in (chosen, none):
        for side in SIDES:
            problem = _problem(parts, side, inputs, ranks, trial, whole[side])
            if problem:
                break
        else:
            return trial
    assert problem is not None
    side, text, error = problem
    section = _culprit(parts, side, inputs, ranks, none)
    if not section and error is not None:
        section = parts.culprit(error) or ""
    raise refuse(section, f"the {side}'s {text}") from error


def _problem(
    parts: Parts, side: Side, inputs: Inputs, ranks: Ranks, chosen: Units, whole: Gradients
) -> tuple[Side, str, Exception | None] | None:
    """What is wrong with a side's update of nets that are spread, or nothing; all ranks say it."""
    try:
        found = _gradients(parts, side, inputs, ranks, chosen)
    except GanzooError:
        raise
    except Exception as error:
        return side, f"update fails: {reason(error)}", error
    apart = ranks.agree(int(_apart(whole, found)))[0]
    return (side, "gradient is another one", None) if apart else None


def _culprit(parts: Parts, side: Side, inputs: Inputs, ranks: Ranks, chosen: Units) -> str:
    """The regularizer without which a side's update is right, or nothing."""
    for name in parts.due(side, 0):
        others = {other: r for other, r in parts.regularizers.items() if other != name}
        less = replace(parts, regularizers=others)
        whole = _gradients(less, side, inputs, ranks)
        if _problem(less, side, inputs, ranks, chosen, whole) is None:
            return f"reg.{name}"
    return ""


def _gradients(
    parts: Parts,
    side: Side,
    inputs: Inputs,
    ranks: Ranks,
    chosen: Units | None = None,
    called: Mapping[str, set[str]] | None = None,
) -> Gradients:
    """The gradients of all weights of a side, averaged over the ranks.

    chosen: for nets that are spread; called: is told which modules are called
    """
    copied = copy.deepcopy(parts)
    copied.precision = "fp32"
    for role, names in (called or {}).items():
        _note_calls(copied.nets[role], names)
    with fork(copied), contained():
        batch, latents = inputs(copied)
        batch, latents = batch.each(ranks.share), ranks.share(latents)
        reseed(0)
        if chosen is not None:
            for role, net in copied.nets.items():
                spread(net, chosen[role], torch.device("cpu"), ranks.count, torch.float32)
        with ranks.as_one(len(latents)):
            one_update(copied, side, batch, latents)
    found = {
        name: parameter.grad
        for name, parameter in copied.net(side).named_parameters()
        if parameter.grad is not None
    }
    whole = {name: whole_of(gradient) for name, gradient in found.items()}
    apart = [gradient for name, gradient in whole.items() if not is_spread(found[name])]
    if apart:
        ranks.average(apart)
    return whole


def _note_calls(net: nn.Module, names: set[str]) -> None:
    """Keep the names of those modules of a net that are called."""
    for name, module in net.named_modules():
        module.register_forward_pre_hook(lambda module, given, name=name: names.add(name))


def _apart(one: Gradients, other: Gradients) -> bool:
    """Whether two sets of gradients differ by more than rounding."""
    if one.keys() != other.keys():
        return True
    length = sum(float(each.double().square().sum()) for each in one.values()) ** 0.5
    between = (one[name].double() - other[name].double() for name in one)
    distance = sum(float(each.square().sum()) for each in between) ** 0.5
    return not distance <= SHARE * length + LEAST
