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
    register("stacked-digits", f"{here}.mnist:stacked_digits", paper="arXiv:1611.02163")
    register("cifar10", f"{here}.cifar:cifar10")
    for name in ("ring", "grid"):
        register(name, f"{here}.points:{name}", paper="arXiv:1705.07761", recipe="rpgan-points")


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in ("rpgan-digits", "rpgan-points"):
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
