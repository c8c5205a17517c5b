"""Nets that read a picture and give another: a U-Net, and a discriminator of patches."""

from collections.abc import Callable

from ganzoo import hookimpl

PAPER = "arXiv:1611.07004"


@hookimpl
def register_generators(register: Callable[..., None]) -> None:
    register("unet", "ganzoo_plugins.translation.unet:UNet", paper=PAPER)


@hookimpl
def register_discriminators(register: Callable[..., None]) -> None:
    register("patch", "ganzoo_plugins.translation.patch:Patch", paper=PAPER)
