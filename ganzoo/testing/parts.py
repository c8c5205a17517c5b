"""Checks of losses, regularizers and augmentations, against small nets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Augmentation, Loss, Regularizer, Side, SlopePenalty, Spec, Step
from ..pipeline import SIDES
from ..plugins import zoo
from ..registry import Component, Registry
from ..slope import slope_penalty
from ..update import Parts, terms
from .basics import (
    BATCH,
    SPECS,
    Case,
    PlainDiscriminator,
    PlainGenerator,
    PlainLoss,
    check_described,
    describe,
    gradients,
    plain_state,
)

IMAGE = Spec((1, 16, 16), 3)
READS = "read only what Step offers"
HOOKS = ("prepare", "view", "penalty", "after_update")


def _step(side: Side, generator: Any, discriminator: Any, spec: Spec) -> Step:
    """One update's view of samples that are always the same."""
    torch.manual_seed(4)
    data = torch.randn(BATCH, *spec.shape).clamp(-1, 1).to(next(discriminator.parameters()))
    labels = torch.arange(BATCH) % max(spec.classes, 1)
    latents = generator.draw_latents(BATCH).to(data)
    return Step(side, generator, discriminator, data, latents, labels, progress=torch.tensor(0.2))


def _require_update_compiles(case: Case, spec: Spec, sides: Sequence[Side], nets: Sequence[nn.Module], **given: Any) -> None:
    """The whole pure function of an update, as the engine compiles it."""
    parts = Parts(*nets, **{"loss": PlainLoss(), "regularizers": {}, "augmentations": {}, **given})  # type: ignore[arg-type]
    for side in sides:
        step, own = _step(side, parts.generator, parts.discriminator, spec), copy.deepcopy(parts)
        arguments = (step.data, step.labels, step.latents, step.progress, own.due(side, 0))
        case.require_compiles(f"the {side}'s update", terms(own, side), *arguments)


def _require_scalar(case: Case, value: Any, what: str) -> None:
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    case.require(shape == (), f"{what} is {shape}", "return a scalar tensor: end in .mean() or .sum()")
    case.require(value.isfinite(), f"{what} is not finite", "check what overflows or divides by zero")


def _require_no_backward(case: Case, *nets: nn.Module) -> None:
    touched = any(p.grad is not None for net in nets for p in net.parameters())
    case.require(not touched, "calls backward", "return a tensor; only the training loop calls backward and step")


class _Given(Step):
    """A step whose logits are given."""

    def __init__(self, side: Side, real: Tensor, fake: Tensor) -> None:
        spec = Spec((2,))
        labels = torch.zeros(len(real), dtype=torch.long)
        data, latents = torch.zeros(len(real), 2), torch.zeros(len(real), 8)
        super().__init__(side, PlainGenerator(spec), PlainDiscriminator(spec), data, latents, labels)
        self.given = real, fake

    @property
    def real_logits(self) -> Tensor:
        return self.given[0]

    @property
    def fake_logits(self) -> Tensor:
        return self.given[1]


def check_loss(component: Component, **options: Any) -> None:
    """Finite scalars for both sides, also at large logits; the right signs; gradients reach the net; nothing is updated."""
    case = check_described(component, **options)
    loss: Loss = case.build_as(Loss)
    case.require_no_parameters(loss)
    before = plain_state(loss)
    nets = PlainGenerator(IMAGE), PlainDiscriminator(IMAGE)
    for side in SIDES:
        function: Callable[[Step], Tensor] = getattr(loss, side)
        what, step = f"the {side}'s loss", _step(side, *nets, IMAGE)
        value = case.attempt(what, READS, function, step)
        _require_scalar(case, value, what)
        _require_no_backward(case, *nets)
        mend = "compute it from the step's logits, and detach none of them"
        case.require(gradients(value, step.net).any(), f"{what} gives its net no gradient", mend)
        for size in (-50.0, 50.0):
            value = function(_Given(side, torch.full((BATCH,), size), torch.full((BATCH,), -size)))
            _require_scalar(case, value, f"{what} at logits of {size:+.0f} (real) and {-size:+.0f} (fake)")
        _check_direction(case, side, function)
    case.require_no_hidden_state(loss, before)
    case.require_round_trip(loss, case.build(seed=1))
    _require_update_compiles(case, IMAGE, SIDES, nets, loss=loss)


def _check_direction(case: Case, side: Side, function: Callable[[Step], Tensor]) -> None:
    """A larger logit means more real: the discriminator wants real above fake, the generator its samples higher."""
    real, fake = torch.zeros(BATCH, requires_grad=True), torch.zeros(BATCH, requires_grad=True)
    slopes = torch.autograd.grad(function(_Given(side, real, fake)), [real, fake], materialize_grads=True, allow_unused=True)
    rise = slopes[0].sum() - slopes[1].sum() if side == "discriminator" else slopes[1].sum()
    wants = "real logits above fake ones" if side == "discriminator" else "its samples' logits higher"
    case.require(rise < 0, f"the {side}'s loss does not want {wants}", "larger logits mean more real; check the signs")


def check_regularizer(component: Component, *, spec: Spec = IMAGE, registry: Registry | None = None, **options: Any) -> None:
    """Finite scalars on the sides it acts on; a slope's gradient exact; views keep the shape; constraints keep nets sound.

    Where `needs` asks for a trait, a net that has it is looked for in the registry (default: what is installed).
    """
    case = check_described(component, **options)
    regularizer: Regularizer = case.build_as(Regularizer)
    acts = any(getattr(type(regularizer), hook) is not getattr(Regularizer, hook) for hook in HOOKS)
    case.require(acts, "does nothing", "define penalty, view, prepare or after_update, or `of` of a SlopePenalty")
    sides = [side for side in SIDES if regularizer.on(side)]
    case.require(sides, f"its side is {regularizer.side!r}", "name discriminator, generator or both")
    case.require_no_parameters(regularizer)
    nets = _nets_for(case, regularizer, spec, registry or zoo().registry)
    case.attempt("preparing the nets", "prepare(generator, discriminator) is called once", regularizer.prepare, *nets)
    before = plain_state(regularizer)
    for side in sides:
        if isinstance(regularizer, SlopePenalty):
            _check_slope(case, regularizer, side, nets, spec)
        _check_side(case, regularizer, _step(side, *nets, spec))
    case.require_no_hidden_state(regularizer, before)
    case.require_round_trip(regularizer, case.build(seed=1))
    _require_update_compiles(case, spec, sides, nets, regularizers={component.name: regularizer})


def _nets_for(case: Case, regularizer: Regularizer, spec: Spec, registry: Registry) -> tuple[nn.Module, nn.Module]:
    """A generator and a discriminator with the traits that the regularizer needs."""
    nets: dict[str, nn.Module] = {"generator": PlainGenerator(spec), "discriminator": PlainDiscriminator(spec)}
    for kind, trait in regularizer.needs.items():
        if kind in nets and not getattr(nets[kind], trait, False):
            able = [c for c in registry.components(kind) if getattr(c.load(), trait, False)]
            case.require(able, f"needs a {kind} with the trait {trait!r}, and none is installed", "ship one, or correct `needs`")
            nets[kind] = able[0].create(spec)
    return nets["generator"], nets["discriminator"]


def _check_side(case: Case, regularizer: Regularizer, step: Step) -> None:
    """Every hook in one side's update."""
    mend = "view(samples, step) gives samples of the same shape; an Augmentation may change it"
    seen = case.attempt("changing what is seen", mend, regularizer.view, step.data, step)
    case.require(seen.shape == step.data.shape, f"its view makes {tuple(seen.shape)} of {tuple(step.data.shape)}", mend)
    penalty = case.attempt(f"its penalty in the {step.side}'s update", READS, regularizer.penalty, step)
    if penalty is not None:
        _require_scalar(case, penalty, f"its penalty in the {step.side}'s update")
        mend = "set `side` to the net that it is to change, and detach nothing"
        case.require(gradients(penalty, step.net).any(), f"its penalty gives the {step.side} no gradient", mend)
    _require_no_backward(case, step.generator, step.discriminator)
    with torch.no_grad():
        case.attempt("after_update", "after_update(net) changes the net in place", regularizer.after_update, step.net)
    finite = all(bool(p.isfinite().all()) for p in step.net.parameters())
    case.require(finite, "leaves weights that are not finite", "check after_update")


def _check_slope(case: Case, penalty: SlopePenalty, side: Side, nets: tuple[nn.Module, nn.Module], spec: Spec) -> None:
    """Each way of the engine against plain double backward in float64; a slope of zero must have a finite gradient."""
    generator, discriminator = (copy.deepcopy(net).double() for net in nets)
    found: dict[str, Tensor] = {}
    for way in ("plain", "double", "dual") if penalty.place else ("plain", "double"):
        mine, step = copy.deepcopy(penalty).double(), _step(side, generator, discriminator, spec)
        value = case.attempt(
            f"its slope by the {way} way", "compute in `of`, without a branch on a tensor", _slope_of, mine, step, way
        )
        _require_scalar(case, value, "`of`")
        found[way] = torch.cat([value.detach()[None], gradients(value, step.net)])
        close = (found[way] - found["plain"]).norm() <= 1e-6 * found["plain"].norm()
        mend = "let `of` be a pure function of the slope and of what `observe` keeps"
        case.require(close, f"its gradient by the {way} way is not that of plain double backward", mend)
    mine, flat = copy.deepcopy(penalty), torch.zeros(BATCH, *spec.shape, requires_grad=True)
    slope = torch.autograd.grad(mine.of(flat), flat, allow_unused=True, materialize_grads=True)[0]
    mend = "add a small constant under the root: (g.square().flatten(1).sum(1) + 1e-12).sqrt()"
    case.require(slope.isfinite().all(), "a slope of zero has no finite gradient", mend)


def _slope_of(penalty: SlopePenalty, step: Step, way: str) -> Tensor:
    """The penalty's value, its random numbers always the same: by a way of the engine, or by autograd alone ("plain")."""

    def height(x: Tensor) -> tuple[Tensor, Any]:
        torch.manual_seed(9)
        return penalty.height(step, x)

    point = penalty.point(step).detach()
    if way != "plain":
        return slope_penalty(height, point, lambda slope: (penalty.of(slope), ()), penalty.observe, way)[0]
    leaf = point.clone().requires_grad_()
    slope = torch.autograd.grad(height(leaf)[0].sum(), leaf, create_graph=True)[0]
    penalty.observe(slope.detach())
    return penalty.of(slope)


def check_augmentation(component: Component, *, specs: Sequence[Spec] = SPECS, **options: Any) -> None:
    """The shape that `respec` promises; same seed, same outcome; gradients pass; `observe` changes buffers only."""
    case = check_described(component, **options)
    for spec in case.fitting(specs):
        part, what = case.build_as(Augmentation, spec), f"on {describe(spec)}"
        before = plain_state(part)
        for _ in range(3):  # so that one which adapts does something
            case.attempt("observing logits", "observe(real_logits) takes [n]", part.observe, torch.full((BATCH,), 2.0))
        torch.manual_seed(6)
        samples = torch.randn(3 * BATCH, *spec.shape, requires_grad=True)
        torch.manual_seed(7)
        seen = case.attempt(f"changing samples {what}", "forward takes [n, *spec.shape]", part, samples)
        shape, promised = tuple(seen.shape[1:]), part.respec(spec).shape
        case.require(shape == promised, f"makes {list(shape)} {what}, and respec says {list(promised)}", "make them agree")
        case.require(seen.isfinite().all(), f"makes values that are not finite {what}", "check its scales")
        mend = "use differentiable operations: the generator learns through it"
        passed = seen.requires_grad and torch.autograd.grad(seen.square().sum(), samples)[0].any()
        case.require(passed, f"lets no gradient through {what}", mend)
        torch.manual_seed(7)
        same = torch.equal(seen.detach(), part(samples.detach()))
        case.require(same, f"differs between two runs of one seed {what}", "draw from torch's global generator only")
        case.require_no_hidden_state(part, before)
        case.require_no_parameters(part)
        case.require_round_trip(part, case.build(spec, seed=1))
    nets = PlainGenerator(spec), PlainDiscriminator(part.respec(spec))
    _require_update_compiles(case, spec, SIDES, nets, augmentations={component.name: part})
