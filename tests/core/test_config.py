"""Layers of configuration: what wins, what a changed name drops, and what a wrong value is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ganzoo import config
from ganzoo.cli._layers import Layers, configure
from ganzoo.cli._words import FLAGS, MANY, Words
from ganzoo.cli.generate import command as generate
from ganzoo.components.loading import zoo
from ganzoo.errors import BadConfig, BadOption

NOTHING: dict[str, Any] = {
    **dict.fromkeys([*FLAGS, "recipe", "config_file"]),
    **dict.fromkeys([*MANY, "settings"], ()),
}


def layered(**given: Any) -> config.Config:
    return configure(zoo().registry, NOTHING | given).config


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("200k", 200_000),
        ("1.5M", 1_500_000),
        ("0.5k", 500),
        ("17", 17),
        (" 2 K ", 2000),
        ("1.1M", 1_100_000),
    ],
)
def test_counts_may_be_written_short(text: str, number: int) -> None:
    assert layered(images=text).train.images == number
    assert layered(settings=(f"train.images={text}",)).train.images == number


def test_each_layer_wins_over_the_one_before(tmp_path: Path) -> None:
    recipe = layered(recipe="wgan-gp")
    assert (recipe.train.n_critic, recipe.loss.name, recipe.reg["gp"]["weight"]) == (
        5,
        "wgan",
        10.0,
    )
    default = config.check(config.defaults())
    assert recipe.samples == default.samples, "what the recipe does not say is the default"
    file = tmp_path / "run.toml"
    file.write_text('[train]\nn_critic = 3\nseed = 4\nimages = "10k"\n[optim.gen]\nlr = 0.1\n')
    over = layered(recipe="wgan-gp", config_file=file)
    assert (over.train.n_critic, over.train.seed, over.optim.gen.options["lr"]) == (3, 4, 0.1)
    assert over.optim.gen.options["betas"] == [0.0, 0.9], (
        "the same optimizer keeps the recipe's other options"
    )
    flags = layered(recipe="wgan-gp", config_file=file, seed="5", images="20k")
    assert (flags.train.n_critic, flags.train.seed, flags.train.images) == (3, 5, 20_000)
    last = layered(
        recipe="wgan-gp", config_file=file, seed="5", settings=("train.seed=6", "optim.gen.lr=0.2")
    )
    assert (last.train.seed, last.optim.gen.options["lr"]) == (6, 0.2)


def test_another_name_drops_the_options_of_the_old_component() -> None:
    assert layered(recipe="wgan-gp").disc.options["norm"] == "layer"
    other = layered(recipe="wgan-gp", disc="mlp")
    assert other.disc.name == "mlp" and other.disc.options == {}
    assert layered(recipe="wgan-gp", disc="dcgan").disc.options["norm"] == "layer", (
        "the same name is no change"
    )
    rms = layered(recipe="wgan-gp", settings=("optim.gen.name=rmsprop", "optim.gen.clip_norm=1"))
    assert "betas" not in rms.optim.gen.options and rms.optim.gen.clip_norm == 1.0
    assert rms.optim.disc.options["betas"] == [0.0, 0.9]


def test_the_parts_of_a_recipe_can_be_dropped_and_added() -> None:
    assert set(layered(recipe="rpgan-r1r2").reg) == {"r1", "r2"}
    assert layered(recipe="rpgan-r1r2", reg=("none",)).reg == {}
    assert set(layered(recipe="rpgan-r1r2", reg=("none", "gp")).reg) == {"gp"}
    assert set(layered(recipe="rpgan-r1r2", reg=("gp",)).reg) == {"r1", "r2", "gp"}
    assert set(layered(recipe="rpgan-r1r2", settings=("reg.r1=false",)).reg) == {"r2"}
    added = layered(settings=("reg.gp=true", "reg.gp.weight=3"))
    assert added.reg == {"gp": {"weight": 3}}
    assert layered(reg=("gp",), settings=("reg.gp.weight=3", "reg.gp=true")).reg["gp"] == {
        "weight": 3
    }, "true keeps its options"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gen.x=8", 8),
        ("gen.x=1e-3", 1e-3),
        ("gen.x=true", True),
        ("gen.x=[1, 2]", [1, 2]),
        ("gen.x='a'", "a"),
        ("gen.x=a b", "a b"),
    ],
)
def test_set_reads_values_as_toml_else_as_text(text: str, value: object) -> None:
    assert config.apply_settings(config.defaults(), [text])["gen"]["x"] == value


def test_defaults_are_not_changed_by_layers() -> None:
    before = config.check(config.defaults())
    layered(recipe="wgan-gp", reg=("gp",), settings=("reg.gp.weight=3", "gen.width=8"))
    assert config.check(config.defaults()) == before


def test_a_resolution_is_text_however_it_is_written(tmp_path: Path) -> None:
    """Else a run started from a file with 32 could not be resumed with --resolution 32."""
    file = tmp_path / "run.toml"
    file.write_text("[data]\nresolution = 32\n")
    assert (
        layered(config_file=file)
        == layered(resolution="32")
        == layered(settings=("data.resolution=32",))
    )


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("gen = 5", "gen = 5: it holds settings by name"),
        ("gen = []", "gen = []: it holds settings by name"),
        ("[gen]\nname = 3", "gen.name = 3: give text"),
        ('[data]\nname = ""', "data.name = '': give a name"),
        ("reg = 7", "reg = 7: it holds settings by name"),
        ("[reg]\ngp = 5", "reg.gp = 5: it holds settings by name"),
        ("optim = []", "optim = []: it holds settings by name"),
        ("[optim]\ngen = 5", "optim.gen = 5: it holds settings by name"),
        ("[train]\nimages = -5", "train.images = -5: give 1 or more"),
        ("[train]\nimages = 1.5", "train.images = 1.5: give a whole number"),
        ("[train]\nimages = true", "train.images = True: give a whole number"),
        ("[train]\nbatch_size = 99999999999999999999", "give 2147483648 or less"),
        (
            '[train]\nconditional = "perhaps"',
            "train.conditional = 'perhaps': give 'auto', True or False",
        ),
        ('[train]\nprecision = "fp8"', "train.precision = 'fp8': give 'auto', 'fp32'"),
        ("[checkpoint]\nminutes = -1", "checkpoint.minutes = -1: give 0.0 or more"),
        ("[data]\nflip = 3", "data.flip = 3: give true or false"),
        ("[train]\nimagse = 5", "no setting 'train.imagse'; did you mean 'images'?"),
        ("[trian]\nimages = 5", "no setting 'trian'; did you mean 'train'?"),
    ],
)
def test_a_wrong_file_is_told_what_and_where(toml: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(toml)
    words = Words()
    with pytest.raises(BadConfig) as caught:
        configure(zoo().registry, NOTHING | {"config_file": file, "images": "5k"}, None, words)
    line = caught.value.line(words.place, words.setting)
    assert line.startswith(f"--config {file}: ")
    assert said in line
    assert "--" not in str(caught.value), "the library speaks of settings"


def test_a_complaint_about_an_option_names_who_gave_it() -> None:
    layers = Layers()
    layers.add({"gen": {"widht": 3, "width": "x"}, "optim": {}}, "--config c.toml")
    worded = layers.words

    def line(**fields: Any) -> str:
        return BadOption("no", **fields).line(worded.place, worded.setting)

    assert line(section="gen", key="widht", value=3) == "--config c.toml: gen.widht = 3: no"
    layers.set("gen.width=abc")
    assert line(section="gen", key="width", value="abc") == "--set gen.width=abc: no"
    layers.add({"train": {"images": "1k"}}, "--images 1k", whole=True)
    assert line(section="train", key="images", value=1000) == "--images 1k: no", "as it was typed"
    assert line(section="loss", key="x", value=[1, True]) == "--set loss.x=[1, true]: no"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"section": "train", "key": "batch_size", "value": 512}, "--batch-size 512: no"),
        ({"section": "data", "key": "name", "value": Path("a b")}, "--data a b: no"),
        ({"section": "gen"}, "--gen: no"),
        ({"section": "reg.gp"}, "--reg gp: no"),
        ({"section": "reg.gp", "key": "weight", "value": 2.5}, "--set reg.gp.weight=2.5: no"),
        ({"section": "metric.fid"}, "--metric fid: no"),
        ({"section": "optim.gen", "key": "name", "value": "x"}, "--set optim.gen.name=x: no"),
        ({"section": "optim.gen"}, "--set optim.gen: no"),
        ({"key": "count", "value": 0}, "--count 0: no"),
        ({"key": "source", "value": "x.pt"}, "x.pt: no"),
        ({"key": "elsewhere", "value": 3}, "elsewhere = 3: no"),
        ({"section": "gen", "key": "width", "source": "run.toml"}, "run.toml: gen.width: no"),
        ({"remedy": "take", "change": {"train.batch_size": 3}}, "no; take: --batch-size 3"),
        ({"change": {"disc.norm": "a b"}}, "no; --set disc.norm='a b'"),
        ({"change": {"reg.gp": True}}, "no; --reg gp"),
        ({"change": {"reg.gp": False}}, "no; --set reg.gp=false"),
        ({"change": {"tracker.csv": True, "count": 5}}, "no; --tracker csv --count 5"),
    ],
)
def test_settings_are_flags_on_the_command_line(fields: dict[str, Any], said: str) -> None:
    words = Words()
    words.parameters = {p.name: p for p in generate.params if p.name}
    error = BadOption("no", **fields)
    assert error.line(words.place, words.setting) == said
    assert "--" not in str(error)


def test_a_checked_tree_checks_again() -> None:
    once = layered(recipe="wgan-gp", images="2k")
    assert config.check(once.tree()) == once
