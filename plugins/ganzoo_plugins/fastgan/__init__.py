"""FastGAN's nets for data of a hundred pictures (Liu et al. 2021), its penalty and its recipe."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:2101.04775"


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("fastgan", "ganzoo_plugins.fastgan.generator:FastGANGenerator", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("fastgan", "ganzoo_plugins.fastgan.discriminator:FastGANDiscriminator", paper=PAPER)


@hookimpl
def register_regularizers(register: Callable[..., None]) -> None:
    register("reconstruct", "ganzoo_plugins.fastgan.penalty:Reconstruction", paper=PAPER)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in ("fastgan", "few-pictures"):
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
