"""The residual nets of SNGAN and WGAN-GP, with self-attention as in SAGAN, and their recipes."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:1802.05957"
SAGAN = "arXiv:1805.08318"
RECIPES = ("sngan", "wgan-gp-resnet", "sagan", "lsgan-resnet", "acgan-cifar10")


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("resnet", "ganzoo_plugins.resnet.nets:ResNetGenerator", paper=PAPER)
    register("sagan", "ganzoo_plugins.resnet.attention:SAGANGenerator", paper=SAGAN)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("resnet", "ganzoo_plugins.resnet.nets:ResNetDiscriminator", paper=PAPER)
    register("sagan", "ganzoo_plugins.resnet.attention:SAGANDiscriminator", paper=SAGAN)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in RECIPES:
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
