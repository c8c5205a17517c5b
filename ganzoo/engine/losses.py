"""One side's update as a pure function over tensors; the engine decides what runs it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import (
    Augmentation,
    Batch,
    Condition,
    Game,
    GradientPenalty,
    Loss,
    Regularizer,
    Side,
    Spec,
    Update,
)
from ..contracts.game import Nets
from ..contracts.gradients import gradient_penalty
from ..contracts.step import Step, View, as_judges, mean_of
from ..contracts.values import scalar
from .blame import culprit


@dataclass
class Report:
    """What one update found, still on the device: a vector with a name for each entry."""

    names: tuple[str, ...]
    values: Tensor
    gradient: Tensor | None = None


Judged = tuple[
    Tensor, ...
]  # of a discriminator's update: real logits, fake logits, generated samples, and real ones if
# these are not the batch's
Losses = Callable[..., tuple[Tensor, tuple[str, ...], Tensor, Judged]]


class Known(dict[Any, int]):
    """Figures that were worked out about parts; a copy of the parts knows none."""

    def __deepcopy__(self, memo: Any) -> Known:
        return Known()


@dataclass
class Parts:
    """What takes part in an update, assembled.

    generator, discriminator: what each player moves, a net or its `Nets`
    """

    generator: nn.Module
    discriminator: nn.Module
    loss: Loss
    regularizers: Mapping[str, Regularizer]
    augmentations: Mapping[str, Augmentation]
    differentiation: str = "double_backward"
    precision: str = "fp32"
    game: Game = field(default_factory=lambda: Game(Spec((1,))))
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    label_dropout: float = 0.0  # share of the labels that are the last class, "any", instead
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by role: the modules that
    # are gathered by themselves, where nets are spread over ranks
    peaks: Known = field(default_factory=Known)  # bytes that updates hold, by what they depend on

    def net(self, side: Side) -> nn.Module:
        return self.discriminator if side == "discriminator" else self.generator

    def rival(self, side: Side) -> nn.Module:
        return self.generator if side == "discriminator" else self.discriminator

    @property
    def nets(self) -> dict[str, nn.Module]:
        """The nets by role."""
        found: dict[str, nn.Module] = {}
        for role, player in (("gen", self.generator), ("disc", self.discriminator)):
            found |= player.by_role() if isinstance(player, Nets) else {role: player}
        return found

    def nets_of(self, side: Side) -> dict[str, nn.Module]:
        """The nets by role of one player."""
        net = self.net(side)
        role = "disc" if side == "discriminator" else "gen"
        return net.by_role() if isinstance(net, Nets) else {role: net}

    def draw_latents(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Latents [count, ...] for one update."""
        return self.game.draw_latents(self.nets, count, generator)

    def sections(self) -> dict[str, nn.Module]:
        """The parts by their section in run files: "gen", "disc", "loss", "reg.gp", "aug.ada"."""
        found: dict[str, nn.Module] = {**self.nets, "loss": self.loss}
        found |= {f"reg.{name}": r for name, r in self.regularizers.items()}
        found |= {f"aug.{name}": a for name, a in self.augmentations.items()}
        found |= {f"given.{name}": c for name, c in self.conditions.items()}
        return found | {"game": self.game}

    def culprit(
        self, error: BaseException, others: Mapping[str, object] = MappingProxyType({})
    ) -> str | None:
        """The section of the part that an error is to be blamed on, if any.

        others: what has a section and is no part of an update (optimizers, metrics, trackers).
        """
        return culprit({**self.sections(), **others}, error)

    def due(self, side: Side, update: int) -> tuple[str, ...]:
        """The regularizers that act in this side's update of that number."""
        return tuple(
            name for name, r in self.regularizers.items() if r.on(side) and update % r.every == 0
        )

    def slopes(self, due: Iterable[str]) -> list[str]:
        """Those of some regularizers that take slopes of a net."""
        found = ((name, self.regularizers[name]) for name in due)
        return [name for name, r in found if isinstance(r, GradientPenalty) or r.differentiates]

    def views(self, side: Side) -> list[View]:
        """Changes of what the discriminator sees in this side's
        updates: augmentations, then regularizers that have one.
        """
        changes: list[View] = [_without_step(a) for a in self.augmentations.values()]
        return changes + [
            r.view
            for r in self.regularizers.values()
            if r.on(side) and type(r).view is not Regularizer.view
        ]


def _without_step(augmentation: Augmentation) -> View:
    if augmentation.conditional:
        return lambda samples, step: augmentation(samples, step.labels)
    return lambda samples, step: augmentation(samples)


def losses(parts: Parts, side: Side) -> Losses:
    """The pure function of one side's update: (batch, latents, progress, due) ->
    (scalar to minimise, names, report, what a discriminator judged).

    The batch holds real samples as they are stored, uint8 images included. The report, a vector
    with a name for each entry, holds every term, unweighted. Tensors only; nothing is read back.
    """
    views = parts.views(side)
    conditions = tuple(parts.conditions.values())

    def compute(
        batch: Batch, latents: Tensor, progress: Tensor, due: tuple[str, ...]
    ) -> tuple[Tensor, tuple[str, ...], Tensor, Judged]:
        nets = parts.nets
        if parts.label_dropout:
            batch = _with_fewer_labels(batch, parts.label_dropout, parts.game.spec.classes - 1)
        update = Update(side, nets, batch, latents, progress, views=views, conditions=conditions)
        with _autocast(parts.precision, latents.device.type):
            steps = parts.game.steps(update)
            found = [_of_step(parts, step, due) for step in steps]
            alone = len(found) == 1 and steps[0].weight == 1
            total, report = found[0] if alone else _together(found, [s.weight for s in steps])
            for name, term in parts.game.terms(update, steps).items():
                term = scalar(term, "game", f"{name} for the {side}")
                total = total + term
                report[name] = term.detach()
            judged: Judged = ()
            if side == "discriminator":
                first = steps[0]
                real, fake = (verdict.detach() for verdict in first.verdicts)
                for augmentation in parts.augmentations.values():
                    augmentation.observe(real)
                judged = real, fake, first.drawn.detach()
                if first.drawn.shape != batch.samples.shape:  # the game's own samples are judged
                    judged = *judged, first.data.detach()
        # One vector: fewer kernels, and under inductor a
        # total that comes out twice loses its gradient.
        report["total"] = total.detach()
        return total, tuple(report), torch.stack(list(report.values())), judged

    return compute


def _with_fewer_labels(batch: Batch, share: float, other: int) -> Batch:
    """The batch with the class `other` in the place of a share of the labels, those of real and
    generated samples alike (Ho and Salimans 2022, for diffusion).
    """
    assert batch.labels is not None
    dropped = torch.rand(batch.labels.shape, device=batch.labels.device) < share
    return batch._replace(labels=torch.where(dropped, other, batch.labels))


def _of_step(parts: Parts, step: Step, due: tuple[str, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and penalties of one step: their sum, and each unweighted by name."""
    acting = [(name, parts.regularizers[name]) for name in due]
    slopes = [(name, r) for name, r in acting if isinstance(r, GradientPenalty)]
    # First, since the pass of a penalty at real or fake samples gives the logits there.
    penalties, penalised = step.penalise(slopes, parts.differentiation)
    judged = step
    for _, regularizer in acting:
        judged = regularizer.for_loss(judged, parts.loss)
    total = adversarial(parts.loss, judged)
    report = {"adversarial": total.detach()}
    for name, regularizer in acting:
        if isinstance(regularizer, GradientPenalty):
            continue
        penalty = regularizer.penalty(step)
        if penalty is not None:
            penalty = scalar(penalty, f"reg.{name}", f"its penalty for the {step.side}")
            total = total + regularizer.scale(step.progress) * penalty
            report[name] = penalty.detach()
    return total + penalties, report | penalised


def _together(
    found: Sequence[tuple[Tensor, dict[str, Tensor]]], weights: Sequence[float]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of the steps' losses by their weights, and the means of what they report."""
    weighted = [weight * total for (total, _), weight in zip(found, weights, strict=True)]
    names = dict.fromkeys(name for _, report in found for name in report)
    means = {
        name: torch.stack([report[name] for _, report in found if name in report]).mean()
        for name in names
    }
    return torch.stack(weighted).sum(), means


def adversarial(loss: Loss, step: Step) -> Tensor:
    """The loss's value for the side of a step, averaged over the discriminator's judges."""
    what = f"its value for the {step.side}"
    values = [
        scalar(getattr(loss, step.side)(one), "loss", what, reaches=True) for one in step.judges
    ]
    return values[0] if len(values) == 1 else torch.stack(values).mean()


def arrange(parts: Parts, spec: Spec, device: torch.device) -> None:
    """Put the nets' weights in the order in memory
    in which convolutions are quicker: channels last.

    Not so on a CPU for slopes in bf16, which were measured, nor on devices where nobody measured.
    It depends on nothing that changes between assemblies, since results differ by rounding.
    """
    slopes = any(isinstance(r, GradientPenalty) for r in parts.regularizers.values())
    last = device.type == "cuda" or (
        device.type == "cpu" and not (parts.precision == "bf16" and slopes)
    )
    if spec.modality in ("image", "map") and last:
        for net in (parts.generator, parts.discriminator):
            net.to(memory_format=torch.channels_last)


def _autocast(precision: str, device: str) -> contextlib.AbstractContextManager[Any]:
    return (
        torch.autocast(device, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
    )


def choose_differentiation(discriminator: nn.Module, spec: Spec, tolerance: float = 1e-6) -> str:
    """Which form of a gradient penalty to use: "forward_over_reverse" where it gives this
    discriminator's gradient in float64 as double backward does, else "double_backward".
    """
    net: Any = copy.deepcopy(discriminator).double().cpu()
    conditional = getattr(net, "conditional", False) and spec.classes
    labels = torch.zeros(4, dtype=torch.long) if conditional else None
    given = {
        name: torch.randn(4, *spec.given[name].shape, dtype=torch.float64)
        for name in getattr(net, "reads", ())
    }

    def height(x: Tensor) -> tuple[Tensor, tuple[()]]:
        return mean_of(as_judges(net.score(net.features(x, **given), labels))), ()

    def of(slope: Tensor) -> tuple[Tensor, tuple[()]]:
        lengths = slope.flatten(1).square().sum(1)
        return lengths.mean() + (lengths + 1e-12).sqrt().mean(), ()

    found: list[Tensor] = []
    with torch.random.fork_rng(devices=[]):
        x = torch.randn(4, *spec.shape, dtype=torch.float64)
        for differentiation in ("double_backward", "forward_over_reverse"):
            torch.manual_seed(0)
            net.zero_grad()
            try:
                gradient_penalty(height, x, of, _ignore, differentiation)[0].backward()
            except (RuntimeError, NotImplementedError):  # an operation without forward mode
                return "double_backward"
            found.append(_gradient(net.parameters()))
    same = torch.dist(found[0], found[1]) <= tolerance * found[0].norm()
    return "forward_over_reverse" if same else "double_backward"


def _ignore(slope: Tensor) -> None:
    pass


def _gradient(parameters: Iterable[Tensor]) -> Tensor:
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    )
