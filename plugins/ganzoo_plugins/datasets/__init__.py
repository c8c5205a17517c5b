"""Data sets by name: small pictures for every purpose,
and the mixtures of Gaussians that show mode collapse.
"""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl


@hookimpl
def register_datasets(register: Callable[..., None]) -> None:
    here = __name__
    register("digits", f"{here}.mnist:digits", recipe="rpgan-digits")
    register("mnist", f"{here}.mnist:mnist")
    register("fashion-mnist", f"{here}.mnist:fashion_mnist", paper="arXiv:1708.07747")
    register("stacked-mnist", f"{here}.mnist:stacked_mnist", paper="arXiv:1611.02163")
    register("cifar10", f"{here}.cifar:cifar10")
    register("ring", f"{here}.points:ring", paper="arXiv:1705.07761", recipe="rpgan-ring")
    register("grid", f"{here}.points:grid", paper="arXiv:1705.07761")


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in ("rpgan-digits", "rpgan-ring"):
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
