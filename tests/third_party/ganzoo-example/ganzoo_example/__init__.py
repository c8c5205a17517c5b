"""Parts for ganzoo: registered by dotted name, and imported when first used."""

from ganzoo import hookimpl


@hookimpl
def register_generators(register):
    register(
        "upsample",
        "ganzoo_example.parts:UpsampleGenerator",
        paper="https://distill.pub/2016/deconv-checkerboard",
    )


@hookimpl
def register_losses(register):
    register("softhinge", "ganzoo_example.parts:SoftHinge")


@hookimpl
def register_regularizers(register):
    register("anchor", "ganzoo_example.parts:Anchor")
