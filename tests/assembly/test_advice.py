"""What a training starts from where no recipe is named: the recipe that the data set declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ganzoo import config
from ganzoo.assembly import data_recipe as advice
from ganzoo.cli._layers import configure
from ganzoo.cli._words import FLAGS, MANY
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry

NOTHING: dict[str, Any] = {
    **dict.fromkeys([*FLAGS, "recipe", "config_file"]),
    **dict.fromkeys([*MANY, "settings"], ()),
}
RECIPE = """
summary = "x"
[gen]
name = "round"
width = 9
[disc]
name = "square"
norm = "none"
[loss]
name = "close"
[reg.soft]
weight = 0.5
[reg.hard]
[train]
batch_size = 7
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """One data set with a recipe, one without."""
    file = tmp_path / "own.toml"
    file.write_text(RECIPE)
    about = {"recipe": "own"}
    known = [
        Component("dataset", "mine", len, "plug", "ganzoo-plug", "1", about),
        Component("dataset", "plain", len, "plug", "ganzoo-plug", "1"),
        Component("recipe", "own", str(file), "plug", "ganzoo-plug", "1"),
        Component("recipe", "own", "elsewhere", "other", "ganzoo-other", "1"),
    ]
    parts = [("regularizer", n) for n in ("soft", "hard", "other")]
    return Registry([*known, *(Component(k, n, len, "plug", "ganzoo-plug", "1") for k, n in parts)])


def started(registry: Registry, **given: Any) -> tuple[config.Config, list[str]]:
    layers = configure(registry, NOTHING | given)
    return layers.config, layers.notes


def test_data_start_from_their_own_recipe_and_say_so(registry: Registry) -> None:
    found, notes = started(registry, data="mine")
    assert (found.gen.name, found.disc.name, found.loss.name) == ("round", "square", "close")
    assert found.reg == {"soft": {"weight": 0.5}, "hard": {}} and found.train.batch_size == 7
    assert notes == ["mine starts from its own recipe, own; what is given goes over it"]
    for name in ("plain", "no-such-set"):
        assert (
            started(registry, data=name)[0].tree()
            == config.check(config.merge(config.defaults(), {"data": {"name": name}})).tree()
        )
        assert started(registry, data=name)[1] == []
    by_setting, _ = started(registry, settings=("data.name=mine", "train.batch_size=8"))
    assert (by_setting.gen.name, by_setting.train.batch_size) == ("round", 8)


def test_what_is_asked_for_wins_and_penalties_go_with_the_loss(registry: Registry) -> None:
    found, notes = started(registry, data="mine", loss="far")
    assert found.loss.name == "far" and found.reg == {} and found.gen.options == {"width": 9}
    assert "without its soft and hard" in notes[0]
    found, notes = started(registry, data="mine", reg=("soft", "other"))
    assert found.reg == {"soft": {"weight": 0.5}, "other": {}} and found.loss.name == "close"
    assert "without its hard" in notes[0]
    assert started(registry, data="mine", reg=("none",))[0].reg == {}
    for unchecked in (7, False, "soft", [1]):
        own = advice.start(registry, {"data": {"name": "mine"}, "reg": unchecked, "gen": unchecked})
        assert own is not None and own.settings["reg"] == {}
    assert started(registry, data="mine", loss="close", reg=("soft", "hard"))[0].reg == {
        "soft": {"weight": 0.5},
        "hard": {},
    }


def test_another_generator_takes_its_own_partner(registry: Registry) -> None:
    assert started(registry, data="mine", gen="round")[0].disc.options == {"norm": "none"}
    found, _ = started(registry, data="mine", gen="flat")
    assert found.disc.name == "auto" and not found.disc.options and not found.gen.options
    assert started(registry, data="mine", gen="flat", disc="square")[0].disc.name == "square"


def test_points_of_third_parties_may_start_from_ganzoo_s_recipe() -> None:
    about = {"recipe": "rpgan-points"}
    mine = Component("dataset", "mine", len, "plug", "ganzoo-plug", "1", about)
    found, notes = started(Registry([*zoo().registry.components(), mine]), data="mine")
    assert (found.data.name, found.gen.name) == ("mine", "mlp") and set(found.reg) == {"r1", "r2"}
    assert notes == ["mine starts from its own recipe, rpgan-points; what is given goes over it"]


def test_a_run_file_that_is_complete_is_not_changed(registry: Registry, tmp_path: Path) -> None:
    whole = config.check(config.merge(config.defaults(), {"data": {"name": "mine"}}))
    lines = {"gen": "flat", "disc": "square", "loss": "far", "data": "mine"}
    text = "".join(f'[{section}]\nname = "{name}"\n' for section, name in lines.items())
    (tmp_path / "run.toml").write_text(text + "[train]\nbatch_size = 64\n")
    found, _ = started(registry, config_file=tmp_path / "run.toml")
    assert found.reg == {} and found.train == whole.train and found.disc.options == {}


def test_the_recipes_that_are_declared_are_there_and_name_their_data() -> None:
    declared = [c for c in zoo().registry.components("dataset") if "recipe" in c.about]
    assert {c.name for c in declared} >= {"digits", "ring"}
    for component in declared:
        own = advice.start(zoo().registry, {"data": {"name": component.name}})
        assert own is not None and own.owner == component.distribution
        assert own.settings["data"]["name"] == component.name
        assert component.about["recipe"] in own.line
