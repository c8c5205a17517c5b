"""The tables of docs/results.md and docs/families.md: what is trained, gone on with, and said."""

import pytest
import torch

import ganzoo
from benchmarks import families, results, studies
from ganzoo import config as configuration
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.sweeps import results as recording

REGISTRY = zoo().registry
FIRST = {"loss.name": ["nonsat", "wgan"], "reg": ["none", {"r1": {"weight": 0.1}}]}


@pytest.fixture
def study():
    tiny = {"gen": {"width": 8}, "disc": {"width": 8}, "metric": {"swd": {"count": 32}}}
    base = configuration.merge(results.points("ring"), tiny)
    return studies.Study("tiny", "A study", base, FIRST, "swd.distance", 128)


def row(values, mean, low, high, survived=2, of=2):
    score = {"mean": mean, "low": low, "high": high, "count": survived}
    return {"values": values, "survived": survived, "of": of, "score": score}


def test_a_study_is_trained_seed_by_seed_and_goes_on_where_it_was_stopped(study, tmp_path):
    assert studies.whole(study, tmp_path) is None
    asked = []
    studies.train(study, tmp_path, 0, lambda: len(asked) > 4 or asked.append(1))
    began = recording.read(study.place(tmp_path, 0))
    assert 0 < len(began) < 4 and studies.whole(study, tmp_path) is None
    studies.train_all([study], tmp_path, 2)
    found = studies.whole(study, tmp_path)
    assert (found["seeds"], found["survival"]["total"]) == (2, 8)
    assert [each.seconds for each in recording.read(study.place(tmp_path, 0))][: len(began)] == [
        each.seconds for each in began
    ]
    lines = (study.place(tmp_path, 1) / recording.FILE).read_text().splitlines()
    assert len(lines) == 4
    (study.place(tmp_path, 1) / recording.FILE).write_text("\n".join(lines[:3]) + "\n")
    less = studies.whole(study, tmp_path)
    assert less["seeds"] == 1, "a seed of which a trial is missing is not counted"
    text = results.section(study, tmp_path)
    assert "1 seed;" in text and "| nonsat |" in text and "r1(weight=0.1)" in text
    assert "One seed was trained, so no setting has an interval." in text


def test_what_overlaps_is_called_noise_and_what_died_is_named():
    near, far = row({"a": "x"}, 1.0, 0.9, 1.1), row({"a": "y"}, 1.2, 1.05, 1.4)
    worst = row({"a": "z"}, 9.0, 8.0, 9.5, survived=1)
    assert not studies.apart(near["score"], far["score"])
    assert studies.apart(near["score"], worst["score"])
    assert studies.cell(worst) == "9 [8, 9.5], 1 of 2" and studies.cell(near) == "1 [0.9, 1.1]"
    levels = [
        {"option": option, "value": value, **row({}, mean, 0.9 * mean, 1.1 * mean)}
        for option, value, mean in (
            ("a", "x", 2.0), ("a", "y", 1.0), ("a", "z", 1.1), ("b", 1, 1.0), ("b", 2, 1.0),
        )
    ]  # fmt: skip
    report = {
        "larger": False,
        "levels": levels,
        "survival": {"count": 5, "total": 6, "low": 0.4, "high": 0.9},
        "settings": [near, far, worst],
        "factors": [{"option": "a", "share": 0.5, "by_chance": 0.1, "p": 0.001}],
    }
    text = studies.said(report)
    assert max(map(len, text.splitlines())) <= studies.COLUMNS
    text = " ".join(text.split())
    assert "5 of 6 trainings survived" in text and "z (1 of 2)" in text
    assert "Of the 2 others 1 have intervals that overlap the best's" in text and ": y." in text
    assert "Of `a`, over all others, y is best, 1 [0.9, 1.1]. Not told from it: z." in text
    assert "Apart from it: x (2 times)." in text
    assert "Of `b`, over all others, 1 is best, 1 [0.9, 1.1]. Not told from it: 2." in text
    assert "`a` explains 50%" in text and "more than chance" in text


def test_the_studies_are_those_that_they_say():
    pairs = results.STUDIES["ring"]
    assert [len(values) for values in pairs.tries.values()] == [6, 7]
    known = {each.name for each in REGISTRY.components("loss")}
    assert {*results.LOSSES} <= known
    known = {each.name for each in REGISTRY.components("optimizer")}
    assert {*results.STUDIES["optimizers"].tries["optim.gen.name,optim.disc.name"]} == known


def test_a_budget_buys_whole_batches_of_what_an_image_costs(tmp_path, monkeypatch):
    price = families.cost("mlp", tmp_path)
    assert 0 < price < 1
    monkeypatch.setattr(families, "_measured", lambda family: pytest.fail("it was kept"))
    assert families.study("mlp", tmp_path, 100 * price, "digits").images == 96
    assert families.study("mlp", tmp_path, price, "digits").images == families.BATCH, "one at least"


@pytest.mark.parametrize("family", families.FAMILIES)
def test_each_family_draws_and_judges_digits_as_the_table_has_it(family):
    spec, (gen, disc) = Spec((1, 32, 32)), families.FAMILIES[family]
    generator = ganzoo.create("generator", family, spec, **gen)
    drawn = generator(torch.randn(4, generator.latent_dim))
    assert drawn.shape == (4, 1, 32, 32)
    judged = ganzoo.create("discriminator", family, spec, **disc)(drawn)
    assert len(judged[0] if isinstance(judged, list) else judged) == 4
