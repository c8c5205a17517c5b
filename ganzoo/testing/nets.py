"""Checks of generators and discriminators."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Discriminator, Generator, Spec
from ..errors import GanzooError
from ..registry import Component
from ..slope import slope_penalty
from .basics import BATCH, SPECS, Case, check_described, describe, gradients, labels_for, plain_state

STEP = 1e-9  # of finite differences, in float64: so small that hardly a rectifier changes sides
SEEDED = "draw weights and noise from torch's global generator only"


def check_generator(component: Component, *, specs: Sequence[Spec] = SPECS, **options: Any) -> None:
    """Shape, range, type; latents and labels count; same seed, same samples; gradients; state; compiles as one graph."""
    case = check_described(component, **options)
    taken = case.fitting(specs)
    for spec in taken:
        _check_generator_on(case, spec)
    net = case.build(taken[0])
    case.require_compiles("forward", net, net.draw_latents(BATCH), labels_for(net, taken[0]))
    _check_without_classes(case, taken[0], lambda net: net(net.draw_latents(BATCH), None))


def _check_generator_on(case: Case, spec: Spec) -> None:
    net, what = case.build_as(Generator, spec), f"on {describe(spec)}"
    latents, labels, before = _latents(case, net), labels_for(net, spec), plain_state(net)
    mend = "forward(latents, labels) must take [n, latent_dim] and [n]"
    samples = case.attempt(f"drawing samples {what}", mend, _seeded, net, latents, labels)
    expected = (BATCH, *spec.shape)
    case.require(tuple(samples.shape) == expected, f"draws {tuple(samples.shape)} {what}", f"return {expected}")
    case.require(samples.dtype == torch.float32, f"draws {samples.dtype} {what}", "return what the weights' type gives")
    case.require(samples.isfinite().all(), f"draws values that are not finite {what}", "check its scales")
    if spec.sort == "image":
        widest = _seeded(net, 5 * latents, labels).detach().abs().max().item()
        case.require(widest <= 1, f"draws values up to {widest:.2f} {what}", "end in tanh: images lie in [-1, 1]")
    again = _seeded(case.build(spec), latents, labels)
    case.require(torch.equal(samples, again), f"differs between two runs of one seed {what}", SEEDED)
    other = _seeded(net, net.draw_latents(BATCH), labels)
    case.require(not torch.allclose(samples, other), f"ignores the latents {what}", "samples must depend on them")
    if labels is not None:
        other = _seeded(net, latents, labels_for(net, spec, 1))
        case.require(not torch.equal(samples, other), f"ignores the labels {what}", "use them, or drop `conditional`")
    _check_gradients(case, net, what, latents, labels)
    case.require_no_hidden_state(net, before)
    case.require_round_trip(net, case.build(spec, seed=1))


def _latents(case: Case, net: Generator) -> Tensor:
    state = torch.get_rng_state()
    first, second = (net.draw_latents(BATCH, torch.Generator().manual_seed(3)) for _ in range(2))
    same = torch.equal(first, second) and torch.equal(state, torch.get_rng_state())
    case.require(same, "its latents do not come from the generator given", "pass `generator=generator` where it draws")
    case.require(len(first) == BATCH, f"draw_latents({BATCH}) gives {len(first)}", "return one latent a sample")
    return first


def _seeded(net: nn.Module, *arguments: Any) -> Tensor:
    """A call whose random numbers are always the same."""
    torch.manual_seed(7)
    result: Tensor = net(*arguments)
    return result


def _check_gradients(case: Case, net: nn.Module, what: str, *arguments: Any) -> None:
    """Every parameter gets a gradient. Weights are moved a little first: some rightly begin at zero and block others."""
    moved: Any = copy.deepcopy(net)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    outcome = _seeded(moved, *arguments)
    for head in getattr(moved, "heads", ()):  # what reads the features beside the score, for other losses
        features = moved.features(arguments[0])
        outcome = outcome + getattr(moved, head)(features).flatten(1).square().sum(1)
    mend = "use every parameter, or remove it; nothing may be detached on the way"
    case.require(outcome.requires_grad, f"no gradient reaches its parameters {what}", mend)
    (outcome * torch.randn_like(outcome)).sum().backward()
    idle = [name for name, p in moved.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    case.require(not idle, f"no gradient reaches {', '.join(idle[:3])} {what}", mend)


def _check_without_classes(case: Case, spec: Spec, call: Callable[[Any], object]) -> None:
    """Without classes, labels are None: a conditional net does without, or refuses when it is built."""
    try:
        net = case.build(replace(spec, classes=0))
    except GanzooError:
        return
    mend = "refuse `spec.classes == 0` with ganzoo.errors.Incompatible, or do without labels"
    case.attempt("running it without classes", mend, call, net)


def check_discriminator(component: Component, *, specs: Sequence[Spec] = SPECS, **options: Any) -> None:
    """Logits [n]; forward is score(features); `per_sample` and `adapts` measured; slopes; gradients; state; compiles."""
    case = check_described(component, **options)
    taken = case.fitting(specs)
    for spec in taken:
        net = _check_discriminator_on(case, spec)
        for trait, remedy in net.adapts.items():
            adapted = Case(component, options | dict(remedy))
            mend = "correct `adapts`: trait -> the options that give it"
            changed = adapted.attempt(f"building it with {dict(remedy)} for {trait!r}", mend, adapted.build, spec)
            case.require(getattr(changed, trait, False), f"has no {trait!r} with {dict(remedy)}", mend)
            _check_discriminator_on(adapted, spec)
    net, labels = case.build(taken[0]), labels_for(case.build(taken[0]), taken[0])
    case.require_compiles("features and score", lambda samples: net.score(net.features(samples), labels), _samples(taken[0]))
    _check_without_classes(case, taken[0], lambda net: net(_samples(taken[0]), None))


def _samples(spec: Spec) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(BATCH, *spec.shape).clamp(-1, 1)


def _check_discriminator_on(case: Case, spec: Spec) -> Discriminator:
    net, what = case.build_as(Discriminator, spec), f"on {describe(spec)}"
    samples, labels, before = _samples(spec), labels_for(net, spec), plain_state(net)
    mend = "forward(samples, labels) must take [n, *spec.shape] and [n]"
    logits = case.attempt(f"judging samples {what}", mend, _seeded, net, samples, labels)
    case.require(tuple(logits.shape) == (BATCH,), f"gives {tuple(logits.shape)} {what}", "return one logit a sample: [n]")
    case.require(logits.isfinite().all(), f"gives logits that are not finite {what}", "check its scales")
    torch.manual_seed(7)
    parts = net.score(net.features(samples), labels)
    case.require(
        _close(logits, parts), f"forward is not score(features) {what}", "define `features` and `score`, or `forward` alone"
    )
    again = _seeded(case.build(spec), samples, labels)
    case.require(_close(logits, again), f"differs between two runs of one seed {what}", SEEDED)
    if labels is not None:
        other = _seeded(net, samples, labels_for(net, spec, 1))
        case.require(not torch.equal(logits, other), f"ignores the labels {what}", "use them, or drop `conditional`")
    if net.per_sample:
        _check_per_sample(case, net, samples, labels, what)
        _check_slope(case, net, samples, labels, what)
    _check_gradients(case, net, what, samples, labels)
    case.require_no_hidden_state(net, before)
    case.require_round_trip(net, case.build(spec, seed=1))
    checked: Discriminator = net
    return checked


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def _check_per_sample(case: Case, net: Discriminator, samples: Tensor, labels: Tensor | None, what: str) -> None:
    """A logit must not change when the other samples of the batch do; measured in training mode, in float64."""
    exact, samples = copy.deepcopy(net).double(), samples.double()
    others = torch.cat([samples[:1], 3 * samples[1:].roll(1, -1) + 0.5])
    before, after = (_seeded(exact, batch, labels)[0] for batch in (samples, others))
    mend = "set per_sample = False, and say in `adapts` which options mend it"
    same = torch.allclose(before, after, rtol=1e-9, atol=1e-12)
    case.require(same, f"says per_sample, and a logit changes with the other samples {what}", mend)


def _check_slope(case: Case, net: Discriminator, samples: Tensor, labels: Tensor | None, what: str) -> None:
    """The gradient of a slope's size as the engine takes it, against finite differences along one direction, in float64."""
    exact, x = copy.deepcopy(net).double(), samples.double()

    def height(x: Tensor) -> tuple[Tensor, tuple[()]]:
        return _seeded(exact, x, labels), ()

    def size() -> Tensor:
        return slope_penalty(height, x, lambda slope: (slope.square().flatten(1).sum(1).mean(), ()), lambda slope: None, "double")[
            0
        ]

    mend = "use operations that can be differentiated twice, and change nothing in place"
    found = case.attempt(f"taking its slope {what}", mend, lambda: gradients(size(), exact))
    parameters: list[Tensor] = [p for p in exact.parameters() if p.requires_grad]
    torch.manual_seed(8)
    direction = [torch.randn_like(p) for p in parameters]
    moved = []
    with torch.no_grad():
        for share in (STEP, -STEP):
            torch._foreach_add_(parameters, direction, alpha=share)
            moved.append(size())
            torch._foreach_add_(parameters, direction, alpha=-share)
    wanted = (moved[0] - moved[1]) / (2 * STEP)
    along = torch.dot(found, torch.cat([d.flatten() for d in direction]))
    close = (along - wanted).abs() <= 1e-3 * torch.stack([wanted.abs(), found.norm(), moved[0]]).max()
    case.require(close, f"the gradient of its slope's size is wrong {what}", mend)
