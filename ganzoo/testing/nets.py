"""Checks of generators and discriminators."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Discriminator, Generator, Spec
from ..errors import GanzooError
from ..registry import Component
from ..slope import slope_penalty
from .basics import (
    BATCH,
    SPECS,
    attempt,
    build,
    check_described,
    describe,
    fitting,
    gradients,
    labels_for,
    plain_state,
    require,
    require_compiles,
    require_no_hidden_state,
    require_round_trip,
)


def check_generator(component: Component, *, specs: Sequence[Spec] = SPECS, **options: Any) -> None:
    """Shape, range, type; latents and labels count; same seed, same samples; gradients; state; compiles as one graph."""
    check_described(component, options)
    taken = fitting(component, specs, options)
    for spec in taken:
        _check_generator_on(component, spec, options)
    net = build(component, taken[0], **options)
    latents, labels = net.draw_latents(BATCH), labels_for(net, taken[0])
    require_compiles(component, lambda: net(latents, labels), "forward")
    _check_without_classes(component, taken[0], options, lambda net: net(net.draw_latents(BATCH), None))


def _check_generator_on(component: Component, spec: Spec, options: dict[str, Any]) -> None:
    net = build(component, spec, **options)
    what = f"on {describe(spec)}"
    require(isinstance(net, Generator), component, "is no Generator", "derive it from ganzoo.contracts.Generator")
    latents = _latents(component, net)
    labels, before = labels_for(net, spec), plain_state(net)
    mend = "forward(latents, labels) must take [n, latent_dim] and [n]"
    samples = attempt(component, f"drawing samples {what}", lambda: _seeded(net, latents, labels), mend)
    expected = (BATCH, *spec.shape)
    require(tuple(samples.shape) == expected, component, f"draws {tuple(samples.shape)} {what}", f"return {expected}")
    require(samples.dtype == torch.float32, component, f"draws {samples.dtype} {what}", "return what the weights' type gives")
    require(bool(samples.isfinite().all()), component, f"draws values that are not finite {what}", "check its scales")
    if spec.sort == "image":
        wide = _seeded(net, 5 * latents, labels).detach().abs().max().item()
        require(wide <= 1, component, f"draws values up to {wide:.2f} {what}", "end in tanh: images lie in [-1, 1]")
    again = _seeded(build(component, spec, **options), latents, labels)
    mend = "draw weights and noise from torch's global generator only"
    require(torch.equal(samples, again), component, f"differs between two runs of one seed {what}", mend)
    other = _seeded(net, net.draw_latents(BATCH), labels)
    require(not torch.allclose(samples, other), component, f"ignores the latents {what}", "samples must depend on them")
    if labels is not None:
        other = _seeded(net, latents, labels_for(net, spec, 1))
        require(not torch.equal(samples, other), component, f"ignores the labels {what}", "use them, or drop `conditional`")
    _check_gradients(component, net, lambda net: _seeded(net, latents, labels), what)
    require_no_hidden_state(component, net, before)
    require_round_trip(component, net, build(component, spec, seed=1, **options))


def _latents(component: Component, net: Generator) -> Tensor:
    state = torch.get_rng_state()
    drawn = [net.draw_latents(BATCH, torch.Generator().manual_seed(3)) for _ in range(2)]
    same = torch.equal(drawn[0], drawn[1]) and torch.equal(state, torch.get_rng_state())
    require(same, component, "its latents do not come from the generator given", "pass `generator=generator` where it draws")
    require(len(drawn[0]) == BATCH, component, f"draw_latents({BATCH}) gives {len(drawn[0])}", "return one latent a sample")
    return drawn[0]


def _seeded(net: nn.Module, *arguments: Any) -> Tensor:
    """A call whose random numbers are always the same."""
    torch.manual_seed(7)
    result: Tensor = net(*arguments)
    return result


def _check_gradients(component: Component, net: nn.Module, call: Any, what: str) -> None:
    """Every parameter gets a gradient. Weights are moved a little first: some rightly begin at zero and block others."""
    moved = copy.deepcopy(net)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    outcome = call(moved)
    (outcome * torch.randn_like(outcome)).sum().backward()
    idle = [name for name, p in moved.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    require(not idle, component, f"no gradient reaches {', '.join(idle[:3])} {what}", "use every parameter, or remove it")


def _check_without_classes(component: Component, spec: Spec, options: dict[str, Any], call: Any) -> None:
    """Without classes, labels are None: a conditional net does without, or refuses when it is built."""
    try:
        net = build(component, replace(spec, classes=0), **options)
    except GanzooError:
        return
    mend = "refuse `spec.classes == 0` with ganzoo.errors.Incompatible, or do without labels"
    attempt(component, "running it without classes", lambda: call(net), mend)


def check_discriminator(component: Component, *, specs: Sequence[Spec] = SPECS, **options: Any) -> None:
    """Logits [n]; forward is score(features); `per_sample` and `adapts` measured; slopes; gradients; state; compiles."""
    check_described(component, options)
    taken = fitting(component, specs, options)
    for spec in taken:
        net = build(component, spec, **options)
        _check_discriminator_on(component, net, spec, options)
        for trait, remedy in net.adapts.items():
            mend = "correct `adapts`: trait -> the options that give it"
            adapted = attempt(
                component,
                f"building it with {remedy} for {trait!r}",
                lambda remedy=remedy, spec=spec: build(component, spec, **options | dict(remedy)),  # type: ignore[misc]
                mend,
            )
            require(bool(getattr(adapted, trait, False)), component, f"has no {trait!r} with {dict(remedy)}", mend)
            _check_discriminator_on(component, adapted, spec, options | dict(remedy))
    net = build(component, taken[0], **options)
    samples, labels = _samples(taken[0]), labels_for(net, taken[0])
    require_compiles(component, lambda: net.score(net.features(samples), labels), "features and score")
    _check_without_classes(component, taken[0], options, lambda net: net(samples, None))


def _samples(spec: Spec) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(BATCH, *spec.shape).clamp(-1, 1)


def _check_discriminator_on(component: Component, net: Discriminator, spec: Spec, options: dict[str, Any]) -> None:
    what = f"on {describe(spec)}"
    require(isinstance(net, Discriminator), component, "is no Discriminator", "derive it from ganzoo.contracts.Discriminator")
    samples, labels, before = _samples(spec), labels_for(net, spec), plain_state(net)
    mend = "forward(samples, labels) must take [n, *spec.shape] and [n]"
    logits = attempt(component, f"judging samples {what}", lambda: _seeded(net, samples, labels), mend)
    require(tuple(logits.shape) == (BATCH,), component, f"gives {tuple(logits.shape)} {what}", "return one logit a sample: [n]")
    require(bool(logits.isfinite().all()), component, f"gives logits that are not finite {what}", "check its scales")
    torch.manual_seed(7)
    parts = net.score(net.features(samples), labels)
    require(
        torch.allclose(logits, parts, rtol=1e-4, atol=1e-5),
        component,
        "forward is not score(features)",
        "define only one of the two ways",
    )
    again = _seeded(build(component, spec, **options), samples, labels)
    mend = "draw weights and noise from torch's global generator only"
    require(torch.allclose(logits, again, rtol=1e-4, atol=1e-5), component, f"differs between two runs of one seed {what}", mend)
    if labels is not None:
        other = _seeded(net, samples, labels_for(net, spec, 1))
        require(not torch.equal(logits, other), component, f"ignores the labels {what}", "use them, or drop `conditional`")
    if net.per_sample:
        _check_per_sample(component, net, samples, labels, what)
        _check_slope(component, net, samples, labels, what)
    _check_gradients(component, net, lambda net: _seeded(net, samples, labels), what)
    require_no_hidden_state(component, net, before)
    require_round_trip(component, net, build(component, spec, seed=1, **options))


def _check_per_sample(component: Component, net: Discriminator, samples: Tensor, labels: Tensor | None, what: str) -> None:
    """A logit must not change when the other samples of the batch do."""
    with torch.no_grad():
        logits = _seeded(net, samples, labels)
        others = torch.cat([samples[:1], 3 * samples[1:].roll(1, -1) + 0.5])
        changed = _seeded(net, others, labels)
    spread = (logits[0] - logits).abs().max() + logits.abs().mean()
    same = bool((logits[0] - changed[0]).abs() <= 1e-4 * spread + 1e-7)
    mend = "set per_sample = False, and say in `adapts` which options mend it"
    require(same, component, f"says per_sample, and a logit changes with the other samples {what}", mend)


def _check_slope(component: Component, net: Discriminator, samples: Tensor, labels: Tensor | None, what: str) -> None:
    """The gradient of a slope penalty as the engine takes it, against plain double backward, in float64."""
    exact = copy.deepcopy(net).double()

    def height(x: Tensor) -> tuple[Tensor, tuple[()]]:
        torch.manual_seed(7)
        return exact(x, labels), ()

    def of(slope: Tensor) -> tuple[Tensor, tuple[()]]:
        return slope.square().flatten(1).sum(1).mean(), ()

    x = samples.double()
    mend = "use operations that can be differentiated twice, and change nothing in place"
    found = attempt(
        component,
        f"taking its slope {what}",
        lambda: gradients(slope_penalty(height, x, of, lambda slope: None, "double")[0], exact),
        mend,
    )
    leaf = x.clone().requires_grad_()
    slope = torch.autograd.grad(height(leaf)[0].sum(), leaf, create_graph=True)[0]
    wanted = gradients(of(slope)[0], exact) if slope.requires_grad else torch.zeros_like(found)
    close = bool((found - wanted).norm() <= 1e-6 * wanted.norm() + 1e-12)
    require(close, component, f"the gradient of its slope's size is wrong {what}", mend)
