"""What a rank does that is not the first: it computes its share, writes nothing, and says nothing
but what went wrong with itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from .. import config as configuration
from ..assembly.assembling import assemble
from ..assembly.pipeline import Pipeline
from ..components.registry import Registry
from ..config.layers import Meant
from ..config.tree import Config
from ..distributed.ranks import Ranks
from ..distributed.software import digest, software
from ..distributed.states import given_state
from . import failures
from . import rollback as recovery
from .loop import Training


def invite(ranks: Ranks, config: Config, meant: Meant) -> None:
    """Tell the other ranks what is to be trained."""
    if ranks.count > 1:
        names = [[*key, owner] for key, owner in meant.items()]
        ranks.tell({"config": config.tree(), "meant": names})


def dismiss(ranks: Ranks) -> None:
    """Tell the other ranks that there is nothing to train."""
    if ranks.count > 1:
        ranks.tell({})


def meet(training: Training, resumed: bool) -> None:
    """Let the other ranks begin where this one stands."""
    ranks = training.ranks
    if ranks.count > 1:
        place = "" if training.folder is None else str(training.folder.absolute())
        ranks.tell({"resumed": resumed, "folder": place})
        if resumed:
            given_state(ranks, training.state_dict())
        ranks.equal_weights([training.pipeline.parts.net(side) for side in training.engine.plain])


def follow(ranks: Ranks, registry: Registry, heard: Callable[[Training], Any]) -> None:
    """Train what the first rank trains; `heard` is told of the training before it begins, so that
    signals reach it. Raises what a training raises, and RankGone when the first rank gives up.
    """
    told = ranks.tell()
    if not told:
        return
    meant = {(kind, name): owner for kind, name, owner in told["meant"]}
    pipeline = assemble(configuration.check(told["config"]), registry.meaning(meant), ranks=ranks)
    ranks.compare(identity(pipeline))
    training = Training(pipeline)
    begun = ranks.tell()
    if not begun:
        return
    if begun["resumed"]:
        training.load_state_dict(given_state(ranks))
    ranks.equal_weights([pipeline.parts.net(side) for side in training.engine.plain])
    folder = Path(begun["folder"]) if begun["folder"] else None
    with heard(training), failures.kept(training, folder):
        recovery.run(training, lambda line: None)


def identity(pipeline: Pipeline) -> dict[str, str]:
    """What has to be the same on all ranks of a training, in words and sums."""
    device = pipeline.device
    name = "" if device.type != "cuda" else f" {torch.cuda.get_device_name(device)}"
    sizes = [tuple(p.shape) for net in pipeline.parts.nets.values() for p in net.parameters()]
    return {
        **software(),
        "versions of plugins": json.dumps(dict(pipeline.versions)),
        "device": f"{device.type}{name}",
        "precision": pipeline.parts.precision,
        "engine": pipeline.engine,
        "data": _sum_of(pipeline.dataset.fingerprint()),
        "nets": _sum_of({"sizes": sizes}),
    }


def _sum_of(content: Mapping[str, Any]) -> str:
    return digest(json.dumps(content, sort_keys=True, default=str).encode())
