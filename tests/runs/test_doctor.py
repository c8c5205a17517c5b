"""The doctor: each rule fires on what it is meant for and not just short of it; trainings that were
made sick are named, and healthy ones are left alone.
"""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from run_folders import LINE, made

import ganzoo
from benchmarks import doctor as proof
from ganzoo.components.loading import zoo
from ganzoo.contracts import Augmentation, Dataset, Spec
from ganzoo.doctor import balance, data, growth, judged, outputs, samples
from ganzoo.doctor import rules as all_rules
from ganzoo.doctor.case import Case, calm, lasting, open_case, quarters
from ganzoo.doctor.finding import Rule
from ganzoo.errors import BadFile, GanzooError
from ganzoo.training.meters import NotFinite

COUNT = 20  # lines of a log that is made up
WELL = {
    "rank": 0.7,
    "spread": 0.9,
    "variety": 0.9,
    "saturated": 0.0,
    "D(real)": 1.0,
    "D(fake)": -1.0,
    "discriminator": {"adversarial": 1.0, "total": 1.0, "gradient": 1.0, "weights": 5.0},
    "generator": {"adversarial": 1.0, "total": 1.0, "gradient": 1.0, "weights": 5.0},
}


def case(folder, events=(), settings=None, **columns):
    """A run whose log has some figures changed: each by a function of the line's number. That of
    one side is named `generator_gradient`.
    """
    lines = []
    for i in range(COUNT):
        line = json.loads(json.dumps(WELL)) | {"images": 100 * (i + 1), "health": "balanced: x"}
        for name, value in columns.items():
            side, _, figure = name.partition("_")
            place = line[side] if figure else line
            place[figure or name] = value(i)
        lines.append(line)
    rates = {"optim": {"gen": {"lr": 0.002}, "disc": {"lr": 0.002}}}  # as a training writes them
    run = made(folder, "run", [*lines, *events], **{**rates, **(settings or {})})
    return open_case(run, zoo().registry)


def rules(found):
    return [finding.rule for finding in all_rules.of_log(found)]


def from_line(start, sick, well):
    return lambda i: sick if i >= start else well


def test_a_healthy_log_has_no_finding(tmp_path):
    assert rules(case(tmp_path)) == []


SIGNS = {  # rule -> a figure, its sick value, and one just short of it
    "mode collapse": ("spread", 0.09, 0.11),
    "discriminator too strong": ("rank", 0.985, 0.975),
    "rate too high": ("spread", 3.1, 2.9),
    "saturated outputs": ("saturated", 0.11, 0.09),
}


@pytest.mark.parametrize("rule", SIGNS)
def test_a_sign_counts_that_lasts_to_the_end(rule, tmp_path):
    figure, sick, short = SIGNS[rule]
    well = WELL[figure]

    def found(name, value):
        return all_rules.of_log(case(tmp_path / name, **{figure: value}))

    (finding,) = found("sick", from_line(12, sick, well))
    assert (finding.rule, finding.since) == (rule, 1300)
    assert finding.evidence and finding.source and finding.origin and finding.change
    assert found("short", from_line(12, short, well)) == []
    assert found("late", from_line(COUNT - 4, sick, well)) == [], "a fifth of the log"
    assert found("over", lambda i: well if i == COUNT - 1 else sick) == [], "it is over"


def test_a_discriminator_is_too_weak_that_is_misled_for_half_of_the_log(tmp_path):
    def found(name, start, value):
        return all_rules.of_log(case(tmp_path / name, rank=from_line(start, value, 0.6)))

    (finding,) = found("half", COUNT // 2, 0.44)
    assert (finding.rule, finding.since) == ("discriminator too weak", 1100)
    assert found("less", COUNT // 2 + 1, 0.1) == []
    assert found("chance", 0, 0.46) == []


def test_few_heaps_are_a_collapse_too(tmp_path):
    assert rules(case(tmp_path, variety=from_line(10, 0.29, 0.9))) == ["mode collapse"]


def test_logits_run_away_when_they_are_large_and_grow(tmp_path):
    growing = {"D(real)": lambda i: 2.0**i}
    (finding,) = all_rules.of_log(case(tmp_path / "a", **growing))
    assert finding.rule == "logits run away" and finding.since == 600, "2 ** 5 is above 17"
    large = {"D(real)": lambda i: 500.0}
    assert rules(case(tmp_path / "b", **large)) == [], "large from the start"
    huge = {"D(real)": lambda i: 2e4}
    assert rules(case(tmp_path / "d", **huge)) == ["logits run away"]
    small = {"D(real)": lambda i: 0.5 * i}
    assert rules(case(tmp_path / "c", **small)) == [], "growing, and small"


def test_a_gradient_that_grows_or_goes_is_named(tmp_path):
    up = {"generator_gradient": lambda i: 1.3**i}
    assert rules(case(tmp_path / "a", **up)) == ["generator gradient explodes"]
    assert rules(case(tmp_path / "b", generator_gradient=lambda i: 1.05**i)) == []
    down = {"generator_gradient": lambda i: 0.8**i}
    assert rules(case(tmp_path / "c", **down)) == [], "nothing is wrong with the other"
    right = case(tmp_path / "d", rank=lambda i: 0.99, **down)
    assert rules(right) == ["discriminator too strong", "generator gradient vanishes"]


def test_weights_run_away_that_do_not_stop(tmp_path):
    grown = {"discriminator_weights": lambda i: 5.0 + 2 * i}
    assert rules(case(tmp_path / "a", **grown)) == ["weights run away"]
    settled = {"discriminator_weights": lambda i: min(5.0 + 4 * i, 30.0)}
    assert rules(case(tmp_path / "b", **settled)) == []
    threefold = {"discriminator_weights": lambda i: 5.0 + 10.5 * i / COUNT}
    assert rules(case(tmp_path / "c", **threefold)) == []


def test_a_loss_that_jumps_is_a_rate_too_high(tmp_path):
    jump = {"discriminator_adversarial": lambda i: 11.0 if i == 15 else 1.0}
    (finding,) = all_rules.of_log(case(tmp_path / "a", **jump))
    assert (finding.rule, finding.since) == ("rate too high", 1600)
    assert finding.change == {"optim.gen.lr": 0.0002, "optim.disc.lr": 0.0002}
    small = {"discriminator_adversarial": lambda i: 0.9 if i == 15 else 0.01}
    assert rules(case(tmp_path / "b", **small)) == [], "a loss that is small all the time"


def test_who_leads_by_turns_oscillates(tmp_path):
    swings = case(tmp_path / "a", rank=lambda i: 0.6 + 0.2 * (i % 2))
    assert rules(swings) == ["oscillation"]
    assert rules(case(tmp_path / "b", rank=lambda i: 0.6 + 0.09 * (i % 2))) == []


def held(weight, **more):
    return {"reg": {"r1": {"weight": weight, **more}}}


def test_gamma_is_judged_by_its_share_of_the_loss(tmp_path):
    """A penalty of 0.2 times a weight of 10 is two thirds of it and a loss of 1."""
    slope = {"discriminator_r1": lambda i: 0.2}
    (high,) = all_rules.of_log(case(tmp_path / "a", settings=held(10.0), **slope))
    assert high.rule == "gamma too high" and "67%" in high.evidence
    assert high.change == {"reg.r1.weight": 1.0}
    assert rules(case(tmp_path / "b", settings=held(4.0), **slope)) == [], "44 %"
    flat = {"D(real)": lambda i: 0.01, "D(fake)": lambda i: 0.0, "rank": lambda i: 0.95}
    assert rules(case(tmp_path / "c", settings=held(0.1), **flat)) == ["gamma too high"]
    assert rules(case(tmp_path / "d", **flat)) == [], "no penalty that could be the reason"
    to_one = case(
        tmp_path / "f", settings={"reg": {"gp": {"weight": 10.0}}}, discriminator_gp=lambda i: 0.2
    )
    assert rules(to_one) == [], "it draws the slope to one, which leaves some"
    grown = {"discriminator_r1": lambda i: 1.5**i / 100, "rank": lambda i: 0.96}
    (low,) = all_rules.of_log(case(tmp_path / "e", settings=held(1e-4), **grown))
    assert low.rule == "gamma too low" and low.change == {"reg.r1.weight": pytest.approx(0.01)}


def test_a_gamma_that_moves_is_taken_as_it_is_now(tmp_path):
    moving = {"from": 100.0, "to": 1.0}
    found = case(tmp_path, settings=held(moving), discriminator_r1=lambda i: 0.5)
    assert found.number("reg.r1.weight") == pytest.approx(1.0)
    assert rules(found) == []


def test_what_is_not_finite_is_named_with_its_part(tmp_path):
    event = {"images": 900, "event": "not finite", "reason": "the generator's loss term 'total'"}
    (finding,) = all_rules.of_log(case(tmp_path, events=[event]))
    assert (finding.rule, finding.since) == ("not finite", 900)
    assert finding.evidence == event["reason"]


RING = {"data": {"name": "ring"}, "gen": {"name": "mlp", "width": 16, "depth": 2},
        "disc": {"width": 16, "depth": 2}}  # fmt: skip


def test_a_training_that_is_not_finite_says_so_in_its_log(tmp_path):
    settings = {"optim": {"gen": {"lr": 1e30}, "disc": {"lr": 1e30}}}
    small = {"train": {"images": 640, "batch_size": 64}, "log": {"images": 64}}
    with pytest.raises(NotFinite):
        ganzoo.train({**RING, **settings, **small, "reg": False}, tmp_path / "run")
    found = all_rules.of_log(open_case(tmp_path / "run", zoo().registry))
    assert found[0].rule == "not finite" and "is not finite after" in found[0].evidence


AVERAGES = [(1000, 0, 0.25), (500, 0, None), (10**7, 0.05, None), (0, 0, None)]


@pytest.mark.parametrize(("half_life", "ramp", "share"), AVERAGES)
def test_an_average_of_the_start_is_found_by_its_half_life(half_life, ramp, share, tmp_path):
    """After 2,000 images a half-life of 1,000 leaves a quarter, one of 500 a sixteenth."""
    found = all_rules.of_log(
        case(tmp_path, settings={"average": {"half_life": half_life, "ramp": ramp}})
    )
    assert [finding.rule for finding in found] == (["stale average"] if share else [])
    if share:
        assert found[0].evidence.startswith(f"{share:.0%} of the averaged generator")
        assert found[0].change == {"average.ramp": 0.05}


def test_a_penalty_is_the_remedy_where_there_is_none(tmp_path):
    sick = {"rank": lambda i: 0.99}
    (bare,) = all_rules.of_log(case(tmp_path / "a", **sick))
    assert bare.change == {"reg.r1": True}
    held = {"reg": {"gp": {}}}
    (slowed,) = all_rules.of_log(case(tmp_path / "b", settings=held, **sick))
    assert slowed.change == {"optim.disc.lr": 0.001}
    moving = {"reg": {"gp": {}}, "optim": {"disc": {"lr": {"from": 0.002, "to": 0.0}}}}
    (slowed,) = all_rules.of_log(case(tmp_path / "c", settings=moving, **sick))
    assert slowed.change == {"optim.disc.lr.from": 0.001}


def test_the_remedy_is_a_command_that_runs(tmp_path, cli, ran):
    sick = {"rank": lambda i: 0.99}
    case(tmp_path, settings={"disc": {"name": "dcgan"}}, **sick)
    run = tmp_path / "run"
    about = json.loads(ran("doctor", run, "--log-only", "--json"))
    (finding,) = about["findings"]
    words = finding["command"].split()
    assert words[:3] == ["ganzoo", "train", "--config"] and words[-2:] == ["--reg", "r1"]
    done = cli(*words[1:], "--dry-run")
    assert done.code == 0 and "[reg.r1]" in done.out, done.err
    text = ran("doctor", run, "--log-only")
    assert "discriminator too strong" in text and "since  100 images" in text
    case(tmp_path / "well")
    said = f"nothing found by {len(all_rules.LOG)} rules"
    assert said in ran("doctor", tmp_path / "well" / "run", "--log-only")


def test_a_run_without_a_checkpoint_is_judged_by_its_log(tmp_path, cli):
    case(tmp_path, rank=lambda i: 0.99)
    done = cli("doctor", tmp_path / "run")
    assert done.code == 0 and "discriminator too strong" in done.out
    assert done.err.startswith("note: only the log was looked at: ") and done.err.count("\n") == 1


def test_the_way_out_of_a_resume_is_none_of_the_doctor(tmp_path, cli, monkeypatch):
    def look(*given):
        raise GanzooError("no checkpoint is left", remedy="begin", change={"from_scratch": True})

    case(tmp_path, rank=lambda i: 0.99)
    monkeypatch.setattr("ganzoo.doctor.seen.look", look)
    done = cli("doctor", tmp_path / "run")
    assert done.err == "note: only the log was looked at: no checkpoint is left\n"


def test_what_cannot_be_judged_is_one_line(tmp_path, cli):
    short = made(tmp_path, "short", [LINE])
    done = cli("doctor", short)
    assert done.code == 1 and "its log has 1 lines" in done.err and "log.images" in done.err
    assert cli("doctor", tmp_path).err.count("\n") == 1
    broken = made(tmp_path, "broken", [LINE] * 8)
    (broken / "log.jsonl").write_text("{}\nrubbish\n{}\n")
    with pytest.raises(BadFile, match="line 2 is damaged"):
        open_case(broken, zoo().registry)
    with pytest.raises(GanzooError, match="no run there"):
        open_case(tmp_path / "nowhere", zoo().registry)


def test_signs_that_a_line_lacks_are_no_signs():
    assert lasting([False, True, True, True, True]) == 1
    assert lasting([True] * 3) is None and lasting([]) is None
    assert lasting([False, True, True, False, True, True]) == 1, "one line without is noise"
    assert lasting([True, True, False, False, True, True]) is None, "two are not"
    assert lasting([True, True, True, True, False]) is None, "it is over"
    assert lasting([False, True, False, True, True]) == 1
    assert calm([1.0, 9.0, 2.0, 3.0]) == [5.0, 2.0, 3.0, 2.5]
    assert quarters([math.nan] * 9) == []
    empty = Case({}, 0, 1, [{"images": 100.0}] * 8, [])
    assert all_rules.of_log(empty) == []


# Rules about samples and data, on tensors that are made up.


def seen(real, drawn, *, labels=None, classes=0, **more):
    dataset = Dataset(real, labels, [str(i) for i in range(classes)])
    fixed = {
        "case": Case({}, 0, 1, [], []),
        "images": 1000,
        "dataset": dataset,
        "plain": True,
        "alone": True,
        "classes": classes,
        "count": len(drawn),
        "real": dataset.batch(torch.arange(len(real))),
        "drawn": drawn,
    }
    return SimpleNamespace(**{**fixed, **more})


def stream(seed):
    return torch.Generator().manual_seed(seed)


def test_modes_that_nothing_is_drawn_in_are_missing():
    centres = torch.tensor([[0.0, 0.0], [0.0, 5.0], [5.0, 0.0], [5.0, 5.0]])
    noise = torch.randn(2, 1000, 2, generator=stream(0)) / 10
    real = centres[torch.arange(1000) % 4] + noise[0]
    rule = samples.MissingModes()
    all_of_them = centres[torch.arange(1000) % 4] + noise[1]
    assert rule.sign(seen(real, all_of_them)) is None
    two = centres[torch.arange(1000) % 2] + noise[1]
    assert rule.sign(seen(real, two)).evidence.startswith("5")
    assert rule.sign(seen(real, two, plain=False)) is None


def test_a_class_that_is_alike_is_found_and_a_whole_collapse_is_not_its_matter():
    pictures = torch.rand(400, 1, 8, 8, generator=stream(1))
    labels = torch.arange(400) % 4
    rule = samples.ClassCollapse()
    drawn = torch.rand(400, 1, 8, 8, generator=stream(2))
    assert rule.sign(seen(pictures, drawn, labels=labels, classes=4)) is None
    drawn[labels == 2] = drawn[2].clone()
    sign = rule.sign(seen(pictures, drawn, labels=labels, classes=4))
    assert sign.evidence.startswith("1 of 4 classes; samples of '2' lie 0% as far")
    drawn[:] = drawn[2].clone()
    assert rule.sign(seen(pictures, drawn, labels=labels, classes=4)) is None


def test_a_label_is_ignored_where_neighbours_have_others():
    labels = torch.arange(400) % 4
    real = labels[:, None] + torch.randn(400, 2, generator=stream(3)) / 10
    drawn = labels[:, None] + torch.randn(400, 2, generator=stream(4)) / 10
    rule = samples.LabelIgnored()
    assert rule.sign(seen(real, drawn, labels=labels, classes=4)) is None
    mixed = drawn[torch.randperm(400, generator=stream(5))]
    assert "by chance 25%" in rule.sign(seen(real, mixed, labels=labels, classes=4)).evidence
    told_nothing = torch.randn(400, 2, generator=stream(6))
    assert rule.sign(seen(told_nothing, mixed, labels=labels, classes=4)) is None


def test_every_second_pixel_is_a_checkerboard():
    smooth = torch.rand(50, 1, 4, 4, generator=stream(7))
    smooth = torch.nn.functional.interpolate(smooth, size=16, mode="bilinear")
    board = torch.ones(16).index_fill(0, torch.arange(0, 16, 2), -1.0)
    rule = samples.Checkerboard()
    assert rule.sign(seen(smooth, smooth)) is None
    assert rule.sign(seen(smooth, smooth + 0.1 * board)) is not None
    assert rule.sign(seen(smooth, torch.randn(50, 1, 16, 16, generator=stream(8)))) is None
    odd = smooth[..., :15]
    assert rule.sign(seen(odd, odd + 0.1 * board[:15])) is not None


class Upside(Augmentation):
    """Turns pictures on their heads, always."""

    def forward(self, samples):
        return samples.flip(2)


def test_an_augmentation_leaks_that_is_drawn():
    real = torch.rand(400, 1, 8, 8, generator=stream(9))
    real[:, :, :4] = 0
    parts = SimpleNamespace(augmentations={"upside": Upside(Spec((1, 8, 8)))})
    more = {"pipeline": SimpleNamespace(parts=parts)}
    rule = samples.LeakingAugmentation()
    assert rule.sign(seen(real, real.clone(), **more)) is None
    assert rule.sign(seen(real, real.flip(2), **more)) is not None
    assert rule.change(seen(real, real, **more)) == {"aug.upside": False}


def test_overfit_is_the_way_from_real_to_generated_logits():
    """Logits are the first pixel: held-out samples three quarters of the way down to 0."""
    real = torch.ones(100, 1, 4, 4)
    more = {"logits": lambda samples, labels: samples[:, 0, 0, 0]}
    rule = judged.Overfit()
    for level, found in ((0.25, True), (0.75, False)):
        held_out = (level * real, None)
        sign = rule.sign(seen(real, 0 * real, held=held_out, **more))
        assert (sign is not None) == found
    assert rule.sign(seen(real, 0 * real, held=None, **more)) is None


def test_metrics_that_tell_an_ailment_are_found_by_their_signs():
    found = judged.metrics(zoo().registry, "memorising", "image")
    assert ("memorised", "memorised") in found
    assert judged.metrics(zoo().registry, "another", "image") == []


def test_faults_of_the_data_are_counted():
    pictures = torch.randint(0, 256, (100, 3, 8, 8), generator=stream(10), dtype=torch.uint8)
    looked = seen(pictures, pictures[:1], count=2000)
    for rule in (data.Duplicates(), data.Constant(), data.Channels()):
        assert rule.sign(looked) is None
    twice = torch.cat([pictures, pictures[:6]])
    assert "6 of 106" in data.Duplicates().sign(seen(twice, twice, count=2000)).evidence
    black = pictures.clone()
    black[:5] = 7
    assert "5 of 100" in data.Constant().sign(seen(black, black, count=2000)).evidence
    grey = pictures[:, :1].repeat(1, 3, 1, 1)
    looked = seen(grey, grey, count=2000)
    assert (
        data.Channels().sign(looked).evidence
        == "channel 1 equals channel 0; channel 2 equals channel 0"
    )
    assert data.Channels().change(looked) == {"data.channels": 1}
    opaque = torch.cat([pictures, torch.full((100, 1, 8, 8), 255, dtype=torch.uint8)], 1)
    assert data.Channels().change(seen(opaque, opaque, count=2000)) == {"data.channels": 3}


def test_every_rule_says_why_and_where_its_limit_is_from():
    asked = (*all_rules.LOG, *all_rules.SEEN)
    assert len({rule.name for rule in asked}) == len(asked)
    modules = (balance, growth, outputs, samples, judged, data)
    defined = {
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Rule) and each is not Rule
    }
    assert defined == {type(rule) for rule in asked}, "all are in the table"
    for rule in asked:
        assert rule.reason and rule.source and rule.origin and type(rule).__doc__, rule.name


# Trainings.


def test_a_training_tells_an_ailment_once_while_it_goes_on(tmp_path, cli, ran):
    settings = ["gen.width=16", "gen.depth=2", "disc.width=16", "disc.depth=2", "log.images=64"]
    words = [word for setting in settings for word in ("--set", setting)]
    stale = ["--set", "average.half_life=10M", "--set", "average.ramp=0"]
    given = ["--data", "ring", "--gen", "mlp", "--images", "2560", "--batch-size", "64"]
    done = cli("train", *given, *words, *stale, "--reg", "none", "--out", tmp_path, "--seed", "1")
    assert done.code == 0, done.err
    told = [line for line in done.err.splitlines() if line.startswith("doctor: ")]
    assert sum("stale average" in line for line in told) == 1, done.err
    assert "of the averaged generator" in told[0]
    (run,) = tmp_path.iterdir()
    whole = json.loads(ran("doctor", run, "--json"))
    assert whole["rules"] == len(all_rules.LOG) + len(all_rules.SEEN) and not whole["note"]
    assert "stale average" in [finding["rule"] for finding in whole["findings"]]


@pytest.mark.slow
def test_sick_trainings_are_named_and_healthy_ones_left_alone(tmp_path):
    """A subset of what the table in docs/doctor.md has, which takes minutes; with its seeds."""
    sick = ("discriminator too weak", "gamma too high", "checkerboard", "duplicates in the data")
    healthy = ("the data's recipe", "no labels")
    table = proof.confusion(tmp_path, [proof.PROOF[0]], {*sick, *healthy})
    for (kind, name), found in table.items():
        assert found.get(kind if kind in sick else "nothing", 0) == 1, (kind, name, found)
