"""What a report says of results, against figures that were computed by hand."""

import itertools
import json
import math

import pytest
from run_folders import LINE, made, score

from ganzoo import config as configuration
from ganzoo.errors import BadFile
from ganzoo.runs.compare import bootstrap
from ganzoo.sweeps import page, report
from ganzoo.sweeps import plan as planning
from ganzoo.sweeps import results as recording
from ganzoo.sweeps.results import Result
from ganzoo.sweeps.spaces import Choice, Range, Times
from ganzoo.sweeps.trial import Outcome

BASE = configuration.check(configuration.defaults()).tree()
PROTOCOL = {"data": "ring", "fake": 100, "seeds": 1}


def plan(tries=None, **about):
    return planning.Plan(BASE, tries or {"gen.width": Choice((8, 16))}, **about)


def result(trial, setting, score, status="finished", survived=True, seeds=2, **values):
    return Result(
        trial=trial, setting=setting, seed=trial % seeds, values=values or {"gen.width": setting},
        status=status, survived=survived, images=100, measured="swd.distance",
        score=score, protocol=PROTOCOL,
    )  # fmt: skip


def test_survival_and_scores_are_counted():
    """Settings 0 and 1, two seeds each; one of the four died."""
    results = [
        result(0, 0, 3.0), result(1, 0, 5.0),
        result(2, 1, 1.0), result(3, 1, None, "not finite", False),
    ]  # fmt: skip
    found = report.report(plan(seeds=2), results)
    assert found["statuses"] == {"finished": 3, "not finite": 1}
    assert found["trials"] == 4 and found["ended"] == 4
    survival = found["survival"]
    assert survival["share"] == 0.75
    # Wilson's interval of 3 of 4: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    assert survival["low"] == pytest.approx(0.300642, abs=1e-6)
    assert survival["high"] == pytest.approx(0.954413, abs=1e-6)
    first, second = found["settings"]
    assert first["setting"] == 0, "a setting that does not always survive is below one that does"
    assert first["score"]["mean"] == 4.0 and first["score"]["count"] == 2
    assert (first["score"]["low"], first["score"]["high"]) == bootstrap([3.0, 5.0])
    assert second["survived"] == 1 and second["of"] == 2
    assert second["score"] == {"mean": 1.0, "low": None, "high": None, "count": 1}
    assert report.rate(0, 0)["share"] is None
    assert report.rate(5, 5)["high"] == 1.0 and report.rate(5, 5)["low"] < 0.6


def test_the_best_of_k_settings_is_the_mean_over_all_choices():
    """By listing every choice of k of five settings; smaller is better, one had no score."""
    goodness = [-3.0, -1.0, -4.0, -1.5, -math.inf]
    rows = report.best_of(goodness, larger=False)
    values = [3.0, 1.0, 4.0, 1.5, 4.0]  # the worst that any had
    for row in rows:
        bests = [min(chosen) for chosen in itertools.combinations(values, row["settings"])]
        assert row["mean"] == pytest.approx(sum(bests) / len(bests))
        assert row["low"] == min(bests)
        assert row["high"] in bests
        assert sum(b <= row["high"] for b in bests) >= 0.95 * len(bests)
    assert [row["settings"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["mean"] == rows[-1]["low"] == rows[-1]["high"] == 1.0
    assert report._chances(60, 20)[9] == pytest.approx(math.comb(50, 19) / math.comb(60, 20))
    upward = report.best_of([3.0, 1.0], larger=True)
    assert [row["mean"] for row in upward] == [2.0, 3.0]
    assert report.best_of([-math.inf], larger=False) == []


def test_what_matters_is_the_variance_of_ranks_between_values():
    """Two options of two values, four settings: ranks 0, 1, 2, 3 for scores 4, 3, 2, 1."""
    values = [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    results = [
        result(i, i, score, seeds=1, **{"loss.name": name, "gen.width": width})
        for i, ((name, width), score) in enumerate(zip(values, (4.0, 3.0, 2.0, 1.0), strict=True))
    ]
    tries = {"loss.name": Choice(("a", "b")), "gen.width": Choice((1, 2))}
    found = report.report(plan(tries), results)["factors"]
    assert [row["option"] for row in found] == ["loss.name", "gen.width"]
    # All variance 5; between the losses 2 * 1 + 2 * 1 = 4, between the widths 4 * 0.25 = 1.
    assert [row["share"] for row in found] == pytest.approx([0.8, 0.2])
    # Of the three ways to part four settings in two pairs, shares are 0.8, 0.2 and 0.
    assert [row["by_chance"] for row in found] == pytest.approx([1 / 3, 1 / 3], abs=0.04)
    assert found[0]["p"] == pytest.approx(1 / 3, abs=0.04)
    assert found[1]["p"] == pytest.approx(2 / 3, abs=0.04)


def test_numbers_of_a_range_are_taken_in_groups():
    """A rate that decides everything against one that is noise."""
    rates = [10 ** (-4 + i / 10) for i in range(20)]
    other = [(7 * i) % 20 / 20 for i in range(20)]
    results = [
        result(i, i, rate, seeds=1, **{"optim.gen.lr": rate, "optim.gen.eps": noise})
        for i, (rate, noise) in enumerate(zip(rates, other, strict=True))
    ]
    tries = {key: Range("log", 1e-4, 1e-2) for key in ("optim.gen.lr", "optim.gen.eps")}
    found = report.report(plan(tries, design="random", draws=20), results)
    first, second = found["factors"]
    # Four groups of five ranks each: 5 * (7.5^2 + 2.5^2) * 2 of 20 * (400 - 1) / 12 in all.
    assert first["option"] == "optim.gen.lr" and first["share"] == pytest.approx(625 / 665)
    assert first["p"] < 0.01 and second["p"] > 0.05
    levels = [row["value"] for row in found["levels"] if row["option"] == "optim.gen.lr"]
    assert len(levels) == 4 and levels[0] == "0.0001 to 0.000251"


def test_each_value_by_itself_is_held_against_the_base():
    tries = {"optim.gen.lr": Times((0.1, 10.0))}
    numbers = {"optim.gen.lr": 2e-4}
    results = [
        *(result(k, 0, 2.0) for k in (0, 1)),
        *(result(2 + k, 1, 4.0, **{"optim.gen.lr": {"times": 0.1}}) for k in (0, 1)),
        result(4, 2, 1.0, **{"optim.gen.lr": {"times": 10.0}}),
        result(5, 2, None, "not finite", False, **{"optim.gen.lr": {"times": 10.0}}),
    ]
    for each in results[:2]:
        each.values = {}
    found = report.report(plan(tries, design="alone", seeds=2, numbers=numbers), results)
    rows = [(row["option"], row["value"], row["survival"]["count"], row["against"])
            for row in found["levels"]]  # fmt: skip
    assert rows == [
        ("", None, 2, None),
        ("optim.gen.lr", {"times": 0.1}, 2, 2.0),
        ("optim.gen.lr", {"times": 10.0}, 1, 0.5),
    ]
    assert found["best_of"] == [] and found["factors"] == [], "no settings at random"
    text = page.page(found)
    assert "[4, 4], 2 trials | x2 |" in text and "2 of each setting" in text
    assert "| the base |  | 2 of 2" in text and "| optim.gen.lr | x0.1 | 2 of 2" in text


def test_unlike_protocols_are_not_set_side_by_side():
    results = [result(0, 0, 1.0), result(1, 0, 2.0)]
    results[1].protocol = PROTOCOL | {"fake": 50}
    found = report.report(plan(seeds=2), results)
    assert found["refused"] == "fake differs between trials 0 and 1"
    assert found["settings"][0]["score"]["mean"] is None and found["best_of"] == []
    assert "Scores are not compared: fake differs" in page.page(found)


def test_a_report_of_nothing_and_what_a_reason_holds_are_harmless():
    found = report.report(plan(), [])
    assert found["survival"]["share"] is None and "0 of 2 trials" in page.page(found)
    bad = result(0, 0, None, "refused", False)
    bad.reason = "a | b"
    assert "- 1 x a \\| b" in page.page(report.report(plan(), [bad]))
    foreign = page.page(report.report(plan(score="s\x1b[2J|\nd"), [result(0, 0, 1.0)]))
    assert "\x1b" not in foreign and "| s [2J\\| d (smaller is better) |" in foreign


def test_a_trial_is_judged_by_what_it_left(tmp_path):
    """Alike samples do not survive; the last score counts; a damaged file costs the trial alone."""
    trial = planning.Trial(3, 1, 1, {"gen.width": 16})
    done = Outcome(3, "finished")
    scores = [score("swd", images=n, distance=[9.0 / n]) for n in (1000, 2000)]
    scores.append(score("modes", covered=[7.0]))

    def judged(name, scores=scores, outcome=done, asked="swd.distance", **signs):
        line = LINE | {"seconds": 2.5, "spread": 1.0, "variety": 1.0} | signs
        return recording.result_of(
            trial, outcome, made(tmp_path, name, [line], scores), asked, False
        )

    found = judged("a")
    assert found.survived and found.status == "finished" and found.seconds == 2.5
    assert found.measures == [(1000, 0.009), (2000, 0.0045)] and found.score == 0.0045
    assert found.protocol["data"] == "ring" and not found.larger
    assert judged("b", asked="").measured == "swd.distance", "the first"
    assert judged("c", asked="modes.covered").score == 7.0
    assert not judged("d", variety=0.2).survived and not judged("e", spread=0.05).survived
    assert judged("f", scores=[]).score is None
    dead = judged("g", outcome=Outcome(3, "not finite", "a gradient"))
    assert (dead.survived, dead.score, dead.reason) == (False, None, "a gradient")
    (tmp_path / "a" / "scores.jsonl").write_text("{}\n")
    broken = recording.result_of(trial, done, tmp_path / "a", "", False)
    assert broken.status == "failed" and "line 1 is no score" in broken.reason
    gone = recording.result_of(trial, Outcome(3, "refused", "no"), tmp_path / "no", "", False)
    assert gone.status == "refused" and gone.images == 0


def test_results_are_read_as_a_strangers(tmp_path):
    """The last of each trial counts; a line that a crash cut is mended, any other is named."""
    for each in (result(0, 0, 1.0, "failed"), result(1, 0, 2.0), result(0, 0, 3.0)):
        recording.append(tmp_path, each)
    path = tmp_path / recording.FILE
    with path.open("ab") as file:
        file.write(b'{"trial": 2, "set')
    assert [(r.trial, r.score) for r in recording.read(tmp_path)] == [(1, 2.0), (0, 3.0)]
    recording.mend(tmp_path)
    assert path.read_bytes().endswith(b"}\n")
    recording.append(tmp_path, result(2, 1, 5.0))
    assert len(recording.read(tmp_path)) == 3
    line = json.loads(path.read_text().splitlines()[0])
    for wrong in ({**line, "score": "much"}, {**line, "more": 1}, [1], {**line, "trial": -1}):
        path.write_text(json.dumps(wrong) + "\n")
        with pytest.raises(BadFile, match=r"line 1 is no result; delete that line"):
            recording.read(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadFile, match="a link"):
        recording.read(tmp_path)
