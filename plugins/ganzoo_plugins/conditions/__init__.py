"""What nets are given, made from the pictures themselves: any folder trains inpainting, denoising,
colourising, super-resolution and edges-to-photo.
"""

from collections.abc import Callable

from ganzoo import hookimpl


@hookimpl
def register_conditions(register: Callable[..., None]) -> None:
    for name, made in (
        ("blur", "filters:Blur"),
        ("edges", "filters:Edges"),
        ("grey", "filters:Grey"),
        ("jpeg", "jpeg:JPEG"),
        ("mask", "masks:Mask"),
        ("noise", "filters:Noise"),
        ("smaller", "filters:Smaller"),
    ):
        register(name, f"ganzoo_plugins.conditions.{made}")
