"""What a training of a folder of pictures starts from where nothing else is said."""

import numpy as np
import pytest
from made import png

from ganzoo.assembly import picture_recipe as pictures
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.errors import BrokenPlugin

REGISTRY = zoo().registry
TABLE = """
[suits]
images = [30, 50]
sides = [8, 64]
channels = [1]
because = "few"
[[suits.variants]]
labelled = true
because = "told"
settings = { gen = { labels = true } }
[gen]
name = "mlp"
width = 4
[disc]
name = "mlp"
width = 4
[train]
images = 64
batch_size = 8
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def folder(path, count, side=8, channels=1, classes=1):
    for i in range(count):
        here = path / "abc"[i % classes] if classes > 1 else path
        here.mkdir(parents=True, exist_ok=True)
        shape = (side, side) if channels == 1 else (side, side, channels)
        (here / f"{i}.png").write_bytes(png(np.full(shape, i % 256, np.uint8)))
    return path


def started(here, registry=REGISTRY, **more):
    return pictures.start(registry, {"data": {"name": str(here)}, **more})


@pytest.mark.parametrize(
    ("count", "side", "channels", "gen"),
    [(20, 32, 3, "fastgan"), (40, 24, 1, "dcgan"), (20, 64, 4, "fastgan")],
)
def test_number_and_size_choose_nets_and_augmentation(count, side, channels, gen, tmp_path):
    found = started(folder(tmp_path / "a", count, side, channels))
    assert found.settings["gen"]["name"] == gen
    assert "diffaug" in found.settings["aug"]
    assert found.settings["data"]["name"] == str(tmp_path / "a")
    assert f"{count} pictures of {channels}x{side}x{side} start from the recipe" in found.line


def test_many_pictures_are_not_augmented():
    tables = {c.name: pictures.suits(c) for c in REGISTRY.components("recipe")}
    tables = {name: table for name, table in tables.items() if table is not None}
    assert set(tables) == {"few-pictures", "some-pictures", "many-pictures"}

    def fit(count, side):
        return [n for n, t in tables.items() if t.takes(count, (3, side, side))]

    assert fit(50_000, 32) == ["many-pictures"] and fit(5000, 33) == ["some-pictures"]
    assert fit(500, 100) == ["some-pictures"] and set(fit(500, 64)) == {
        "some-pictures",
        "few-pictures",
    }
    assert fit(4, 64) == fit(500, 2048) == []


def test_classes_are_told_where_there_are_some(tmp_path):
    found = started(folder(tmp_path / "a", 60, 12, classes=3))
    assert found.settings["gen"]["labels"] and found.settings["disc"]["labels"]
    assert "60 pictures of 1x12x12 in 3 classes start" in found.line
    assert ", told the class; what is given" in found.line
    assert "labels" not in started(folder(tmp_path / "b", 60, 12)).settings["gen"]


def test_gamma_grows_with_the_pictures(tmp_path):
    weights = {}
    for side in (12, 60):
        found = started(folder(tmp_path / str(side), 40, side))
        weights[side] = [found.settings["reg"][name]["weight"] for name in ("r1", "r2")]
    assert weights == {12: [0.5, 0.5], 60: [2.0, 2.0]} and "gamma 2 by their size" in found.line


def test_what_is_asked_for_or_unknown_starts_from_the_defaults(tmp_path):
    here = folder(tmp_path / "a", 60)
    assert started(here) is not None
    assert started(here, train={"images": 8}) is not None
    for asked in ({"gen": {"name": "mlp"}}, {"reg": {}}, {"loss": {"name": "wgan"}}):
        assert started(here, **asked) is None
    assert started(tmp_path / "nowhere") is None and started(folder(tmp_path / "b", 3)) is None
    assert pictures.start(REGISTRY, {"data": {"name": str(here), "split": 2}}) is None
    assert pictures.start(REGISTRY, {"data": {"name": str(here), "frames": 4}}) is None  # videos
    for letter in "AB":
        folder(tmp_path / "pairs" / letter, 40)
    assert started(tmp_path / "pairs") is None


def own(tmp_path, text=TABLE):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return Component("recipe", "mine", str(file), "plug", "ganzoo-plug", "1")


def test_a_plugin_declares_its_own(tmp_path):
    registry = Registry([*REGISTRY.components(), own(tmp_path)])
    found = started(folder(tmp_path / "a", 40), registry)
    assert found.owner == "ganzoo-plug" and found.settings["gen"] == {"name": "mlp", "width": 4}
    assert "the recipe mine: few" in found.line
    assert started(folder(tmp_path / "b", 40, classes=2), registry).settings["gen"]["labels"]
    assert started(folder(tmp_path / "c", 60), registry).owner == "ganzoo"


def test_a_table_that_is_none_is_passed_over_and_named_by_the_kit(tmp_path):
    broken = own(tmp_path, TABLE.replace("[30, 50]", '"all"'))
    with pytest.raises(BrokenPlugin, match=r"suits\.images"):
        pictures.suits(broken)
    registry = Registry([*REGISTRY.components(), broken])
    assert started(folder(tmp_path / "a", 40), registry).owner == "ganzoo"


def test_a_dry_run_says_it_and_saves_it(tmp_path, cli):
    here = folder(tmp_path / "a", 40, 8)
    small = ["--batch-size", 8, "--images", 64, "--data", here]
    recipe = tmp_path / "own.toml"
    done = cli("train", *small, "--dry-run", "--save-recipe", recipe)
    assert done.code == 0, done.err
    assert "40 pictures of 1x8x8 start from the recipe some-pictures" in done.out
    text = recipe.read_text()
    assert str(tmp_path) not in text and 'name = "dcgan"' in text and "[aug.diffaug]" in text
    again = cli("train", "--data", here, "--config", recipe, "--dry-run")
    assert again.code == 0, again.err

    def settings(out):
        return [line for line in out.splitlines() if not line.startswith("#")]

    assert settings(again.out) == settings(done.out)
    done = cli("train", *small, "--dry-run", "--save-recipe", recipe)
    assert done.code == 2 and "there is such a file already" in done.err
    done = cli("train", *small, "--dry-run", "--save-recipe", tmp_path / "a.txt")
    assert done.code == 2 and "ends in .toml" in done.err
