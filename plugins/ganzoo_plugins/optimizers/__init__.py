"""PyTorch's optimizers, with the settings that GANs need."""

from collections.abc import Callable

from ganzoo import hookimpl

HERE = "ganzoo_plugins.optimizers.builders"


@hookimpl
def register_optimizers(register: Callable[..., None]) -> None:
    register("adam", f"{HERE}:adam", paper="arXiv:1412.6980")
    register("adamw", f"{HERE}:adamw", paper="arXiv:1711.05101")
    register("rmsprop", f"{HERE}:rmsprop")
    register("sgd", f"{HERE}:sgd")
    register("adagrad", f"{HERE}:adagrad")
    register("adadelta", f"{HERE}:adadelta", paper="arXiv:1212.5701")
