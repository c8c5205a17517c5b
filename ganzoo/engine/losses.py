"""One side's update as a pure function over tensors; the engine decides what runs it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Augmentation, GradientPenalty, Loss, Regularizer, Side, Spec
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
]  # real logits, fake logits and generated samples of a discriminator's update
Losses = Callable[..., tuple[Tensor, tuple[str, ...], Tensor, Judged]]


class Known(dict[Any, int]):
    """Figures that were worked out about parts; a copy of the parts knows none."""

    def __deepcopy__(self, memo: Any) -> Known:
        return Known()


@dataclass
class Parts:
    """What takes part in an update, assembled."""

    generator: nn.Module
    discriminator: nn.Module
    loss: Loss
    regularizers: Mapping[str, Regularizer]
    augmentations: Mapping[str, Augmentation]
    differentiation: str = "double_backward"
    precision: str = "fp32"
    peaks: Known = field(default_factory=Known)  # bytes that updates hold, by what they depend on

    def net(self, side: Side) -> nn.Module:
        return self.discriminator if side == "discriminator" else self.generator

    def rival(self, side: Side) -> nn.Module:
        return self.generator if side == "discriminator" else self.discriminator

    def sections(self) -> dict[str, nn.Module]:
        """The parts by their section in run files: "gen", "disc", "loss", "reg.gp", "aug.ada"."""
        one: dict[str, nn.Module] = {
            "gen": self.generator,
            "disc": self.discriminator,
            "loss": self.loss,
        }
        one |= {f"reg.{name}": r for name, r in self.regularizers.items()}
        return one | {f"aug.{name}": a for name, a in self.augmentations.items()}

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
    return lambda samples, step: augmentation(samples)


def losses(parts: Parts, side: Side) -> Losses:
    """The pure function of one side's update: (data, labels, latents, progress, due, flips) ->
    (scalar to minimise, names, report, what a discriminator judged).

    data: real samples as they are stored, uint8 images included; flips [n] bool
        says which are mirrored. The report, a vector with a name for each
        entry, holds every term, unweighted. Tensors only; nothing is read back.
    """
    views = parts.views(side)

    def compute(
        data: Tensor,
        labels: Tensor | None,
        latents: Tensor,
        progress: Tensor,
        due: tuple[str, ...],
        flips: Tensor | None = None,
    ) -> tuple[Tensor, tuple[str, ...], Tensor, Judged]:
        acting = [(name, parts.regularizers[name]) for name in due]
        slopes = [(name, r) for name, r in acting if isinstance(r, GradientPenalty)]
        step = Step(
            side,
            parts.generator,
            parts.discriminator,
            data,
            latents,
            labels,
            views=views,
            progress=progress,
            flips=flips,
        )
        judged: Judged = ()
        with _autocast(parts.precision, data.device.type):
            # First, since the pass of a penalty at real or fake samples gives the logits there.
            penalties, penalised = step.penalise(slopes, parts.differentiation)
            total = adversarial(parts.loss, step)
            report = {"adversarial": total.detach()}
            for name, regularizer in acting:
                if isinstance(regularizer, GradientPenalty):
                    continue
                penalty = regularizer.penalty(step)
                if penalty is not None:
                    penalty = scalar(penalty, f"reg.{name}", f"its penalty for the {side}")
                    total = total + regularizer.scale(progress) * penalty
                    report[name] = penalty.detach()
            total = total + penalties
            report |= penalised
            if side == "discriminator":
                real, fake = (verdict.detach() for verdict in step.verdicts)
                for augmentation in parts.augmentations.values():
                    augmentation.observe(real)
                judged = real, fake, step.drawn.detach()
        # One vector: fewer kernels, and under inductor a
        # total that comes out twice loses its gradient.
        report["total"] = total.detach()
        return total, tuple(report), torch.stack(list(report.values())), judged

    return compute


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
    if spec.modality == "image" and last:
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
    net = copy.deepcopy(discriminator).double().cpu()
    labels = (
        torch.zeros(4, dtype=torch.long)
        if getattr(net, "conditional", False) and spec.classes
        else None
    )

    def height(x: Tensor) -> tuple[Tensor, tuple[()]]:
        return mean_of(as_judges(net.score(net.features(x), labels))), ()  # type: ignore[operator]

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
    return (
        "forward_over_reverse"
        if torch.dist(found[0], found[1]) <= tolerance * found[0].norm()
        else "double_backward"
    )


def _ignore(slope: Tensor) -> None:
    pass


def _gradient(parameters: Iterable[Tensor]) -> Tensor:
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    )
