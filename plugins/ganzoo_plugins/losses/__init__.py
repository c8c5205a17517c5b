"""Adversarial losses."""

from collections.abc import Callable

from ganzoo import hookimpl

HERE = "ganzoo_plugins.losses"


@hookimpl
def register_losses(register: Callable[..., None]) -> None:
    register("minimax", f"{HERE}.adversarial:Minimax", paper="arXiv:1406.2661")
    register("nonsat", f"{HERE}.adversarial:NonSaturating", paper="arXiv:1406.2661")
    register("lsgan", f"{HERE}.adversarial:LeastSquares", paper="arXiv:1611.04076")
    register("wgan", f"{HERE}.adversarial:Wasserstein", paper="arXiv:1701.07875")
    register("hinge", f"{HERE}.adversarial:Hinge", paper="arXiv:1705.02894")
    register("rpgan", f"{HERE}.adversarial:RelativisticPairing", paper="arXiv:1807.00734")
    register("ragan", f"{HERE}.relativistic:RelativisticAverage", paper="arXiv:1807.00734")
    register("rahinge", f"{HERE}.relativistic:RelativisticAverageHinge", paper="arXiv:1807.00734")
    register("rals", f"{HERE}.relativistic:RelativisticAverageSquares", paper="arXiv:1807.00734")
    register("ebgan", f"{HERE}.energy:EnergyBased", paper="arXiv:1609.03126")
    register("began", f"{HERE}.energy:BoundaryEquilibrium", paper="arXiv:1703.10717")
    register("multihinge", f"{HERE}.classes:MultiHinge", paper="arXiv:1912.04216")
