"""How fast a component is, beside one of ganzoo's own of the same kind at the same spec."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median, median_low

import torch
from torch import Tensor, nn

from ..assembly.pipeline import SIDES
from ..components.registry import Component
from ..contracts import GradientPenalty, Spec
from ..errors import GanzooError
from .case import Case, DoesNotApply, Noted, describe, grouped, judging, labels_for, samples_of
from .data import measured, ready
from .parts import IMAGE, given_logits, home, nets_for
from .stand_ins import step_of

COUNT = 32  # samples
ROUNDS, SECONDS = 15, 0.6  # timed calls of each, and what all of them may take
OWN = "ganzoo"  # the distribution that references come from
Run = Callable[[], object]


def speed(case: Case) -> str:
    """The median time of what it computes (forward, a gradient
    penalty included where there is one) beside a reference's.
    """
    spec = case.taken[0] if case.takes_spec else IMAGE
    mine = _run(case, spec)
    rivals = _rivals(case, spec)
    if not rivals:
        raise DoesNotApply(f"ganzoo has no {case.kind} of its own to compare with")
    name, other = _reference(case, spec, rivals)
    own, theirs = _alternate(mine, other, case.device)
    ratio = own / theirs
    where = f" on {describe(spec)}" if case.takes_spec else ""
    found = f"{_duration(own)} a call{where}, {ratio:.2f} x the time of {name}"
    if case.budget is None:
        return Noted(found)
    fix = "look for host reads, many small operations, or work that is done twice"
    case.require(ratio <= case.budget, f"takes {found}, and the budget is {case.budget:g}", fix)
    return f"{found} (budget {case.budget:g})"


def _rivals(case: Case, spec: Spec) -> dict[str, tuple[Component, Run]]:
    """ganzoo's own components of the kind that run
    there, by name; with `against` that one alone.
    """
    found: dict[str, tuple[Component, Run]] = {}
    candidates = [
        c
        for c in case.registry.components(case.kind)
        if c.distribution == OWN
        and c != case.component
        and spec.modality in getattr(c.load(), "modalities", (spec.modality,))
    ]
    if case.against is not None:
        candidates = [case.registry.get(case.kind, case.against)]
    slope = isinstance(case.made(), GradientPenalty) if case.kind == "regularizer" else False
    for component in candidates:
        other = Case(component, {}, specs=[spec], registry=case.given, device=str(case.device))
        try:
            if case.kind != "regularizer" or isinstance(other.made(), GradientPenalty) == slope:
                found[component.name] = component, _run(other, spec)
        except (GanzooError, AssertionError, DoesNotApply):
            continue
    return found


def _reference(case: Case, spec: Spec, rivals: dict[str, tuple[Component, Run]]) -> tuple[str, Run]:
    """The rival nearest in parameters, for nets; else the one whose time is the middle one."""
    if case.kind in ("generator", "discriminator"):
        size = _size(case.made(spec))
        name = min(
            rivals, key=lambda name: abs(_size(Case(rivals[name][0], {}).made(spec)) / size - 1)
        )
    else:
        times = {name: _time(run, case.device) for name, (_, run) in rivals.items()}
        name = next(
            name for name, seconds in times.items() if seconds == median_low(times.values())
        )
    return name, rivals[name][1]


def _size(net: nn.Module) -> int:
    return max(1, sum(p.numel() for p in net.parameters()))


def _run(case: Case, spec: Spec) -> Run:
    """One call of what is timed."""
    device = case.device
    if case.kind == "optimizer":
        weights = [nn.Parameter(torch.ones(256, 256, device=device)) for _ in range(4)]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer = case.build(weights)
        return lambda: optimizer.step()
    if case.kind == "metric":
        metric, real = ready(case, spec), grouped(spec, 256)
        sides = [real, real.flip(0), real][: 3 if "held" in metric.reads else 2]
        return lambda: measured(metric, *sides)
    if case.kind == "loss":
        loss, logits = (
            case.copy().to(device),
            torch.linspace(-1, 1, COUNT, device=device).requires_grad_(),
        )

        def both() -> None:
            for side in SIDES:  # a step anew: what it computed for one backward pass is gone
                getattr(loss, side)(given_logits(case, side, logits, logits)).backward()

        return both
    if case.kind == "regularizer":
        return _regularizer(case, device)
    part, data = case.copy(spec).to(device), samples_of(spec, COUNT).to(device)
    if case.kind == "augmentation":
        return lambda: part(data)
    classes = labels_for(part, spec)
    classes = None if classes is None else classes.repeat(COUNT // len(classes)).to(device)
    given = part.draw_latents(COUNT).to(device) if case.kind == "generator" else data
    called = judging(part)
    return lambda: called(given, classes).sum().backward()


def _regularizer(case: Case, device: torch.device) -> Run:
    """Its hooks in one update of each side that it acts on."""
    part = case.copy().to(device)
    spec = home(case, part)
    generator, discriminator = (net.to(device) for net in nets_for(case, part, spec))

    def run() -> None:
        for side in SIDES:
            if part.on(side):
                step = step_of(side, generator, discriminator, spec)
                part.view(step.data, step)
                penalty = part.penalty(step)
                if isinstance(penalty, Tensor) and penalty.requires_grad:
                    penalty.backward()
                with torch.no_grad():
                    part.after_update(step.net)

    return run


def _time(run: Run, device: torch.device, rounds: int = 5) -> float:
    run()
    return median(_once(run, device) for _ in range(rounds))


def _once(run: Run, device: torch.device) -> float:
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _alternate(one: Run, other: Run, device: torch.device) -> tuple[float, float]:
    """Median seconds of a call of each; they take turns,
    so that what else the machine does meets both.
    """
    times: list[tuple[float, float]] = []
    for run in (one, other):
        _time(run, device, 2)
    began = time.perf_counter()
    while len(times) < 3 or (len(times) < ROUNDS and time.perf_counter() - began < SECONDS):
        times.append((_once(one, device), _once(other, device)))
    return median(t[0] for t in times), median(t[1] for t in times)


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
