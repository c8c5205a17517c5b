"""The first GAN: fully connected nets for samples of
any shape, and its recipe (Goodfellow et al. 2014).
"""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:1406.2661"


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("mlp", "ganzoo_plugins.vanilla.nets:MLPGenerator", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("mlp", "ganzoo_plugins.vanilla.nets:MLPDiscriminator", paper=PAPER)
    register(
        "autoencoder", "ganzoo_plugins.vanilla.autoencoder:MLPAutoencoder", paper="arXiv:1609.03126"
    )


@hookimpl
def register_encoders(register: Callable[..., None]) -> None:
    register("mlp", "ganzoo_plugins.vanilla.nets:MLPEncoder")


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in ("vanilla", "cgan-mnist", "began"):
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
