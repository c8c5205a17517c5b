"""Changes of what the discriminator sees, for trainings on few pictures and against lost modes."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

HERE = "ganzoo_plugins.augmentations"
RECIPES = ("pacgan",)


@hookimpl
def register_augmentations(register: Callable[..., None]) -> None:
    register("ada", f"{HERE}.ada:ADA", paper="arXiv:2006.06676")
    register("diffaug", f"{HERE}.diffaug:DiffAugment", paper="arXiv:2006.10738")
    register("flip", f"{HERE}.simple:Flip")
    register("pac", f"{HERE}.simple:Packing", paper="arXiv:1712.04086")


@hookimpl
def register_games(register: Callable[..., None]) -> None:
    register("apa", f"{HERE}.apa:APA", paper="arXiv:2111.06849")


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    for name in RECIPES:
        register(name, Path(__file__).parent / "recipes" / f"{name}.toml")
