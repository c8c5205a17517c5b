"""Updates before the training, on copies: do the
parts work together, and how much memory does it take?
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from ..components.isolation import contained
from ..contracts import Batch, Dataset, Side, Spec
from ..engine.blame import reason
from ..engine.engine import SIDES, observe
from ..engine.losses import Parts
from ..engine.simulation import (
    FEW,
    device_of,
    fork,
    one_update,
    simulated_peak,
    update_peak,
    within_memory,
)
from ..engine.sizes import refuse_update
from ..errors import BrokenPlugin, GanzooError
from ..io.device_memory import planned_memory


def rehearse(
    parts: Parts, dataset: Dataset, spec: Spec, batch: int, say: Callable[[str], str]
) -> None:
    """Updates of both sides on copies of the parts, so
    that what does not work is a line before the training.

    Once at full size on tensors without storage, which costs no arithmetic,
    and once on a few real samples, hooks after the update included; on a whole
    batch where a part cannot do with less. `say` words a section ("reg.gp")
    for the person. Raises BrokenPlugin naming the part that failed.
    """
    for side in SIDES:
        few = min(batch, FEW)
        try:
            simulated_peak(parts, spec, batch, side)
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
            inputs = _samples(real, dataset, spec, count)
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


def _samples(parts: Parts, dataset: Dataset, spec: Spec, count: int) -> tuple[Batch, Tensor]:
    """Samples from all over the data, which are often sorted
    by class, with what belongs to them, and latents.
    """
    chosen = torch.linspace(0, len(dataset) - 1, count).long()
    batch, device = dataset.gather(chosen), device_of(parts)
    given = dict(batch.given)
    for name, other in dataset.others.items():
        given[name] = other.gather(torch.linspace(0, len(other) - 1, count).long()).samples
    batch = batch._replace(
        labels=batch.labels if spec.classes else None,
        given={name: each for name, each in given.items() if name in spec.given},
    )
    return batch.each(lambda tensor: tensor.to(device)), parts.draw_latents(count).to(device)
