"""Measures of generated samples that need no trained network, each beside its floor."""

from collections.abc import Callable

from ganzoo import hookimpl


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    here = __name__
    register("modes", f"{here}.modes:Modes", paper="arXiv:1705.07761")
