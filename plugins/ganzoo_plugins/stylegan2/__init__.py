"""StyleGAN2's nets (Karras et al. 2020) and their recipes."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:1912.04958"
RECIPES = ("stylegan2", "stylegan2-cifar")


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("stylegan2", "ganzoo_plugins.stylegan2.generator:StyleGAN2Generator", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register(
        "stylegan2", "ganzoo_plugins.stylegan2.discriminator:StyleGAN2Discriminator", paper=PAPER
    )


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in RECIPES:
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
