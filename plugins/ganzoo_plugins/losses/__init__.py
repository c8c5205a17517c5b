"""Adversarial losses."""

from collections.abc import Callable

from ganzoo import hookimpl

HERE = "ganzoo_plugins.losses.adversarial"


@hookimpl
def register_losses(register: Callable[..., None]) -> None:
    register("minimax", f"{HERE}:Minimax", paper="arXiv:1406.2661")
    register("nonsat", f"{HERE}:NonSaturating", paper="arXiv:1406.2661")
    register("lsgan", f"{HERE}:LeastSquares", paper="arXiv:1611.04076")
    register("wgan", f"{HERE}:Wasserstein", paper="arXiv:1701.07875")
    register("hinge", f"{HERE}:Hinge", paper="arXiv:1705.02894")
    register("rpgan", f"{HERE}:RelativisticPairing", paper="arXiv:1807.00734")
