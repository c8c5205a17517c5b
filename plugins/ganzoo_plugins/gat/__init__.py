"""GAT's transformers (Hyun et al. 2025), the game that guides their stages, and a recipe."""

from collections.abc import Callable
from pathlib import Path

from ganzoo import hookimpl

PAPER = "arXiv:2509.24935"


@hookimpl
def register_games(register: Callable[..., None]) -> None:
    register("mng", "ganzoo_plugins.gat.game:NoiseLevels", paper=PAPER)


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("gat", "ganzoo_plugins.gat.nets:GATGenerator", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("gat", "ganzoo_plugins.gat.nets:GATDiscriminator", paper=PAPER)


@hookimpl
def register_recipes(register: Callable[..., None]) -> None:
    register("gat-s", Path(__file__).parent / "recipes" / "gat-s.toml")
