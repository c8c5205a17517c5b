"""Checks that hold a component to its contract, for whoever ships one.

In a plugin's own tests:

    @pytest.mark.parametrize("component", [c for c in ganzoo.list_components() if c.distribution ==
    "ganzoo-example"], ids=str) def test_component(component): ganzoo.testing.check(component)

`check` raises AssertionError with one line: the component, what does not hold, how to fix it.
`findings` goes through all checks and says what each found; `ganzoo check-plugin` prints that. Both
run the same checks, on small samples, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..components.registry import Component, Registry
from ..contracts import Spec
from ..errors import BadData
from . import basics, data, games, nets, optimizers, parts, updates
from .case import SPECS, Case, Check, Finding, Outcome, depending, find
from .speed import speed

UPDATE: dict[str, Check] = {
    "types": updates.types,
    "devices": updates.devices,
    "bf16": updates.bf16,
    "compiles": updates.compiles,
    "captures": updates.captures,
    "speed": speed,
}
CHECKS: dict[str, dict[str, Check]] = {  # kind -> name -> check, in the order in which they are run
    "generator": {
        "described": basics.described,
        "builds": basics.builds,
        "latents": nets.latents,
        "shapes": nets.draws_shapes,
        "ranges": nets.ranges,
        "inputs": nets.reads_latents,
        "labels": nets.labels,
        "determinism": nets.repeats,
        "adapts": nets.adapts,
        "gradients": nets.reached,
        "slopes": nets.bends,
        "state": basics.state(nets.use),
        **UPDATE,
    },
    "discriminator": {
        "described": basics.described,
        "builds": basics.builds,
        "shapes": nets.logits,
        "labels": nets.labels,
        "determinism": nets.repeats,
        "adapts": nets.adapts,
        "per-sample": nets.per_sample,
        "slopes": nets.slopes,
        "differentiation": nets.differentiation,
        "gradients": nets.reached,
        "state": basics.state(nets.use),
        **UPDATE,
    },
    "loss": {
        "described": basics.described,
        "builds": basics.builds,
        "shapes": parts.loss_scalars,
        "ranges": parts.loss_ranges,
        "gradients": parts.loss_reaches,
        "direction": parts.direction,
        "state": basics.state(parts.use_loss),
        **UPDATE,
    },
    "regularizer": {
        "described": basics.described,
        "builds": basics.builds,
        "acts": parts.acts,
        "shapes": parts.hooks,
        "slopes": parts.second_order,
        "gradients": parts.penalty_reaches,
        "state": basics.state(parts.use_regularizer),
        **UPDATE,
    },
    "condition": {
        "described": basics.described,
        "builds": basics.builds,
        "shapes": games.gives,
        "determinism": games.gives_again,
        "state": basics.state(games.use_condition),
    },
    "encoder": {
        "described": basics.described,
        "builds": basics.builds,
        "shapes": games.codes,
        "state": basics.state(games.use_encoder),
    },
    "game": {
        "described": basics.described,
        "builds": basics.builds,
        "roles": games.roles,
        "turns": games.turns,
        "plays": games.plays,
        "compiles": games.plays_compiled,
        "state": basics.state(games.use_game),
    },
    "dataset": {
        "described": basics.described,
        "builds": data.opens,
        "ranges": data.values,
        "labels": data.classes,
        "determinism": data.opens_alike,
        "resolution": data.resolution,
    },
    "augmentation": {
        "described": basics.described,
        "builds": basics.builds,
        "shapes": parts.seen_shapes,
        "determinism": parts.changes_repeat,
        "gradients": parts.lets_through,
        "state": basics.state(parts.use_augmentation),
        **UPDATE,
    },
    "optimizer": {
        "described": basics.described,
        "builds": optimizers.makes,
        "direction": optimizers.descends,
        "state": optimizers.resumes,
        "types": optimizers.steps_in_float64,
        "captures": updates.captures,
        "speed": speed,
    },
    "metric": {
        "described": basics.described,
        "builds": basics.builds,
        "shapes": data.figures,
        "determinism": data.measures_alike,
        "inputs": data.leaves_samples,
        "speed": speed,
    },
    "tracker": {"described": basics.described, "builds": basics.builds, "listens": data.hears},
    "recipe": {"described": basics.described, "builds": data.reads, "assembles": data.assembles},
}


def findings(
    component: Component,
    *,
    specs: Sequence[Spec] = SPECS,
    registry: Registry | None = None,
    data: Mapping[str, Any] | None = None,
    device: str = "cpu",
    budget: float | None = None,
    against: str | None = None,
    measure: bool = True,
    **options: Any,
) -> Iterator[Finding]:
    """What each check of the component's kind finds, in order; see Case for the settings.

    options are those to build it with, or a recipe's sections to
    lay over. measure: whether to time it, without a budget too.
    """
    case = Case(
        component, options, specs=specs, registry=registry, data=data, device=device,
        budget=budget, against=against,
    )  # fmt: skip
    cannot, failed = "", list[Finding]()
    for name, function in CHECKS[component.kind].items():
        if name == "speed" and not measure and budget is None:
            continue
        if cannot:
            yield Finding(component, name, "does not apply", cannot)
            continue
        finding = find(case, name, function)
        if name == "builds" and finding.outcome in ("does not hold", "does not apply"):
            cannot = (
                "its files are not here"
                if isinstance(finding.error, BadData)
                else "it cannot be built"
            )
        yield depending(finding, failed)
        failed += [finding] if finding.outcome == "does not hold" else []


def check(component: Component, **settings: Any) -> None:
    """Hold one component to the contract of its kind, and to what
    every component owes a reader; takes what `findings` takes.

    Raises AssertionError at the first check that does not
    hold, BadData when a data set's files are not here.
    """
    for finding in findings(component, **{"measure": False, **settings}):
        if finding.outcome == "does not hold":
            raise AssertionError(str(finding)) from finding.error
        if isinstance(finding.error, BadData):
            raise finding.error


__all__ = ["CHECKS", "SPECS", "Finding", "Outcome", "check", "findings"]
