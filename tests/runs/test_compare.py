"""`ganzoo compare`: runs side by side, under one protocol and after equally many images."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image
from run_folders import LINE, PROTOCOL, made, score

from ganzoo.errors import BadFile, GanzooError, UsageError
from ganzoo.runs import compare as comparing


def lines(*images, rank=0.5):
    return [LINE | {"images": n, "rank": rank + n / 1e6} for n in images]


def drawn(run, *images, size=(40, 20), colour=0):
    (run / "samples").mkdir(exist_ok=True)
    for n in images:
        Image.new("L", size, colour).save(run / "samples" / f"{n:09d}.png")
    return run


@pytest.fixture
def pair(tmp_path):
    """Two runs of unlike losses, whose scores have one protocol."""
    return [
        made(tmp_path, "0001-a", lines(1000, 2000), [score("swd", distance=[1.0, 2.0])]),
        made(
            tmp_path,
            "0002-b",
            lines(1000, 2000, 3000),
            [score("swd", distance=[4.0])],
            loss={"name": "hinge"},
            reg={"gp": {"weight": 2.0}},
            train={"images": 3000},
        ),
    ]


def told(ran, *runs):
    return json.loads(ran("compare", *runs, "--json"))


# Settings.


def test_the_settings_that_differ_are_named_and_no_others(pair, ran):
    found = told(ran, *pair)
    assert found["settings"] == {
        "loss.name": {"a": "nonsat", "b": "hinge"},
        "reg.gp.weight": {"a": None, "b": 2.0},
        "train.images": {"a": 2000, "b": 3000},
    }
    assert [run["name"] for runs in found["groups"].values() for run in runs] == [
        "0001-a",
        "0002-b",
    ]


def test_what_makes_no_other_training_is_no_difference(tmp_path, ran):
    beside = {"log": {"images": 5}, "data": {"root": "there"}, "checkpoint": {"keep": 9}}
    runs = [made(tmp_path, "a"), made(tmp_path, "b", train={"seed": 1}, **beside)]
    found = told(ran, *runs)
    assert found["settings"] == {} and [len(g) for g in found["groups"].values()] == [2]


# Scores.


def test_scores_of_one_protocol_stand_side_by_side_with_their_floor(pair, ran):
    column = told(ran, *pair)["scores"]["swd.distance"]
    assert column["refused"] == "" and column["floor"] == 0.5
    assert column["groups"]["a"]["mean"] == 1.5 and column["groups"]["a"]["over"] == "draws"
    assert column["groups"]["a"]["low"] == 1.0 and column["groups"]["a"]["high"] == 2.0
    b = column["groups"]["b"]
    assert (b["mean"], b["low"], b["count"]) == (4.0, None, 1), "one value has no interval"
    text = ran("compare", *pair)
    assert "1.5 [1, 2], 2 draws" in text and "log after 2,000 images" in text


@pytest.mark.parametrize("key", sorted({*PROTOCOL, "truncation"} - {"seeds"}))
def test_unlike_protocols_are_refused_by_the_field_that_differs(key, pair, ran):
    other = PROTOCOL | {key: 0.7}
    scored = score("swd", distance=[4.0], protocol=other)
    (pair[1] / "scores.jsonl").write_text(json.dumps(scored) + "\n")
    column = told(ran, *pair)["scores"]["swd.distance"]
    assert column["groups"] == {} and column["refused"].startswith(f"{key} differs (")
    assert "0.7 in b" in column["refused"]
    text = ran("compare", *pair)
    assert "not compared" in text and "1.5" not in text, "no value beside it either"


def test_the_seeds_of_a_protocol_may_differ(pair, ran):
    scored = score("swd", distance=[4.0], protocol=PROTOCOL | {"seeds": 3})
    (pair[1] / "scores.jsonl").write_text(json.dumps(scored) + "\n")
    assert told(ran, *pair)["scores"]["swd.distance"]["refused"] == ""


def test_runs_of_equal_settings_but_the_seed_are_one_group(tmp_path, ran):
    values = [1.0, 2.0, 6.0]
    runs = [
        made(tmp_path, f"s{i}", lines(2000, rank=i), [score("swd", distance=[v, v])],
             train={"seed": i})
        for i, v in enumerate(values)
    ]  # fmt: skip
    again = made(tmp_path, "again", lines(2000), train={"seed": 0})
    other = made(tmp_path, "other", lines(2000), loss={"name": "hinge"})
    found = told(ran, runs[0], other, runs[1], again, runs[2])
    names = {label: [run["name"] for run in runs] for label, runs in found["groups"].items()}
    assert names == {"a": ["s0", "s1", "s2"], "b": ["other"], "c": ["again"]}
    row = found["scores"]["swd.distance"]["groups"]["a"]
    assert row["mean"] == 3.0 and row["count"] == 3 and row["over"] == "seeds"
    assert 1.0 <= row["low"] < 3.0 < row["high"] <= 6.0
    assert {*found["scores"]["swd.distance"]["groups"]} == {"a"}
    rank = found["log"]["figures"]["rank"]
    assert rank["a"]["mean"] == pytest.approx(1.002) and rank["a"]["count"] == 3


def test_the_bootstrap_interval_is_that_of_all_resamples():
    """Of n values n ** n can be listed; the smallest of three is all of one in 27, beyond 2.5 %."""
    assert comparing.bootstrap([1.0, 2.0, 6.0]) == (1.0, 6.0)
    values = [1.0, 2.0, 6.0, 7.0, 11.0]
    means = [np.mean(chosen) for chosen in itertools.product(values, repeat=5)]
    wanted = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert comparing.bootstrap(values) == pytest.approx(tuple(wanted), abs=0.21), (
        "a resample's step"
    )
    assert comparing.bootstrap([1.0]) is None and comparing.bootstrap([2.0, 2.0]) == (2.0, 2.0)
    many = np.random.default_rng(1).standard_normal(400)
    low, high = comparing.bootstrap(many.tolist())
    error = 1.96 * many.std() / 20
    assert (low, high) == pytest.approx((many.mean() - error, many.mean() + error), abs=0.01)


def test_the_last_score_counts_and_unequal_images_are_told(pair, ran):
    with (pair[0] / "scores.jsonl").open("a") as file:
        file.write(json.dumps(score("swd", images=1000, distance=[7.0])) + "\n")
    row = told(ran, *pair)["scores"]["swd.distance"]["groups"]["a"]
    assert row["mean"] == 7.0 and row["images"] == [1000]
    assert "taken after 1,000, 2,000 images" in ran("compare", *pair)


# The log and the pictures.


@pytest.mark.parametrize(
    ("counts", "chosen"),
    [
        ([[1, 2, 3], [1, 2, 3, 4]], [3, 3]),
        ([[960, 1000], [960, 1990]], [960, 960]),
        ([[64, 1024, 2048], [50, 1000, 2000, 3000]], [2048, 2000]),
        ([[100, 1000], [100, 990, 5000]], [1000, 990]),
        ([[7], [7]], [7, 7]),
    ],
)
def test_equal_images_are_the_largest_that_all_have(counts, chosen):
    assert comparing.at_equal(counts) == chosen


def test_counts_that_never_meet_are_an_error():
    with pytest.raises(GanzooError, match="not all have anything"):
        comparing.at_equal([[100], [5000]])


def test_the_log_is_read_after_equal_images(pair, ran):
    found = told(ran, *pair)["log"]
    assert found["images"] == [2000, 2000]
    assert found["figures"]["rank"]["a"]["mean"] == pytest.approx(0.502)
    assert found["figures"]["discriminator.total"]["b"]["mean"] == 1.25


def test_pictures_stand_side_by_side_after_equal_images(pair, ran, tmp_path):
    drawn(pair[0], 0, 1000, 2000, colour=10)
    drawn(pair[1], 0, 2000, 3000, size=(30, 50), colour=200)
    found = json.loads(ran("compare", *pair, "--json", "--out", tmp_path / "c.png"))
    assert found["picture"]["images"] == [2000, 2000]
    with Image.open(tmp_path / "c.png") as sheet:
        assert sheet.size == (40 + 30 + 3 * 8, 50 + 16 + 2 * 8)
        assert sheet.getpixel((8 + 20, 24 + 10)) == (10, 10, 10)
        assert sheet.getpixel((8 + 40 + 8 + 15, 24 + 40)) == (200, 200, 200)


# Bad input.


def test_what_cannot_be_compared_is_one_line(pair, cli, tmp_path):
    for words, code, said in (
        ([pair[0]], 2, "two runs or more"),
        ([pair[0], pair[0]], 2, "given twice"),
        ([pair[0], tmp_path], 1, "no run there"),
        ([*pair, "--out", tmp_path / "x.gif"], 2, "ends in .png"),
        ([*pair, "--out", tmp_path / "x.png"], 1, "no pictures in its folder samples"),
    ):
        done = cli("compare", *words)
        assert done.code == code and done.err.count("\n") == 1 and said in done.err, done.err
    assert not (tmp_path / "x.png").exists()
    (pair[0] / "log.jsonl").unlink()
    assert "log.jsonl: missing" in cli("compare", *pair).err


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_damaged_picture_and_a_link_are_named(content, pair, tmp_path):
    drawn(pair[0], 2000)
    drawn(pair[1], 2000)
    path = pair[1] / "samples" / "000002000.png"
    path.write_bytes(content)
    found = comparing.groups(pair)
    with pytest.raises(BadFile, match=r"000002000.png: no picture"):
        comparing.draw(found, tmp_path / "c.png")
    path.unlink()
    path.symlink_to(pair[0] / "samples" / "000002000.png")
    with pytest.raises(BadFile, match="a link"):
        comparing.draw(found, tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_a_bomb_is_refused_before_it_is_decoded(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "PIXELS", 100)
    found = comparing.groups([drawn(run, 2000) for run in pair])
    with pytest.raises(BadFile, match="40x20 pixels are too many"):
        comparing.draw(found, tmp_path / "c.png")
    monkeypatch.setattr(comparing, "PIXELS", 1 << 20)
    monkeypatch.setattr(comparing, "SHEET", 100)
    with pytest.raises(GanzooError, match="leave some runs out"):
        comparing.draw(found, tmp_path / "c.png")


def test_letters_go_on_after_z():
    assert [comparing._letters(i) for i in (0, 25, 26, 27, 52)] == ["a", "z", "aa", "ab", "ba"]


def test_a_single_run_is_refused_by_the_library_too(pair):
    with pytest.raises(UsageError):
        comparing.compare(pair[:1])
