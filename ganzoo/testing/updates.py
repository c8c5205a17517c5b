"""Checks on whole updates, as the engine runs them:
other types and devices, compiled, captured, in bf16.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..assembly.pipeline import SIDES
from ..contracts import Batch, GradientPenalty, Side, Spec
from ..engine.engine import Engine, only
from ..engine.losses import Parts, choose_differentiation, losses
from ..engine.randomness import reseed
from .case import BATCH, Case, DoesNotApply, on, samples_of, standing
from .nets import single
from .parts import IMAGE, home, nets_for
from .stand_ins import PlainDiscriminator, PlainGenerator, PlainLoss, PlainSlope

UPDATES = 5  # captured: two to warm up, one to record, two to replay
GRAPH = "no .item(), no branch on a tensor's value, no unsupported call in what runs in an update"


@dataclass
class Setting:
    """The parts of an update with the component among
    them, and the sides whose updates it takes part in.
    """

    parts: Parts
    spec: Spec
    sides: Sequence[Side]

    def to(self, *target: Any) -> Setting:
        """A copy elsewhere, or of another type."""
        other = copy.deepcopy(self.parts)
        for module in _modules(other):
            module.to(*target)
        return Setting(other, self.spec, self.sides)

    def given(self) -> tuple[Batch, Tensor, Tensor]:
        """A batch, latents and progress, of the weights' type and on their device."""
        reseed(4)
        like = next(
            p for net in (self.parts.discriminator, self.parts.generator) for p in net.parameters()
        )
        latents = self.parts.draw_latents(2 * BATCH)
        labels = (torch.arange(2 * BATCH) % max(self.spec.classes, 1)).to(like.device)
        samples = samples_of(self.spec, 2 * BATCH).to(like)
        batch = Batch(samples, labels, None, standing(samples, self.spec))
        return batch, latents.to(like), torch.tensor(0.2, device=like.device)

    def update(self, side: Side, compute: Any = None) -> Tensor:
        """The scalar that one update minimises, gone backward from."""
        parts, (batch, latents, progress) = self.parts, self.given()
        with only(parts.net(side), parts.rival(side)):
            total: Tensor = (compute or losses(parts, side))(
                batch, latents, progress, parts.due(side, 0)
            )[0]
            total.backward()
        return total


def _modules(parts: Parts) -> list[nn.Module]:
    return [
        parts.generator,
        parts.discriminator,
        parts.loss,
        *parts.regularizers.values(),
        *parts.augmentations.values(),
    ]


def setting(case: Case, spec: Spec) -> Setting:
    """An update with the component in it, and stand-ins for the
    rest; a discriminator meets a gradient penalty if it can.
    """
    reseed(0)
    loss, name = PlainLoss(), case.component.name
    if case.kind in ("generator", "discriminator"):
        spec = case.made(spec).spec  # with what it is given
    if case.kind == "generator":
        return Setting(
            Parts(case.copy(spec), PlainDiscriminator(spec), loss, {}, {}), spec, ("generator",)
        )
    if case.kind == "discriminator":
        try:
            net, slope = single(case).copy(spec), {"slope": PlainSlope()}
        except DoesNotApply:
            net, slope = case.copy(spec), {}
        differentiation = choose_differentiation(net, spec) if slope else "double_backward"
        return Setting(
            Parts(PlainGenerator(spec), net, loss, slope, {}, differentiation),
            spec,
            ("discriminator",),
        )
    if case.kind == "optimizer":
        return Setting(
            Parts(PlainGenerator(spec), PlainDiscriminator(spec), loss, {}, {}), spec, SIDES
        )
    if case.kind == "loss":
        return Setting(Parts(*nets_for(case, case.made(), spec), case.copy(), {}, {}), spec, SIDES)
    if case.kind == "augmentation":
        part = case.copy(spec)
        nets = PlainGenerator(spec), PlainDiscriminator(part.respec(spec))
        return Setting(Parts(*nets, loss, {}, {name: part}), spec, SIDES)
    part = case.copy()
    nets_ = nets_for(case, part, spec)
    differentiation = (
        choose_differentiation(nets_[1], spec)
        if getattr(part, "place", None)
        else "double_backward"
    )
    return Setting(
        Parts(*nets_, loss, {name: part}, {}, differentiation),
        spec,
        [side for side in SIDES if part.on(side)],
    )


def _first(case: Case) -> Spec:
    return _each(case)[0]


def _each(case: Case) -> list[Spec]:
    if case.takes_spec:
        return case.one_of_each
    return [home(case, case.made())] if case.kind in ("loss", "regularizer") else [IMAGE]


def types(case: Case) -> str:
    """In float64, as slopes are checked in, an update stays in float64."""
    for spec in _each(case):
        chosen = setting(case, spec).to(torch.float64)
        for side in chosen.sides:
            fix = (
                "give new tensors the type of those at hand: torch.zeros_like(x), x.new_zeros(...)"
            )
            total = case.attempt(f"the {side}'s update in float64", fix, chosen.update, side)
            case.require(
                total.dtype == torch.float64,
                f"the {side}'s update in float64 ends in {total.dtype}",
                fix,
            )
            case.require(
                total.isfinite(),
                f"the {side}'s update in float64 is not finite",
                "check its scales",
            )
    return f"float64 stays float64, {on(_each(case))}"


def devices(case: Case) -> str:
    """Moved to another device, an update stays there: on a GPU
    where there is one, else without data (torch's device `meta`).
    """
    device = "cuda" if case.device.type == "cuda" else "meta"
    for spec in _each(case):
        chosen = setting(case, spec).to(device)
        for side in chosen.sides:
            fix = (
                "make new tensors where those at hand are (torch.zeros_like(x)), and hold fixed "
                "ones as buffers"
            )
            try:
                total = case.attempt(
                    f"the {side}'s update on another device", fix, chosen.update, side
                )
            except AssertionError as error:
                if isinstance(error.__cause__, NotImplementedError) or "meta tensors" in str(
                    error.__cause__
                ):
                    raise DoesNotApply(
                        "an operation of it needs data; on a machine with a GPU this is tried there"
                    ) from error
                raise
            case.require(
                total.device.type == device, f"the {side}'s update ends on {total.device}", fix
            )
    return f"an update on {device} stays there, {on(_each(case))}"


def compiles(case: Case) -> str:
    """The whole update, slopes included, compiles as one
    graph, forward and backward, as the engine wants it.
    """
    backend = "inductor" if case.device.type == "cuda" else "aot_eager"
    chosen = setting(case, _first(case)).to(case.device)
    for side in chosen.sides:
        torch._dynamo.reset()
        compute = torch.compile(
            losses(chosen.parts, side), fullgraph=True, dynamic=False, backend=backend
        )
        try:
            total = case.attempt(
                f"compiling the {side}'s update as one graph", GRAPH, chosen.update, side, compute
            )
        finally:
            torch._dynamo.reset()
        case.require(total.isfinite(), f"the {side}'s update is not finite when compiled", GRAPH)
    slopes = (
        f", slopes by the {chosen.parts.differentiation.replace('_', ' ')}"
        if any(isinstance(r, GradientPenalty) for r in chosen.parts.regularizers.values())
        else ""
    )
    return f"the update of the {' and the '.join(chosen.sides)} is one graph ({backend}{slopes})"


def captures(case: Case) -> str:
    """On a GPU, the whole update can be recorded and replayed as a CUDA graph."""
    if case.device.type != "cuda":
        raise DoesNotApply("no GPU here" if not torch.cuda.is_available() else "not asked for")
    chosen, told = setting(case, _first(case)).to("cuda"), list[str]()
    parts, given = chosen.parts, chosen.given()
    make = case.build if case.kind == "optimizer" else torch.optim.Adam
    optimizers = {side: make(list(parts.net(side).parameters())) for side in SIDES}
    engine = Engine(
        parts, optimizers, dict.fromkeys(SIDES, (0.0, 0.0)), "captured", given[2], told.append
    )
    for number in range(UPDATES):
        for side in SIDES:
            report = case.attempt(
                f"the {side}'s update as a CUDA graph",
                GRAPH,
                engine.update,
                side,
                *given[:2],
                number,
            )
            fix = "allocate nothing that outlives an update, read nothing back to the host"
            case.require(not told, f"the {side}'s update is not captured: {' '.join(told)}", fix)
            case.require(
                report.values.isfinite().all(), f"the {side}'s captured update is not finite", fix
            )
    return f"{UPDATES} updates of each side, replayed"


def bf16(case: Case) -> str:
    """Under autocast to bf16, an update and its gradient are finite."""
    for spec in _each(case):
        chosen = setting(case, spec).to(case.device)
        chosen.parts.precision = "bf16"
        for side in chosen.sides:
            fix = "compute moments, exponentials and sums in float32: ganzoo.nn.full(x)"
            total = case.attempt(f"the {side}'s update in bf16", fix, chosen.update, side)
            net = chosen.parts.net(side)
            finite = total.isfinite() and all(
                p.grad.isfinite().all() for p in net.parameters() if p.grad is not None
            )
            case.require(finite, f"the {side}'s update in bf16 is not finite", fix)
    return f"update and gradient are finite, {on(_each(case))}"
