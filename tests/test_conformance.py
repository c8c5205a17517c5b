"""Every component that is installed keeps its contract,
and the checks that say so find what is wrong.
"""

import socket

import pytest

import ganzoo
from ganzoo.errors import BadData
from ganzoo.testing import check

# Nets that take half a minute each
LARGE = {"biggan", "biggan-deep", "fastgan", "r3gan", "resnet", "sagan"}
NEEDS_LARGE = {"reconstruct"}
# Options, and settings of recipes, of what would take minutes
SMALL = {"fastgan": {"width": 4}, "r3gan": {"width": 8}}
SMALL_RECIPE = {"gen": {"width": 16}, "disc": {"width": 16}, "train": {"batch_size": 8}}


def parts():
    """All components, those that take long marked."""
    for component in ganzoo.list_components():
        net = component.kind in ("generator", "discriminator")
        long = component.name in (LARGE if net else NEEDS_LARGE)
        yield pytest.param(component, marks=[pytest.mark.slow] if long else [])


def small(component):
    """What makes a component quick to check."""
    if component.kind == "recipe" and component.plugin in SMALL:
        return SMALL_RECIPE
    return SMALL.get(component.name, {}) if component.kind in ("generator", "discriminator") else {}


@pytest.mark.parametrize("component", parts(), ids=str)
def test_component(component, tmp_path, monkeypatch):
    if (
        "root" in component.options()
    ):  # its files are not here: that must be one line, not a download
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda *_, **__: (_ for _ in ()).throw(OSError("no network in tests")),
        )
        with pytest.raises(BadData, match=r"data\.root"):
            check(component, root=tmp_path)
    else:
        check(component, **small(component))
