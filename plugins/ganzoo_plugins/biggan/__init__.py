"""BigGAN's nets, plain and deep (Brock et al. 2019), and recipes on them."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:1809.11096"
RECIPES = ("biggan", "biggan-ada", "biggan-diffaug", "biggan-lecam", "crgan", "reacgan")


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("biggan", "ganzoo_plugins.biggan.nets:BigGANGenerator", paper=PAPER)
    register("biggan-deep", "ganzoo_plugins.biggan.deep:BigGANDeepGenerator", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("biggan", "ganzoo_plugins.biggan.nets:BigGANDiscriminator", paper=PAPER)
    register("biggan-deep", "ganzoo_plugins.biggan.deep:BigGANDeepDiscriminator", paper=PAPER)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in RECIPES:
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
