"""Everything that one training needs, assembled and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..config.schedules import ends, followed, moves
from ..config.tree import Config
from ..contracts import Dataset, Metric, Side, Spec, Tracker
from ..distributed.ranks import ALONE, Ranks
from ..distributed.sharding import part_like, spread, spread_state
from ..engine.average import Average
from ..engine.blame import reason
from ..engine.losses import Parts
from ..engine.moving import Moving
from ..engine.power_average import PowerAverage
from ..errors import BrokenPlugin

SIDES: tuple[Side, ...] = ("discriminator", "generator")
SECTION = {"generator": "gen", "discriminator": "disc"}  # a side's section in run files


@dataclass
class Pipeline:
    """The assembled parts of a training; `config` is
    complete: every option of every part is written out.
    """

    config: Config
    spec: Spec
    dataset: Dataset
    parts: Parts
    optimizers: dict[Side, torch.optim.Optimizer]
    average: Average
    device: torch.device
    engine: str
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    trackers: Mapping[str, Tracker] = field(default_factory=dict)
    versions: Mapping[str, str] = field(
        default_factory=dict
    )  # distribution -> version, of every plugin that takes part
    owners: Mapping[str, str] = field(default_factory=dict)  # section -> "distribution:plugin"
    moving: Sequence[Moving] = ()
    notes: list[str] = field(default_factory=list)  # what assembly adapted and why
    held: Dataset | None = None  # samples that the training does not see
    powers: Mapping[str, PowerAverage] = field(default_factory=dict)  # averages for snapshots
    ranks: Ranks = ALONE  # who computes shares of each batch

    def clips(self, side: Side) -> tuple[float, float]:
        """(largest gradient norm, largest gradient entry) of a side; 0 is off."""
        section = getattr(self.config.optim, SECTION[side])
        return section.clip_norm, section.clip_value

    def rate_factor(self, side: Side, images: int) -> float:
        """What a side's learning rate is multiplied by after so many images."""
        section = getattr(self.config.optim, SECTION[side])
        goal = self.config.train.images
        factor = learning_rate_factor(section.schedule, min(images / goal, 1.0))
        if section.warmup:  # the first update is to move something
            factor *= min((images + self.config.train.batch_size) / section.warmup, 1.0)
        moved = self._rates.get(side)
        return factor if moved is None else factor * moved(images, goal)

    def move(self, images: int) -> None:
        """Set every number that moves, but for the learning rates, for the next update."""
        for moving in self.moving:
            moving.set(images, self.config.train.images)
        self.average.half_life = self._half_life(images, self.config.train.images)

    @cached_property
    def _half_life(self) -> Callable[[int, int], Any]:
        return followed(self.config.average.half_life)

    @cached_property
    def _rates(self) -> dict[Side, Callable[[int, int], float]]:
        """Learning rates that are schedules, as multiples of their first value."""
        found: dict[Side, Callable[[int, int], float]] = {}
        for side in SIDES:
            rate = getattr(self.config.optim, SECTION[side]).options.get("lr")
            if moves(rate):
                found[side] = _relative(followed(rate), ends(rate)[0])
        return found

    def blame(self, error: Exception) -> Exception:
        """The error as a line that names the part in whose code it
        arose and who ships it; unchanged when it was no part's.
        """
        others: dict[str, object] = {
            f"optim.{SECTION[side]}": optimizer for side, optimizer in self.optimizers.items()
        }
        others |= {f"metric.{name}": metric for name, metric in self.metrics.items()}
        others |= {f"tracker.{name}": tracker for name, tracker in self.trackers.items()}
        section = self.parts.culprit(error, others)
        if section is None or section not in self.owners:
            return error
        who = f"{section} of {self.owners[section]}"
        return BrokenPlugin(
            f"{who} fails in the training: {reason(error)}; ganzoo check-plugin tries each of its "
            f"parts by itself"
        )

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Weights and buffers of all parts, by group."""
        return {
            "generator": self.parts.generator.state_dict(),
            "discriminator": self.parts.discriminator.state_dict(),
            "average": self.average.net.state_dict(),
            "parts": {
                f"{prefix}:{key}": value
                for prefix, module in self._stateful().items()
                for key, value in module.state_dict().items()
            },
            **{f"average_{name}": each.net.state_dict() for name, each in self.powers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Put back what `state_dict` gave."""
        for side in SIDES:
            net = self.parts.net(side)
            own = net.state_dict()
            given = {k: part_like(v, own[k]) if k in own else v for k, v in state[side].items()}
            net.load_state_dict(given)
        self.average.load_state_dict(state["average"])
        for name, each in self.powers.items():
            each.load_state_dict(state[f"average_{name}"])
        for prefix, module in self._stateful().items():
            own = {
                key.removeprefix(f"{prefix}:"): v
                for key, v in state.get("parts", {}).items()
                if key.startswith(f"{prefix}:")
            }
            module.load_state_dict(own)

    @property
    def shards(self) -> bool:
        """Whether the nets of a training are spread over the ranks."""
        return self.config.train.shard and self.ranks.count > 1

    def spread(self) -> None:
        """Let each rank keep a part of the nets, the optimizers' state and the averages; all ranks
        have the same now. The first rank's averages stay whole beside that, for its pictures.
        """
        before = {side: list(self.parts.net(side).parameters()) for side in SIDES}
        reduce = torch.bfloat16 if self.config.train.reduce == "bf16" else torch.float32
        for role, net in self.parts.nets.items():
            spread(net, self.parts.units[role], self.device, self.ranks.count, reduce)
        for module in self._stateful().values():
            module.to(self.device)
        for side in SIDES:
            now = zip(before[side], self.parts.net(side).parameters(), strict=True)
            spread_state(self.optimizers[side], dict(now))
        for each in (self.average, *self.powers.values()):
            each.spread(self.parts.generator)
            if self.ranks.first:
                each.net.to(self.device)

    def gather_averages(self) -> None:
        """Make the averages whole, on every rank at once."""
        for each in (self.average, *self.powers.values()):
            each.gather()

    def _stateful(self) -> dict[str, torch.nn.Module]:
        parts = self.parts
        regularizers = {f"reg.{name}": module for name, module in parts.regularizers.items()}
        return {
            "loss": parts.loss,
            **regularizers,
            **{f"aug.{name}": module for name, module in parts.augmentations.items()},
            **{f"given.{name}": module for name, module in parts.conditions.items()},
            "game": parts.game,
        }


def learning_rate_factor(schedule: str, progress: float) -> float:
    """The share of the initial learning rate at this point of the training."""
    import math

    left = max(0.0, 1.0 - progress)
    return {
        "constant": 1.0,
        "linear": left,
        "cosine": (1 + math.cos(math.pi * min(progress, 1.0))) / 2,
    }[schedule]


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Scale every group's learning rate from its initial one; returns the first group's."""
    rate = 0.0
    for group in reversed(optimizer.param_groups):
        if "initial_lr" not in group:  # reading a tensor's value would make the host wait
            group["initial_lr"] = float(group["lr"])
        rate = group["initial_lr"] * factor
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    return rate


def _relative(at: Callable[[int, int], float], first: float) -> Callable[[int, int], float]:
    return lambda images, goal: at(images, goal) / first
