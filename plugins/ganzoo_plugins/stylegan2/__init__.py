"""StyleGAN2's nets (Karras et al. 2020), the same growing as ProGAN's, and recipes."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:1912.04958"
GROWING = "arXiv:1710.10196"
RECIPES = ("stylegan2", "stylegan2-ada", "stylegan2-cifar")


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("stylegan2", "ganzoo_plugins.stylegan2.generator:StyleGAN2Generator", paper=PAPER)
    register("progan", "ganzoo_plugins.stylegan2.growing:GrowingGenerator", paper=GROWING)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register(
        "stylegan2", "ganzoo_plugins.stylegan2.discriminator:StyleGAN2Discriminator", paper=PAPER
    )
    register("progan", "ganzoo_plugins.stylegan2.growing:GrowingDiscriminator", paper=GROWING)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in RECIPES:
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
