"""Checks of losses, regularizers, augmentations and optimizers, against small nets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Augmentation, Loss, Regularizer, SlopePenalty, Spec, Step
from ..pipeline import SIDES
from ..plugins import zoo
from ..registry import Component, Registry
from ..slope import slope_penalty
from ..update import Parts, terms
from .basics import (
    BATCH,
    SPECS,
    PlainDiscriminator,
    PlainGenerator,
    PlainLoss,
    attempt,
    build,
    check_described,
    describe,
    fitting,
    gradients,
    plain_state,
    require,
    require_compiles,
    require_no_hidden_state,
    require_round_trip,
)

IMAGE = Spec((1, 16, 16), 3)


def _step(side: Any, generator: nn.Module, discriminator: nn.Module, spec: Spec, **more: Any) -> Step:
    """One update's view of samples that are always the same."""
    torch.manual_seed(4)
    data = torch.randn(BATCH, *spec.shape).clamp(-1, 1).to(next(discriminator.parameters()))
    latents = generator.draw_latents(BATCH).to(data)  # type: ignore[operator]
    return Step(side, generator, discriminator, data, latents, torch.arange(BATCH) % 3, progress=torch.tensor(0.2), **more)


def _parts(generator: nn.Module, discriminator: nn.Module, **more: Any) -> Parts:
    given: dict[str, Any] = {"loss": PlainLoss(), "regularizers": {}, "augmentations": {}} | more
    return Parts(generator, discriminator, **given)


def _require_update_compiles(component: Component, parts: Parts, sides: Sequence[Any], spec: Spec) -> None:
    """The whole pure function of an update, as the engine compiles it."""
    for side in sides:
        step = _step(side, parts.generator, parts.discriminator, spec)
        function, due = terms(copy.deepcopy(parts), side), parts.due(side, 0)

        def run(function: Any = function, step: Step = step, due: tuple[str, ...] = due) -> Any:
            return function(step.data, step.labels, step.latents, step.progress, due)

        require_compiles(component, run, f"the {side}'s update")


def _require_scalar(component: Component, value: Any, what: str) -> None:
    scalar = isinstance(value, Tensor) and value.dim() == 0
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    require(scalar, component, f"{what} is {shape}", "return a scalar tensor: end in .mean() or .sum()")
    require(bool(value.isfinite()), component, f"{what} is not finite", "check what overflows or divides by zero")


def _require_no_backward(component: Component, *nets: nn.Module) -> None:
    touched = any(p.grad is not None for net in nets for p in net.parameters())
    require(not touched, component, "calls backward", "return a tensor; only the training loop calls backward and step")


class _Logits(Step):
    """A step whose logits are given."""

    def __init__(self, side: Any, real: Tensor, fake: Tensor) -> None:
        spec = Spec((2,))
        super().__init__(side, PlainGenerator(spec), PlainDiscriminator(spec), torch.zeros(len(real), 2), torch.zeros(len(real), 8))
        self.labels, self._given = torch.zeros(len(real), dtype=torch.long), (real, fake)

    @property
    def real_logits(self) -> Tensor:
        return self._given[0]

    @property
    def fake_logits(self) -> Tensor:
        return self._given[1]


def check_loss(component: Component, **options: Any) -> None:
    """Finite scalars for both sides, also at large logits; the right signs; gradients reach the net; nothing is updated."""
    check_described(component, options)
    loss = build(component, **options)
    require(isinstance(loss, Loss), component, "is no Loss", "derive it from ganzoo.contracts.Loss")
    _require_no_parameters(component, loss)
    before = plain_state(loss)
    for side in SIDES:
        function: Callable[[Step], Tensor] = getattr(loss, side)
        generator, discriminator = PlainGenerator(IMAGE), PlainDiscriminator(IMAGE)
        step = _step(side, generator, discriminator, IMAGE)
        value = attempt(component, f"the {side}'s loss", lambda f=function, s=step: f(s), "read only what Step offers")  # type: ignore[misc]
        _require_scalar(component, value, f"the {side}'s loss")
        _require_no_backward(component, generator, discriminator)
        reaches = bool(gradients(value, step.net).any()) if value.requires_grad else False
        require(reaches, component, f"the {side}'s loss gives its net no gradient", "compute it from the step's logits")
        for size in (-50.0, 50.0):
            value = function(_Logits(side, torch.full((BATCH,), size), torch.full((BATCH,), -size)))
            _require_scalar(component, value, f"the {side}'s loss at logits of {size:+.0f} (real) and {-size:+.0f} (fake)")
        _check_direction(component, side, function)
    require_no_hidden_state(component, loss, before)
    require_round_trip(component, loss, build(component, seed=1, **options))
    parts = _parts(PlainGenerator(IMAGE), PlainDiscriminator(IMAGE), loss=loss)
    _require_update_compiles(component, parts, SIDES, IMAGE)


def _check_direction(component: Component, side: str, function: Callable[[Step], Tensor]) -> None:
    """A larger logit means more real: the discriminator wants real above fake, the generator its samples higher."""
    real, fake = torch.zeros(BATCH, requires_grad=True), torch.zeros(BATCH, requires_grad=True)
    slopes = torch.autograd.grad(function(_Logits(side, real, fake)), [real, fake], materialize_grads=True, allow_unused=True)
    rise = float(slopes[0].sum() - slopes[1].sum()) if side == "discriminator" else float(slopes[1].sum())
    wants = "real logits above fake ones" if side == "discriminator" else "its samples' logits higher"
    require(rise < 0, component, f"the {side}'s loss does not want {wants}", "larger logits mean more real; check the signs")


def _require_no_parameters(component: Component, module: nn.Module) -> None:
    names = ", ".join(name for name, _ in module.named_parameters())
    mend = "no optimizer updates it: hold it as a buffer, or add it to a net in `prepare`"
    require(not names, component, f"has parameters of its own ({names})", mend)


def check_regularizer(component: Component, *, spec: Spec = IMAGE, registry: Registry | None = None, **options: Any) -> None:
    """Finite scalars on the sides it acts on; a slope's gradient exact; views keep the shape; constraints keep nets sound.

    Where `needs` asks for a trait, a net that has it is looked for in the registry (default: what is installed).
    """
    check_described(component, options)
    regularizer = build(component, **options)
    require(isinstance(regularizer, Regularizer), component, "is no Regularizer", "derive it from ganzoo.contracts.Regularizer")
    own = [
        h for h in ("prepare", "view", "penalty", "after_update") if getattr(type(regularizer), h) is not getattr(Regularizer, h)
    ]
    require(bool(own), component, "does nothing", "define penalty, view, prepare or after_update, or `of` of a SlopePenalty")
    require(
        regularizer.on("generator") or regularizer.on("discriminator"), component, f"its side is {regularizer.side!r}", "name one"
    )
    _require_no_parameters(component, regularizer)
    nets = _nets_for(component, regularizer, spec, registry or zoo().registry)
    attempt(component, "preparing the nets", lambda: regularizer.prepare(*nets), "prepare(generator, discriminator) is called once")
    before = plain_state(regularizer)
    sides = [side for side in SIDES if regularizer.on(side)]
    for side in sides:
        step = _step(side, *nets, spec)
        seen = attempt(component, "changing what is seen", lambda step=step: regularizer.view(step.data, step), "keep the shape")  # type: ignore[misc]
        require(
            seen.shape == step.data.shape, component, f"its view makes {tuple(seen.shape)} of {tuple(step.data.shape)}", "keep it"
        )
        if isinstance(regularizer, SlopePenalty):
            _check_slope(component, regularizer, side, nets, spec)
        penalty = attempt(component, "its penalty", lambda step=step: regularizer.penalty(step), "read only what Step offers")  # type: ignore[misc]
        if penalty is not None:
            _require_scalar(component, penalty, f"its penalty in the {side}'s update")
            reaches = penalty.requires_grad and bool(gradients(penalty, step.net).any())
            require(reaches, component, f"its penalty gives the {side} no gradient", "set `side` to the net that it is to change")
        _require_no_backward(component, *nets)
        with torch.no_grad():
            attempt(component, "after_update", lambda step=step: regularizer.after_update(step.net), "change the net in place")  # type: ignore[misc]
        finite = all(bool(p.isfinite().all()) for p in step.net.parameters())
        require(finite, component, "leaves weights that are not finite", "check after_update")
    require_no_hidden_state(component, regularizer, before)
    require_round_trip(component, regularizer, build(component, seed=1, **options))
    parts = _parts(*nets, regularizers={component.name: regularizer})
    _require_update_compiles(component, parts, sides, spec)


def _nets_for(component: Component, regularizer: Regularizer, spec: Spec, registry: Registry) -> tuple[Any, Any]:
    """A generator and a discriminator with the traits that the regularizer needs."""
    nets: dict[str, Any] = {"generator": PlainGenerator(spec), "discriminator": PlainDiscriminator(spec)}
    for kind, trait in regularizer.needs.items():
        if kind in nets and not getattr(nets[kind], trait, False):
            able = [c for c in registry.components(kind) if getattr(c.load(), trait, False)]
            require(
                bool(able), component, f"needs a {kind} with the trait {trait!r}, and none is installed", "ship one, or correct it"
            )
            nets[kind] = build(able[0], spec)
    return nets["generator"], nets["discriminator"]


def _check_slope(component: Component, penalty: SlopePenalty, side: Any, nets: tuple[Any, Any], spec: Spec) -> None:
    """Each way of the engine against plain double backward in float64; a slope of zero must have a finite gradient."""
    generator, discriminator = (copy.deepcopy(net).double() for net in nets)
    found: dict[str, Tensor] = {}
    for way in ("plain", "double", *(("dual",) if penalty.place else ())):
        mine, step = copy.deepcopy(penalty).double(), _step(side, generator, discriminator, spec)
        point = mine.point(step).detach()

        def height(x: Tensor, mine: SlopePenalty = mine, step: Step = step) -> tuple[Tensor, Any]:
            torch.manual_seed(9)
            return mine.height(step, x)

        def of(slope: Tensor, mine: SlopePenalty = mine) -> tuple[Tensor, tuple[()]]:
            return mine.of(slope), ()

        if way == "plain":
            leaf = point.clone().requires_grad_()
            slope = torch.autograd.grad(height(leaf)[0].sum(), leaf, create_graph=True)[0]
            mine.observe(slope.detach())
            value = of(slope)[0]
        else:
            mend = "observe in `observe`, without gradient; compute in `of`; branch on no tensor"
            run = lambda height=height, of=of, mine=mine, way=way, point=point: slope_penalty(height, point, of, mine.observe, way)  # noqa: E731
            value = attempt(component, f"its slope by the {way} way", run, mend)[0]
        _require_scalar(component, value, "`of`")
        found[way] = torch.cat([value.detach()[None], gradients(value, step.net)])
        close = bool((found[way] - found["plain"]).norm() <= 1e-6 * found["plain"].norm())
        require(
            close, component, f"its gradient by the {way} way is not that of plain double backward", "let `of` be a pure function"
        )
    flat = torch.zeros_like(point, requires_grad=True)
    slope = torch.autograd.grad(penalty.double().of(flat), flat, allow_unused=True, materialize_grads=True)[0]
    penalty.float()
    mend = "add a small constant under the root: (g.square().sum(1) + 1e-12).sqrt()"
    require(bool(slope.isfinite().all()), component, "a slope of zero has no finite gradient", mend)


def check_augmentation(component: Component, *, specs: Sequence[Spec] = SPECS, **options: Any) -> None:
    """The shape that `respec` promises; same seed, same outcome; gradients pass; `observe` changes buffers only."""
    check_described(component, options)
    for spec in fitting(component, specs, options):
        augmentation, what = build(component, spec, **options), f"on {describe(spec)}"
        require(
            isinstance(augmentation, Augmentation), component, "is no Augmentation", "derive it from ganzoo.contracts.Augmentation"
        )
        before = plain_state(augmentation)
        for _ in range(3):  # so that one which adapts does something
            attempt(component, "observing logits", lambda a=augmentation: a.observe(torch.full((BATCH,), 2.0)), "observe takes [n]")  # type: ignore[misc]
        torch.manual_seed(6)
        samples = torch.randn(3 * BATCH, *spec.shape, requires_grad=True)
        torch.manual_seed(7)
        seen = attempt(
            component, f"changing samples {what}", lambda a=augmentation, s=samples: a(s), "forward takes [n, *spec.shape]"
        )  # type: ignore[misc]
        shape, promised = tuple(seen.shape[1:]), augmentation.respec(spec).shape
        require(shape == promised, component, f"makes {list(shape)} {what}, and respec says {list(promised)}", "make them agree")
        require(bool(seen.isfinite().all()), component, f"makes values that are not finite {what}", "check its scales")
        passed = seen.requires_grad and bool(torch.autograd.grad(seen.square().sum(), samples)[0].any())
        require(
            passed, component, f"lets no gradient through {what}", "use differentiable operations: the generator learns through it"
        )
        torch.manual_seed(7)
        again = augmentation(samples.detach())
        require(
            torch.equal(seen.detach(), again),
            component,
            f"differs between two runs of one seed {what}",
            "draw from torch's generator",
        )
        require_no_hidden_state(component, augmentation, before)
        require_round_trip(component, augmentation, build(component, spec, seed=1, **options))
        _require_no_parameters(component, augmentation)
    parts = _parts(
        PlainGenerator(spec), PlainDiscriminator(augmentation.respec(spec)), augmentations={component.name: augmentation}
    )
    _require_update_compiles(component, parts, SIDES, spec)
