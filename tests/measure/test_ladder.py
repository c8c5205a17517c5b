"""The ladder: what a rung fixes, what a band says, and the game of two numbers at its foot."""

import json
import math
import shutil
import tomllib

import pytest
import torch

from benchmarks import ladder as bands
from ganzoo import config as configuration
from ganzoo import ladder
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.errors import BrokenPlugin, UsageError
from ganzoo.training.loop import Training
from ganzoo.training.meters import NotFinite

REGISTRY = zoo().registry
FIVE = {"seeds": range(5), "machine": "m", "date": "2026-11-22", "versions": "v"}


def place(name):
    (found,) = ladder.chosen(REGISTRY, [name])
    return found


def tried(**layers):
    return configuration.merge(configuration.defaults(), layers)


@pytest.fixture
def short(monkeypatch):
    """Rungs of a few updates."""
    settings = ladder.Placed.settings.fget

    def shorter(self):
        tree = settings(self)
        return {**tree, "train": {**tree["train"], "images": 64, "batch_size": 8}}

    monkeypatch.setattr(ladder.Placed, "settings", property(shorter))


def test_the_rungs_that_come_with_ganzoo_stand_in_order():
    names = [each.rung.name for each in ladder.rungs(REGISTRY)]
    assert names == ["dirac", "ring", "grid", "digits", "mnist", "stacked-mnist", "cifar10"]
    quick = [each.rung.name for each in ladder.chosen(REGISTRY, [])]
    assert quick == names[:4]


@pytest.mark.parametrize("name", [each.rung.name for each in ladder.rungs(REGISTRY)])
def test_a_rung_asks_for_a_figure_of_its_metric_and_holds_its_own_band(name):
    found = place(name)
    metric, _, _ = found.rung.figure.partition(".")
    assert [*found.settings["metric"]] == [metric]
    if found.rung.band is not None:
        own = ladder.Climb(found.rung, values=[*found.rung.band.values])
        assert ladder.verdict(own) == ladder.PASSED


# Through the engine, the two numbers move as simultaneous gradient descent on them does.
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_the_game_of_two_numbers_follows_its_formula(gamma):
    over = {"loss": {"name": "nonsat"}, "reg": {"r1": {"weight": gamma}}}
    config, registry, notes = ladder.placed(tried(**over), place("dirac"), REGISTRY)
    tree = config.tree()
    tree["train"] |= {"images": 80, "device": "cpu"}
    training = Training(assemble(configuration.check(tree), registry))
    nets = training.pipeline.parts
    theta, psi = 1.0, float(nets.discriminator.slope.detach())
    training.run()
    for _ in range(10):
        force = 1 / (1 + math.exp(psi * theta)), 1 / (1 + math.exp(-psi * theta))
        theta, psi = (
            theta + 0.08 * force[0] * psi,
            psi - 0.08 * (force[1] * theta + gamma * psi),
        )
    moved = float(nets.generator.point.detach()), float(nets.discriminator.slope.detach())
    assert moved == pytest.approx((theta, psi), abs=1e-3) and not notes
    assert torch.equal(training.pipeline.average.net.point, nets.generator.point), "no average"


def test_a_rung_says_its_data_length_and_metric():
    over = {
        "data": {"name": "cifar10", "flip": True},
        "metric": {"swd": {}},
        "train": {"images": 5, "batch_size": 32},
        "reg": {"r1": {}},
    }
    config, _, notes = ladder.placed(tried(**over), place("digits"), REGISTRY)
    assert (config.data.name, config.data.flip, config.train.images) == ("digits", False, 10_000)
    assert [*config.metric] == ["frechet"] and [*config.reg] == ["r1"]
    assert (config.gen.name, config.train.batch_size, notes) == ("dcgan", 32, [])


def test_nets_for_other_samples_give_way_to_the_rungs():
    config, _, notes = ladder.placed(tried(gen={"name": "resnet"}), place("ring"), REGISTRY)
    assert (config.gen.name, config.disc.name, config.gen.options["depth"]) == ("mlp", "mlp", 6)
    assert "resnet" in notes[0]
    own = tried(gen={"name": "mlp", "width": 32}, disc={"name": "mlp"})
    config, _, notes = ladder.placed(own, place("ring"), REGISTRY)
    assert config.gen.options == {"width": 32} and not notes


@pytest.mark.parametrize(
    ("larger", "value", "wanted"),
    [
        (False, 3.0, ladder.PASSED),
        (False, 3.1, ladder.MISSED),
        (True, 1.0, ladder.PASSED),
        (True, 0.9, ladder.MISSED),
    ],
)
def test_the_worst_seed_of_the_band_is_the_limit(larger, value, wanted):
    rung = ladder.Rung(
        name="a", step=1, figure="m.f", band=ladder.Band(values=[1, 2, 2, 2, 3], **FIVE)
    )
    found = ladder.Climb(rung, values=[value - 0.5, value + 0.5], larger=larger)
    assert ladder.verdict(found) == wanted


def test_without_a_band_there_is_no_verdict():
    rung = ladder.Rung(name="a", step=1, figure="m.f")
    assert ladder.verdict(ladder.Climb(rung, values=[1.0])) == "no band measured"
    with pytest.raises(ValueError, match="at least 5"):
        ladder.Band(values=[1.0], **FIVE)


def test_what_does_not_fit_a_rung_is_no_failure(short):
    found = ladder.climb(tried(loss={"name": "multihinge"}), place("dirac"), REGISTRY, [0])
    assert found.verdict == "does not apply" and found.why and found.value is None


def test_a_training_that_diverges_has_failed(short, monkeypatch, cli):
    def fail(training, tell):
        raise NotFinite("loss is not finite")

    monkeypatch.setattr(ladder.recovery, "run", fail)
    found = ladder.climb(tried(), place("dirac"), REGISTRY, [0])
    assert (found.verdict, found.why) == ("failed", "loss is not finite")
    done = cli("ladder", "--loss", "nonsat", "--rungs", "dirac", "--seeds", "1")
    assert done.code == 1 and "failed: loss is not finite" in done.err


def test_the_command_prints_a_row_a_rung(short, cli):
    done = cli("ladder", "--loss", "nonsat", "--reg", "r1", "--rungs", "dirac", "--seeds", "2")
    rung, figure, reached, _, better, verdict = done.out.rstrip("\n").split("\t")
    assert (rung, figure, better) == ("dirac", "frechet.distance", "low") and "to" in reached
    assert verdict == ladder.MISSED and done.code == 1, "eight updates lead nowhere"
    assert cli("ladder", "--loss", "multihinge", "--rungs", "dirac").code == 0, "does not apply"


def test_the_command_prints_json(short, cli):
    done = cli("ladder", "gan-r1", "--rungs", "dirac", "--seeds", "1", "--json")
    (record,) = json.loads(done.out)
    assert (record["rung"], record["seeds"]) == ("dirac", [0])
    assert record["value"] == record["values"][0] and record["larger_is_better"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a recipe"),
        (["no-such"], "no recipe named 'no-such'"),
        (["gan-r1", "--rungs", "rung"], "no rung 'rung'; did you mean"),
        (["gan-r1", "--set", "data.name=ring"], "a rung says its data"),
        (["gan-r1", "--set", "train.images=5"], "a rung says its data"),
        (["gan-r1", "--seeds", "0"], "give 1 or more"),
    ],
)
def test_wrong_use_is_one_line(cli, arguments, words):
    done = cli("ladder", *arguments)
    assert done.code == 2 and words in done.err and done.err.count("\n") == 1, done.err


def test_a_table_that_is_no_rung_is_named(monkeypatch):
    found = place("dirac")
    tree = found.recipe.recipe()
    monkeypatch.setattr(
        type(found.recipe), "recipe", lambda self: tree | {"rung": {"name": "a", "step": "up"}}
    )
    with pytest.raises(BrokenPlugin, match=r"rung\.step"):
        ladder.rung_of(found.recipe)
    with pytest.raises(UsageError, match="no rung 'b'"):
        ladder.chosen(REGISTRY, ["b"])


def test_a_band_is_written_into_the_file_and_nothing_else_changes(tmp_path):
    path = tmp_path / "rung.toml"
    shutil.copy(str(place("mnist").recipe.factory), path)
    before = tomllib.loads(path.read_text("utf-8"))
    band = ladder.Band(values=[1, 2, 3, 4, 5], **FIVE)
    bands.write(path, band)
    after = tomllib.loads(path.read_text("utf-8"))
    assert ladder.Band.model_validate(after["rung"].pop("band")) == band
    before["rung"].pop("band", None)
    assert after == before
