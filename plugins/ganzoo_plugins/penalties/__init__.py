"""Penalties on the gradient of the discriminator."""

from collections.abc import Callable

from ganzoo import hookimpl

HERE = "ganzoo_plugins.penalties.gradients"


@hookimpl
def register_regularizers(register: Callable[..., None]) -> None:
    register("gp", f"{HERE}:UnitGradientPenalty", paper="arXiv:1704.00028")
    register("dragan", f"{HERE}:Dragan", paper="arXiv:1705.07215")
    register("r1", f"{HERE}:R1", paper="arXiv:1801.04406")
    register("r2", f"{HERE}:R2", paper="arXiv:1801.04406")
