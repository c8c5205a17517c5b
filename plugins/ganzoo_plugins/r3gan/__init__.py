"""R3GAN's nets (Huang et al. 2024) and their presets."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:2501.05441"
RECIPES = (
    "r3gan-cifar10",
    "r3gan-ffhq-64",
    "r3gan-ffhq-256",
    "r3gan-imagenet-32",
    "r3gan-imagenet-64",
    "r3gan-stacked-mnist",
)


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("r3gan", "ganzoo_plugins.r3gan.nets:R3GANGenerator", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("r3gan", "ganzoo_plugins.r3gan.nets:R3GANDiscriminator", paper=PAPER)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in RECIPES:
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
