"""Every component that is installed keeps its contract,
and the checks that say so find what is wrong.
"""

import socket

import narrow
import pytest

import ganzoo
from ganzoo.components.loading import zoo
from ganzoo.errors import BadData
from ganzoo.testing import CHECKS, check
from ganzoo.testing.case import Case, find


def small(component):
    """What makes a component quick to check."""
    if component.kind == "recipe":
        found = narrow.layer(component)
        return found | ({"train": {"batch_size": 8}} if found else {})
    return narrow.options(component)


def data_options(component):
    """The options of a data set, or of that which a recipe is for."""
    if component.kind != "recipe":
        return component.options()
    name = component.recipe().get("data", {}).get("name")
    return zoo().registry.get("dataset", name).options() if name else {}


COMPONENTS = list(ganzoo.list_components())
FIRST = {c.plugin: c.name for c in reversed(COMPONENTS) if c.kind == "recipe"}  # of each plugin


def case(component):
    """The recipes of one plugin name the same parts, and are assembled: the others are slow."""
    quick = component.kind != "recipe" or FIRST[component.plugin] == component.name
    return pytest.param(component, id=str(component), marks=[] if quick else [pytest.mark.slow])


@pytest.mark.parametrize("component", list(map(case, COMPONENTS)))
def test_component(component, tmp_path, monkeypatch):
    """All checks but that it compiles, which takes most of their time: see below."""
    checks = {name: f for name, f in CHECKS[component.kind].items() if name != "compiles"}
    monkeypatch.setitem(CHECKS, component.kind, checks)
    if "root" in data_options(component):  # its files are not here: one line, not a download
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda *_, **__: (_ for _ in ()).throw(OSError("no network in tests")),
        )
        monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
        with pytest.raises(BadData, match=r"data\.root"):
            check(component, **({} if component.kind == "recipe" else {"root": tmp_path}))
    elif "weights_file" in component.options():  # likewise, and its package may be missing too
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(BadData, match=r"is published at|is not installed"):
            check(component)
    else:
        try:
            check(component, **small(component))
        except AssertionError as error:
            if component.kind != "tracker" or "which is not installed" not in str(error):
                raise
            pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize(
    "component",
    [c for c in COMPONENTS if c.kind in ("discriminator", "game", "augmentation")],
    ids=str,
)
def test_component_compiles(component):
    """tests/engine/test_engines.py holds it of losses, regularizers and generators, against eager
    updates, and by default of discriminators that meet no penalty.
    """
    found = find(Case(component, small(component)), "compiles", CHECKS[component.kind]["compiles"])
    assert found.outcome == "holds", str(found)
