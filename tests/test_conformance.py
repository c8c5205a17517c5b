"""Every component that is installed keeps its contract,
and the checks that say so find what is wrong.
"""

import socket

import pytest

import ganzoo
from ganzoo.errors import BadData
from ganzoo.testing import check

LARGE = {"biggan", "biggan-deep", "fastgan", "r3gan", "resnet", "sagan"}  # nets that take half a minute each


def parts():
    """All components, those that take long marked."""
    for component in ganzoo.list_components():
        long = component.kind in ("generator", "discriminator") and component.name in LARGE
        yield pytest.param(component, marks=[pytest.mark.slow] if long else [])


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
        check(component)
