"""Every component that is installed keeps its contract,
and the checks that say so find what is wrong.
"""

import socket

import narrow
import pytest

import ganzoo
from ganzoo.errors import BadData
from ganzoo.testing import check


def small(component):
    """What makes a component quick to check."""
    if component.kind == "recipe":
        found = narrow.layer(component)
        return found | ({"train": {"batch_size": 8}} if found else {})
    return narrow.options(component)


@pytest.mark.parametrize("component", list(ganzoo.list_components()), ids=str)
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
