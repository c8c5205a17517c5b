"""Whether parts can train while each rank has only a part of the nets: found out by trying."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..components.isolation import contained
from ..contracts import Batch, Side
from ..distributed.ranks import Ranks
from ..distributed.sharding import is_spread, spread, whole_of
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


def try_sharded(
    parts: Parts, inputs: Inputs, ranks: Ranks, refuse: Callable[[str, str], GanzooError]
) -> None:
    """An update of each side on copies of the parts, once with whole nets and once with nets that
    are spread, on every rank at once.

    inputs: some samples, alike on all ranks, who share them; refuse: words a section, or
    none, and what is wrong with it.
    Raises what that gives where an update fails, or has other gradients.
    """
    for side in SIDES:
        whole = _gradients(parts, side, inputs, ranks, False)
        try:
            found = _gradients(parts, side, inputs, ranks, True)
        except GanzooError:
            raise
        except Exception as error:
            raise _refusal(parts, side, error, refuse) from error
        apart = _apart(whole, found)
        if ranks.agree(int(apart))[0]:
            raise refuse(_suspect(parts, side), f"the {side}'s gradient is another one")


def _refusal(
    parts: Parts, side: Side, error: Exception, refuse: Callable[[str, str], GanzooError]
) -> GanzooError:
    section = _suspect(parts, side) or parts.culprit(error) or ""
    return refuse(section, f"the {side}'s update fails: {reason(error)}")


def _suspect(parts: Parts, side: Side) -> str:
    """The one regularizer that takes a slope in a side's update, or nothing."""
    found = parts.slopes(parts.due(side, 0))
    return f"reg.{found[0]}" if len(found) == 1 else ""


def _gradients(parts: Parts, side: Side, inputs: Inputs, ranks: Ranks, sharded: bool) -> Gradients:
    """The gradients of all weights of a side, averaged over the ranks."""
    copied = copy.deepcopy(parts)
    copied.precision = "fp32"
    with fork(copied), contained():
        batch, latents = inputs(copied)
        batch, latents = batch.each(ranks.share), ranks.share(latents)
        reseed(0)
        if sharded:
            for net in copied.nets.values():
                spread(net, torch.device("cpu"), ranks.count, torch.float32)
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


def _apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two sets of gradients differ by more than rounding."""
    if one.keys() != other.keys():
        return True
    length = sum(float(each.double().square().sum()) for each in one.values()) ** 0.5
    between = (one[name].double() - other[name].double() for name in one)
    distance = sum(float(each.square().sum()) for each in between) ** 0.5
    return not distance <= SHARE * length + LEAST
