"""DCGAN's convolutional nets (Radford et al. 2016) and the recipes that were published on them."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:1511.06434"
RECIPES = (
    "dcgan",
    "lsgan",
    "wgan",
    "wgan-gp",
    "dragan",
    "sn-dcgan",
    "gan-r1",
    "rpgan-r1r2",
    "infogan-mnist",
    "some-pictures",
    "many-pictures",
)


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("dcgan", "ganzoo_plugins.dcgan.nets:DCGANGenerator", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("dcgan", "ganzoo_plugins.dcgan.nets:DCGANDiscriminator", paper=PAPER)


@hookimpl
def register_encoders(register: Callable[..., None]) -> None:
    register("dcgan", "ganzoo_plugins.dcgan.nets:DCGANEncoder", paper=PAPER)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in RECIPES:
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
