"""Checks of losses, regularizers and augmentations, against small nets."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..assembly.pipeline import SIDES
from ..components.traits import has, wants
from ..contracts import GradientPenalty, Loss, Regularizer, Side, Spec, Step
from ..contracts.gradients import gradient_penalty
from ..engine.randomness import reseed
from ..errors import GanzooError, Incompatible
from .case import BATCH, Case, DoesNotApply, describe, firsts, gradients, on, samples_of, seeded
from .stand_ins import GivenLogits, PlainDiscriminator, PlainGenerator, step_of

IMAGE = Spec((1, 16, 16), 3)
READS = "read only what Step offers"
LEVELS = (0.0, -5.0)  # of logits at which a loss must want its side's aim
NARROW = 8  # channels of nets that have what a part needs, where they can be told
SCALES = (1.0, 20.0)  # of weights: a penalty may rightly be zero for small ones
HOOKS = ("prepare", "view", "penalty", "after_update")


def _require_scalar(case: Case, value: Any, what: str) -> None:
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    case.require(
        shape == (), f"{what} is {shape}", "return a scalar tensor: end in .mean() or .sum()"
    )
    case.require(
        value.isfinite(), f"{what} is not finite", "check what overflows or divides by zero"
    )


def _require_no_backward(case: Case, *nets: nn.Module) -> None:
    touched = any(p.grad is not None for net in nets for p in net.parameters())
    case.require(
        not touched,
        "calls backward",
        "return a tensor; only the training loop calls backward and step",
    )


# Losses.


def loss_scalars(case: Case) -> str:
    """Both sides' losses are finite scalars, for samples
    of every modality that the nets they need take.
    """
    seen, refused = [], ""
    for spec in firsts(case.specs):
        try:
            nets = nets_for(case, case.made(), spec)
        except Incompatible as error:
            refused = f"; not tried: {error}"
            continue
        for side in SIDES:
            what, step = f"the {side}'s loss", step_of(side, *nets, spec)
            _require_scalar(case, case.attempt(what, READS, getattr(case.copy(), side), step), what)
            _require_no_backward(case, step.generator, step.discriminator)
        seen.append(spec)
    case.require(seen, f"could be tried on nothing{refused}", "say what it needs by `needs`")
    return f"finite, for both sides, {on(seen)}{refused}"


def given_logits(case: Case, side: Side, real: Tensor, fake: Tensor) -> GivenLogits:
    """A step with these logits, and nets that the loss can do with."""
    spec = home(case, case.made())
    return GivenLogits(side, real, fake, nets_for(case, case.made(), spec), spec)


def loss_ranges(case: Case) -> str:
    """Finite at large logits too."""
    for side in SIDES:
        for size in (-50.0, 50.0):
            real, fake = torch.full((BATCH,), size), torch.full((BATCH,), -size)
            value = getattr(case.copy(), side)(given_logits(case, side, real, fake))
            _require_scalar(
                case,
                value,
                f"the {side}'s loss at logits of {size:+.0f} (real) and {-size:+.0f} (fake)",
            )
    return "finite at logits of -50 and 50"


def _rise(case: Case, side: Side, level: float) -> float:
    """How a side's loss grows from a level of all logits, as the side's aim is approached."""
    real, fake = (torch.full((BATCH,), level, requires_grad=True) for _ in range(2))
    value = getattr(case.copy(), side)(given_logits(case, side, real, fake))
    if not value.requires_grad:
        return 0.0
    of_real, of_fake = torch.autograd.grad(
        value, [real, fake], materialize_grads=True, allow_unused=True
    )
    return float(of_real.sum() - of_fake.sum() if side == "discriminator" else of_fake.sum())


def direction(case: Case) -> str:
    """A larger logit means more real: the discriminator
    wants real above fake, the generator its samples higher.
    """
    for side in SIDES:
        # at low logits too: a hinge beside the scores of classes may be flat at zero
        rise = sum(_rise(case, side, level) for level in LEVELS)
        wants = (
            "real logits above fake ones"
            if side == "discriminator"
            else "its samples' logits higher"
        )
        case.require(
            rise < 0,
            f"the {side}'s loss does not want {wants}",
            "larger logits mean more real; check the signs",
        )
    return "real above fake, generated samples higher"


def loss_reaches(case: Case) -> str:
    """Both sides' losses give their net a gradient."""
    for side in SIDES:
        spec = home(case, case.made())
        step = step_of(side, *nets_for(case, case.made(), spec), spec)
        value, fix = (
            getattr(case.copy(), side)(step),
            "compute it from the step's logits, and detach none of them",
        )
        case.require(
            gradients(value, step.net).any(), f"the {side}'s loss gives its net no gradient", fix
        )
    return "both nets get one"


def use_loss(case: Case, loss: Any) -> None:
    """What a loss does in training."""
    spec = home(case, loss)
    for side in SIDES:
        getattr(loss, side)(step_of(side, *nets_for(case, loss, spec), spec))


# Regularizers.


def acts(case: Case) -> str:
    """It defines a hook, for a side that there is."""
    part = case.made()
    hooks = [hook for hook in HOOKS if getattr(type(part), hook) is not getattr(Regularizer, hook)]
    case.require(
        hooks,
        "does nothing",
        "define penalty, view, prepare or after_update, or `of` of a GradientPenalty",
    )
    sides = [side for side in SIDES if part.on(side)]
    case.require(sides, f"its side is {part.side!r}", "name discriminator, generator or both")
    return f"{', '.join(hooks)} in the update of the {' and the '.join(sides)}"


def nets_for(case: Case, part: Loss | Regularizer, spec: Spec) -> tuple[Any, Any]:
    """A generator and a discriminator with the traits that the part needs, prepared by it.

    Raises Incompatible where those that are installed do not take such samples.
    """
    reseed(1)
    nets: dict[str, Any] = {
        "generator": PlainGenerator(spec),
        "discriminator": PlainDiscriminator(spec),
    }
    for kind in nets:
        traits = [trait for other, trait in wants(part) if other == kind]
        if not all(has(nets[kind], trait) for trait in traits):
            nets[kind] = _able(case, kind, traits, spec)
    generator, discriminator = nets["generator"], nets["discriminator"]
    if isinstance(part, Regularizer):
        fix = "prepare(generator, discriminator) is called once"
        case.attempt("preparing the nets", fix, part.prepare, generator, discriminator)
    return generator, discriminator


def _able(case: Case, kind: str, traits: Sequence[str], spec: Spec) -> Any:
    """An installed part of a kind that has the traits, or options that give them, and takes such
    samples.
    """
    key = kind, tuple(traits), spec, tuple(sorted(spec.given))
    if key not in case.companions:
        case.companions[key] = _smallest(case, kind, traits, spec)
    reseed(2)  # the same weights, whether it was looked for or known
    return case.companions[key]()


def _smallest(case: Case, kind: str, traits: Sequence[str], spec: Spec) -> Callable[[], Any]:
    """What makes the able one of fewest modules, which is the quickest to run and to compile."""
    able = []
    for component in case.registry.components(kind):
        with contextlib.suppress(GanzooError):  # one that cannot be imported has nothing
            options = _giving(component.load(), traits)
            able += [] if options is None else [(component, options)]
    named = " and ".join(map(repr, traits))
    missing = f"needs a {kind} with the trait {named}, and none is installed"
    case.require(able, missing, "ship one, or correct `needs`")
    made: list[tuple[int, Callable[[], Any]]] = []
    for component, options in able:
        if spec.modality in getattr(component.load(), "modalities", (spec.modality,)):
            narrow: dict[str, Any] = {"width": NARROW} if "width" in component.options() else {}
            with contextlib.suppress(GanzooError):  # it may refuse this shape
                make = partial(component.create, spec, **narrow, **options)
                made.append((len(list(make().modules())), make))
    if made:
        return min(made, key=lambda each: each[0])[1]
    raise Incompatible(f"no {kind} with the trait {named} is installed for {describe(spec)}")


def _giving(net: Any, traits: Sequence[str]) -> dict[str, Any] | None:
    """The options by which a net's class has all of the traits; None if it has not."""
    options: dict[str, Any] = {}
    for trait in traits:
        if not has(net, trait):
            if trait not in getattr(net, "adapts", {}):
                return None
            options |= net.adapts[trait]
    return options


def home(case: Case, part: Loss | Regularizer) -> Spec:
    """Samples that the nets which a part needs can be had for: small images, if it may be."""
    for spec in (IMAGE, *case.specs) if wants(part) else ():
        with contextlib.suppress(Incompatible):
            nets_for(case, copy.deepcopy(part), spec)
            return spec
    return IMAGE


def hooks(case: Case) -> str:
    """Every hook does what it may: a view of the same
    shape, a scalar, sound weights; in every modality.
    """
    taken, refused = [], ""
    for spec in firsts(case.specs):
        part = case.copy()
        try:
            nets = nets_for(case, part, spec)
            for side in SIDES:
                if part.on(side):
                    _require_hooks(case, part, step_of(side, *nets, spec), describe(spec))
            taken.append(spec)
        except Incompatible as error:
            refused = f"; refuses {spec.modality}: {error}"
    case.require(taken, f"refuses all samples{refused}", "say what it needs by `needs`")
    return on(taken) + refused


def _require_hooks(case: Case, part: Regularizer, step: Step, what: str) -> None:
    fix = "view(samples, step) gives samples of the same shape; an Augmentation may change it"
    seen = case.attempt(f"changing what is seen on {what}", fix, part.view, step.data, step)
    case.require(
        seen.shape == step.data.shape,
        f"its view makes {tuple(seen.shape)} of {tuple(step.data.shape)}",
        fix,
    )
    name = f"its penalty in the {step.side}'s update"
    penalty = case.attempt(f"{name} on {what}", READS, part.penalty, step)
    if penalty is not None:
        _require_scalar(case, penalty, name)
    _require_no_backward(case, step.generator, step.discriminator)
    with torch.no_grad():
        case.attempt(
            "after_update",
            "after_update(net) changes the net in place",
            part.after_update,
            step.net,
        )
    finite = all(bool(p.isfinite().all()) for p in step.net.parameters())
    case.require(finite, "leaves weights that are not finite", "check after_update")


def penalty_reaches(case: Case) -> str:
    """Its penalty changes the net of its side, if not at
    the weights that nets begin with then at larger ones.
    """
    part, found = case.copy(), []
    spec = home(case, part)
    nets = nets_for(case, part, spec)
    for side in SIDES:
        penalties = (
            [_penalty_at(part, side, nets, spec, scale) for scale in SCALES]
            if part.on(side)
            else []
        )
        reached = [
            gradients(penalty, net).any() for penalty, net in penalties if penalty is not None
        ]
        if reached:
            fix = "set `side` to the net that it is to change, and detach nothing"
            case.require(any(reached), f"its penalty gives the {side} no gradient", fix)
            found.append(side)
    if not found:
        raise DoesNotApply("it has no penalty")
    return (
        f"the {' and the '.join(found)} get one" if len(found) > 1 else f"the {found[0]} gets one"
    )


def _penalty_at(
    part: Regularizer, side: Side, nets: tuple[Any, Any], spec: Spec, scale: float
) -> tuple[Tensor | None, nn.Module]:
    """A penalty where the weights are so many times as large, and the net that it is to change."""
    part, generator, discriminator = copy.deepcopy((part, *nets))
    with torch.no_grad():
        for parameter in (*generator.parameters(), *discriminator.parameters()):
            parameter.mul_(scale)
    step = step_of(side, generator, discriminator, spec)
    return part.penalty(step), step.net


def second_order(case: Case) -> str:
    """Each form of the engine against plain double backward
    in float64; a slope of zero must have a finite gradient.
    """
    part = case.made()
    if not isinstance(part, GradientPenalty):
        raise DoesNotApply("it is no penalty on a slope")
    forms = ("double_backward", "forward_over_reverse") if part.place else ("double_backward",)
    spec = home(case, part)
    nets = [net.double() for net in nets_for(case, copy.deepcopy(part), spec)]
    for side in SIDES:
        if part.on(side):
            plain = _slope_gradient(case, part, side, nets, spec, "plain")
            for form in forms:
                found = _slope_gradient(case, part, side, nets, spec, form)
                fix = "let `of` be a pure function of the slope and of what `observe` keeps"
                wrong = f"its gradient by {form} is not that of plain double backward"
                case.require((found - plain).norm() <= 1e-6 * plain.norm(), wrong, fix)
    flat = torch.zeros(BATCH, *spec.shape, requires_grad=True)
    slope = torch.autograd.grad(
        copy.deepcopy(part).of(flat), flat, allow_unused=True, materialize_grads=True
    )[0]
    fix = "add a small constant under the root: (g.square().flatten(1).sum(1) + 1e-12).sqrt()"
    case.require(slope.isfinite().all(), "a slope of zero has no finite gradient", fix)
    return (
        f"the {' and '.join(forms)} form as plain double backward; a slope of zero has a gradient"
    )


def _slope_gradient(
    case: Case, part: GradientPenalty, side: Side, nets: Any, spec: Spec, form: str
) -> Tensor:
    """Value and gradient of the penalty, its random numbers always
    the same: by a form of the engine, or by autograd alone.
    """
    generator, discriminator = copy.deepcopy(nets)
    mine, step = copy.deepcopy(part).double(), step_of(side, generator, discriminator, spec)
    fix = "compute in `of`, without a branch on a tensor"
    value = case.attempt(f"its slope by {form}", fix, _slope_of, mine, step, form)
    _require_scalar(case, value, "`of`")
    return torch.cat([value.detach()[None], gradients(value, step.net)])


def _slope_of(penalty: GradientPenalty, step: Step, form: str) -> Tensor:
    def height(x: Tensor) -> tuple[Tensor, Any]:
        reseed(9)
        return penalty.height(step, x)

    reseed(10)
    point = penalty.point(step).detach()
    if form != "plain":
        return gradient_penalty(
            height, point, lambda slope: (penalty.of(slope), ()), penalty.observe, form
        )[0]
    leaf = point.clone().requires_grad_()
    slope = torch.autograd.grad(height(leaf)[0].sum(), leaf, create_graph=True)[0]
    penalty.observe(slope.detach())
    return penalty.of(slope)


def use_regularizer(case: Case, part: Any) -> None:
    """What a regularizer does in training."""
    spec = home(case, part)
    nets = nets_for(case, part, spec)
    for side in SIDES:
        if part.on(side):
            step = step_of(side, *nets, spec)
            part.view(step.data, step)
            part.penalty(step)
            with torch.no_grad():
                part.after_update(step.net)


# Augmentations.


def seen_shapes(case: Case) -> str:
    """The shape that `respec` promises, and finite values, also after it has seen logits."""
    for spec in case.taken:
        part, what = case.copy(spec), f"on {describe(spec)}"
        use_augmentation(case, part)
        seen = case.attempt(
            f"changing samples {what}", "forward takes [n, *spec.shape]", seeded, part, _wide(spec)
        )
        shape, promised = tuple(seen.shape[1:]), part.respec(spec).shape
        case.require(
            shape == promised,
            f"makes {list(shape)} {what}, and respec says {list(promised)}",
            "make them agree",
        )
        case.require(
            seen.isfinite().all(), f"makes values that are not finite {what}", "check its scales"
        )
    return f"as respec says, {on(case.taken)}"


def _wide(spec: Spec) -> Tensor:
    return samples_of(spec, 3 * BATCH, seed=6)


def changes_repeat(case: Case) -> str:
    """The same seed, the same change."""
    for spec in case.taken:
        part = case.copy(spec)
        use_augmentation(case, part)
        same = torch.equal(seeded(part, _wide(spec)), seeded(part, _wide(spec)))
        fix = "draw from torch's global generator only"
        case.require(same, f"differs between two runs of one seed on {describe(spec)}", fix)
    return on(case.taken)


def lets_through(case: Case) -> str:
    """The generator learns through it: gradients pass to the samples."""
    for spec in case.taken:
        part, samples = case.copy(spec), _wide(spec).requires_grad_()
        use_augmentation(case, part)
        seen = seeded(part, samples)
        passed = seen.requires_grad and torch.autograd.grad(seen.square().sum(), samples)[0].any()
        fix = "use differentiable operations: the generator learns through it"
        case.require(passed, f"lets no gradient through on {describe(spec)}", fix)
    return f"they pass to the samples, {on(case.taken)}"


def use_augmentation(case: Case, part: Any) -> None:
    """What an augmentation does in training; several
    times, so that one which adapts does something.
    """
    for _ in range(3):
        case.attempt(
            "observing logits",
            "observe(real_logits) takes [n]",
            part.observe,
            torch.full((BATCH,), 2.0),
        )
        seeded(part, _wide(part.spec))
