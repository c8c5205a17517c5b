"""The rungs of the ladder, from a game of two numbers up, and that game's nets, data and metric."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:1801.04406"
RUNGS = ("dirac", "ring", "grid", "digits", "mnist", "stacked-mnist", "cifar10")


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("dirac", f"{__name__}.dirac:DiracGenerator", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("dirac", f"{__name__}.dirac:DiracDiscriminator", paper=PAPER)


@hookimpl
def register_datasets(register: Callable[..., None]) -> None:
    register("dirac", f"{__name__}.dirac:dirac", paper=PAPER, recipe="rung-dirac")


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("dirac", f"{__name__}.convergence:Dirac", paper=PAPER)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in RUNGS:
        register(f"rung-{name}", Path(__file__).parent / "recipes" / f"rung-{name}.toml")
