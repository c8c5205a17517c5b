"""Checks that hold a component to its contract, for whoever ships one.

In a plugin's own tests:

    @pytest.mark.parametrize("component", [c for c in ganzoo.list_components() if c.distribution == "ganzoo-example"], ids=str)
    def test_component(component):
        ganzoo.testing.check(component)

Each check raises AssertionError with one line: the component, what does not hold, how to mend it. `options` are those to build
the component with; without them its defaults are checked. Everything runs on the CPU, in seconds, on small samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..registry import Component
from .basics import SPECS, check_described
from .data import check_dataset, check_metric, check_recipe, check_tracker
from .nets import check_discriminator, check_generator
from .optimizers import check_optimizer
from .parts import check_augmentation, check_loss, check_regularizer

CHECKS: dict[str, Callable[..., None]] = {
    "generator": check_generator,
    "discriminator": check_discriminator,
    "loss": check_loss,
    "regularizer": check_regularizer,
    "dataset": check_dataset,
    "augmentation": check_augmentation,
    "optimizer": check_optimizer,
    "metric": check_metric,
    "tracker": check_tracker,
    "recipe": check_recipe,
}


def check(component: Component, **options: Any) -> None:
    """Hold one component to the contract of its kind, and to what every component owes a reader."""
    CHECKS[component.kind](component, **options)


__all__ = [
    "CHECKS",
    "SPECS",
    "check",
    "check_augmentation",
    "check_dataset",
    "check_described",
    "check_discriminator",
    "check_generator",
    "check_loss",
    "check_metric",
    "check_optimizer",
    "check_recipe",
    "check_regularizer",
    "check_tracker",
]
