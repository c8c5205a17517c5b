"""Checks of generators and discriminators."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..contracts import Spec
from ..contracts.step import as_judges, mean_of
from ..engine.losses import choose_differentiation
from ..engine.randomness import reseed
from ..errors import GanzooError
from .case import (
    BATCH,
    Case,
    DoesNotApply,
    Noted,
    Wrong,
    describe,
    judging,
    labels_for,
    on,
    samples_of,
    seeded,
)
from .slopes import require_slope

MOST = 160  # letters of a reason
SEEDED = "draw weights and noise from torch's global generator only"


def latents_of(case: Case, spec: Spec) -> Tensor:
    """Latents that are always the same."""
    latents: Tensor = case.made(spec).draw_latents(BATCH, torch.Generator().manual_seed(3))
    return latents


# Generators.


def latents(case: Case) -> str:
    """Latents come from the generator of random numbers that is given, and from nothing else."""
    net = case.made(case.taken[0])
    before = torch.get_rng_state()
    first, second = (net.draw_latents(BATCH, torch.Generator().manual_seed(3)) for _ in range(2))
    same = torch.equal(first, second) and torch.equal(before, torch.get_rng_state())
    case.require(
        same,
        "its latents do not come from the generator given",
        "pass `generator=generator` where it draws",
    )
    takes = inspect.signature(net.draw_latents).parameters
    case.require(
        net.sampling.keys() <= takes.keys(),
        f"`sampling` lists {', '.join(net.sampling.keys() - takes.keys())}, which draw_latents "
        "does not take",
        "take each of them by name",
    )
    case.require(
        len(first) == BATCH,
        f"draw_latents({BATCH}) gives {len(first)}",
        "return one latent a sample",
    )
    return f"{list(first.shape[1:])} a sample, from the stream given"


def draws_shapes(case: Case) -> str:
    """Samples have the spec's shape, the weights' type, and are finite."""
    for spec in case.taken:
        net, what = case.made(spec), f"on {describe(spec)}"
        fix = "forward(latents, labels) must take [n, latent_dim] and [n]"
        samples = case.attempt(
            f"drawing samples {what}",
            fix,
            seeded,
            net,
            latents_of(case, spec),
            labels_for(net, spec),
        )
        expected = (BATCH, *spec.shape)
        case.require(
            tuple(samples.shape) == expected,
            f"draws {tuple(samples.shape)} {what}",
            f"return {expected}",
        )
        case.require(
            samples.dtype == torch.float32,
            f"draws {samples.dtype} {what}",
            "return what the weights' type gives",
        )
        case.require(
            samples.isfinite().all(), f"draws values that are not finite {what}", "check its scales"
        )
    return on(case.taken)


def ranges(case: Case) -> str:
    """Images and videos lie in [-1, 1], far from the origin of latents too; symbols and categories
    are shares of one.
    """
    bounded = [spec for spec in case.taken if spec.modality in ("image", "video")]
    chosen = [spec for spec in case.taken if _choices(spec)]
    if not bounded and not chosen:
        raise DoesNotApply("it draws no images, tokens or categories")
    for spec in chosen:
        _require_shares(case, spec)
    widest = 0.0
    for spec in bounded:
        net = case.made(spec)
        with torch.no_grad():
            here = seeded(net, 5 * latents_of(case, spec), labels_for(net, spec)).abs().max().item()
        fix = "end in tanh: images and videos lie in [-1, 1]"
        case.require(here <= 1, f"draws values up to {here:.2f} on {describe(spec)}", fix)
        widest = max(widest, here)
    found = [f"images and videos reach {widest:.2f} of 1"] if bounded else []
    return "; ".join([*found, *(["symbols and categories are shares of one"] if chosen else [])])


def _choices(spec: Spec) -> list[slice]:
    """Where in a sample's last dimension each symbol or category lies."""
    if spec.alphabet:
        return [slice(0, len(spec.alphabet))]
    found, start = [], 0
    for column in spec.columns:
        found += [slice(start, start + column.width)] if column.values else []
        start += column.width
    return found


@torch.no_grad()
def _require_shares(case: Case, spec: Spec) -> None:
    net = case.made(spec)
    drawn = seeded(net, latents_of(case, spec), labels_for(net, spec))
    fix = "end in ganzoo.nn.straight_through, relaxed or table_rows"
    for place in _choices(spec):
        shares = drawn[..., place]
        right = bool((shares >= 0).all()) and bool(((shares.sum(-1) - 1).abs() < 1e-4).all())
        what = "categories" if spec.columns else "symbols"
        case.require(right, f"draws {what} on {describe(spec)} that are no shares of one", fix)


def reads_latents(case: Case) -> str:
    """Samples depend on the latents."""
    for spec in case.taken:
        net = case.moved(spec)
        labels = labels_for(net, spec)
        same = torch.allclose(
            seeded(net, latents_of(case, spec), labels),
            seeded(net, net.draw_latents(BATCH), labels),
        )
        case.require(
            not same, f"ignores the latents on {describe(spec)}", "samples must depend on them"
        )
    return on(case.taken)


def inputs_of(case: Case, spec: Spec) -> Tensor:
    """What a net of this kind takes."""
    return latents_of(case, spec) if case.kind == "generator" else samples_of(spec)


def labels(case: Case) -> str:
    """Labels count where the net says that it reads them;
    without classes it does without, or refuses when it is built.
    """
    reads = False
    for spec in case.taken:
        net = case.moved(spec)
        if labels_for(net, spec) is not None:
            reads = True
            first, second = (
                seeded(net, inputs_of(case, spec), labels_for(net, spec, shift)) for shift in (0, 1)
            )
            wrong = f"ignores the labels on {describe(spec)}"
            case.require(not torch.equal(first, second), wrong, "use them, or drop `conditional`")
    plain = replace(case.taken[0], classes=0)
    fix = "refuse `spec.classes == 0` with ganzoo.errors.Incompatible, or do without labels"
    try:
        net = case.fresh(plain)
    except GanzooError:
        return "they count; without classes it refuses"
    case.attempt("running it without classes", fix, net, inputs_of(case, case.taken[0]), None)
    if not reads:
        raise DoesNotApply("it reads no labels")
    return "they count; it does without, too"


def repeats(case: Case) -> str:
    """The same seed gives the same weights and the same outcome."""
    for spec in case.taken:
        net, other = case.made(spec), case.fresh(spec)
        given, classes = inputs_of(case, spec), labels_for(net, spec)
        one, two = (seeded(judging(n), given, classes) for n in (net, other))
        same = (
            torch.allclose(one, two, rtol=1e-4, atol=1e-6)
            if case.kind == "discriminator"
            else torch.equal(one, two)
        )
        case.require(same, f"differs between two runs of one seed on {describe(spec)}", SEEDED)
    return on(case.taken)


def reached(case: Case) -> str:
    """Every parameter gets a gradient."""
    count = 0
    for spec in case.taken:
        moved, what = case.moved(spec), f"on {describe(spec)}"
        given = inputs_of(case, spec)
        outcome = seeded(judging(moved), given, labels_for(moved, spec))
        for head in getattr(
            moved, "heads", ()
        ):  # what reads the features beside the score, for other losses
            outcome = outcome + getattr(moved, head)(moved.features(given)).flatten(1).square().sum(
                1
            )
        fix = "use every parameter, or remove it; nothing may be detached on the way"
        case.require(outcome.requires_grad, f"no gradient reaches its parameters {what}", fix)
        (outcome * torch.randn_like(outcome)).sum().backward()
        idle = [
            name
            for name, p in moved.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.any())
        ]
        case.require(not idle, f"no gradient reaches {', '.join(idle[:3])} {what}", fix)
        count = max(count, len(list(moved.parameters())))
    return f"all of up to {count} parameters, {on(case.taken)}"


def use(case: Case, net: Any) -> None:
    """What a net does in training."""
    given, classes = inputs_of(case, net.spec), labels_for(net, net.spec)
    case.attempt(
        f"running it on {describe(net.spec)}",
        "forward must take [n, ...] and labels [n]",
        seeded,
        net,
        given,
        classes,
    )
    with torch.no_grad():
        fix = "observe(latents or samples, labels) moves buffers and returns nothing"
        case.attempt(f"observing on {describe(net.spec)}", fix, net.observe, given, classes)


def bends(case: Case) -> str:
    """Whether a penalty on the slope of the samples
    in the latents (path length) can be learnt from.
    """
    spec = case.taken[0]
    exact, x, classes = (
        case.copy(spec).double(),
        latents_of(case, spec).double(),
        labels_for(case.made(spec), spec),
    )
    reseed(6)
    noise = torch.randn(BATCH, *spec.shape, dtype=torch.float64)
    try:
        require_slope(
            case,
            exact,
            lambda x: (seeded(exact, x, classes) * noise).flatten(1).sum(1),
            x,
            "of its samples",
        )
    except AssertionError as error:
        return Noted(f"no penalty on the samples' slope (path length): {str(error.args[0])[:MOST]}")
    return Noted("penalties on the samples' slope (path length) can be used")


# Discriminators.


def logits(case: Case) -> str:
    """One finite logit a sample, and the same by forward as by score of features."""
    for spec in case.taken:
        net, what, samples, classes = (
            case.made(spec),
            f"on {describe(spec)}",
            samples_of(spec),
            labels_for(case.made(spec), spec),
        )
        fix = "forward(samples, labels) must take [n, *spec.shape] and [n]"
        found = case.attempt(f"judging samples {what}", fix, seeded, judging(net), samples, classes)
        case.require(
            len(found) == BATCH and not _is_column(net(samples, classes)),
            f"gives {tuple(found.shape)} {what}",
            "return one logit a sample, [n], a map of them, [n, ...], or a list of either",
        )
        case.require(
            found.dtype == torch.float32,
            f"gives {found.dtype} {what}",
            "return what the weights' type gives",
        )
        case.require(
            found.isfinite().all(), f"gives logits that are not finite {what}", "check its scales"
        )
        parts = seeded(judging(_in_two(net)), samples, classes)
        same = found.shape == parts.shape and torch.allclose(found, parts, rtol=1e-4, atol=1e-6)
        fix = "define `features` and `score`, or `forward` alone"
        case.require(same, f"forward is not score(features) {what}", fix)
    return f"[n], forward is score(features), {on(case.taken)}"


def _is_column(found: Any) -> bool:
    return isinstance(found, Tensor) and found.dim() == 2 and found.shape[1] == 1


def _in_two(net: Any) -> Callable[..., Any]:
    return lambda samples, labels: net.score(net.features(samples), labels)


def adapts(case: Case) -> str:
    """The options of `adapts` give the traits that they promise."""
    remedies: dict[str, Any] = {}
    for spec in case.taken:
        remedies = {trait: dict(remedy) for trait, remedy in case.made(spec).adapts.items()}
        for trait, remedy in remedies.items():
            fix = "correct `adapts`: trait -> the options that give it"
            other = case.with_options(remedy)
            changed = other.attempt(
                f"building it with {remedy} for {trait!r}", fix, other.build, spec
            )
            case.require(getattr(changed, trait, False), f"has no {trait!r} with {remedy}", fix)
    if not remedies:
        raise DoesNotApply("it declares no options for traits that it lacks")
    return "; ".join(
        f"{trait} with {', '.join(f'{k}={v}' for k, v in remedy.items())}"
        for trait, remedy in remedies.items()
    )


def single(case: Case) -> Case:
    """The case of the net that judges each sample by itself:
    as it is, or with the options that `adapts` names.
    """
    nets = [case.made(spec) for spec in case.taken]
    if all(net.per_sample for net in nets):
        return case
    remedy = nets[0].adapts.get("per_sample")
    if not remedy:
        raise DoesNotApply(
            "it mixes the samples of a batch, so that gradient penalties refuse it, and `adapts` "
            "names no remedy"
        )
    return case.with_options(remedy)


@torch.no_grad()
def per_sample(case: Case) -> str:
    """A logit changes with the other samples of the batch as
    `per_sample` says: measured in training mode, in float64.
    """
    mixing = [spec for spec in case.taken if not case.made(spec).per_sample]
    if mixing and not any(_mixes(case, spec) for spec in mixing):
        wrong = "says per_sample = False, and no logit changes with the other samples"
        raise Wrong(wrong, "set per_sample = True, so that gradient penalties take it")
    try:
        other = single(case)
    except DoesNotApply:
        return f"it mixes the samples of a batch, as it says, {on(case.taken)}"
    fix = "set per_sample = False, and say in `adapts` which options fix it"
    for spec in other.taken:
        if other.made(spec).per_sample:
            changes = (
                f"says per_sample, and a logit changes with the other samples on {describe(spec)}"
            )
            case.require(not _mixes(other, spec), changes, fix)
    mixed = (
        f"it mixes the samples of a batch, as it says; with {dict(other.options)} "
        if other is not case
        else ""
    )
    return f"{mixed}each logit depends on its own sample only, {on(case.taken)}"


def _mixes(case: Case, spec: Spec) -> bool:
    exact, samples = case.moved(spec).double(), samples_of(spec).double()
    others = torch.cat([samples[:1], 3 * samples[1:].roll(1, -1) + 0.5])
    before, after = (
        seeded(judging(exact), batch, labels_for(exact, spec))[0] for batch in (samples, others)
    )
    return not torch.allclose(before, after, rtol=1e-9, atol=1e-12)


def slopes(case: Case) -> str:
    """The gradient of a slope's size as the engine takes
    it is right, where a gradient penalty may meet the net.
    """
    other = single(case)
    for spec in other.taken:
        exact, classes = other.copy(spec).double(), labels_for(other.made(spec), spec)
        require_slope(
            case,
            exact,
            partial(_height, exact, classes),
            samples_of(spec).double(),
            f"on {describe(spec)}",
        )
    return f"as finite differences say, {on(other.taken)}"


def _height(net: Any, classes: Tensor | None, x: Tensor) -> Tensor:
    return mean_of(as_judges(seeded(net, x, classes)))


def differentiation(case: Case) -> str:
    """Which of the two ways to a slope's gradient the engine will use."""
    other = single(case)
    slow = [
        spec
        for spec in other.one_of_each
        if choose_differentiation(copy.deepcopy(other.made(spec)), spec) == "double_backward"
    ]
    if slow:
        where = " and ".join(spec.modality for spec in slow)
        return Noted(
            f"forward over reverse: no, on {where} an operation has no right forward mode; "
            "gradient penalties cost a second derivative"
        )
    return Noted("forward over reverse: yes, gradient penalties cost one forward-mode pass")
