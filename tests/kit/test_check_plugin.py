"""`ganzoo check-plugin`: a review that says what holds, what does not, and how to fix it."""

import json
import time
from importlib.metadata import entry_points

import pytest
import torch
from parts import sound, wrong_nets, wrong_others
from parts.fakes import entries

from ganzoo.components import loading as plugins
from ganzoo.components.kinds import KINDS
from ganzoo.components.loading import Plugin, Zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.errors import UnknownComponent
from ganzoo.testing import CHECKS, findings
from ganzoo.testing.review import Review, line, subject_of, verdict


def component(kind, factory, name="wrong"):
    return Component(kind, name, factory, "wrong", "tests", "0")


def zoo_of(*components, broken=""):
    return Zoo(
        [Plugin("wrong", "tests", "0", "somewhere", list(components), broken)], Registry(components)
    )


def under(*components):
    review = Review(subject_of(zoo_of(*components), "tests"))
    return review, list(review.run(measure=False))


def test_every_check_of_a_sound_part_is_reported():
    review, found = under(component("discriminator", sound.Judge))
    assert [f.check for f in found] == [name for name in CHECKS["discriminator"] if name != "speed"]
    assert review.holds and {f.outcome for f in found} == {"holds", "noted", "does not apply"}
    outcomes = {f.check: (f.outcome, f.found) for f in found}
    assert outcomes["differentiation"] == (
        "noted",
        "forward over reverse: yes, gradient penalties cost one forward-mode pass",
    )
    assert outcomes["adapts"][0] == "does not apply"
    assert outcomes["captures"] == (
        "does not apply",
        "not asked for: --device cuda" if torch.cuda.is_available() else "no GPU here",
    )
    assert all(f.found for f in found), "each says what it saw"
    assert verdict(review).startswith(f"1 component, {len(found)} checks: ") and verdict(
        review
    ).endswith("0 to fix")


def test_one_fault_leaves_the_other_checks_standing():
    review, found = under(component("generator", wrong_nets.WrongRange))
    bad = [f for f in found if f.outcome == "does not hold"]
    assert not review.holds and [f.check for f in bad] == ["ranges"]
    text = line(bad[0])
    assert "DOES NOT HOLD" in text and "draws values up to" in text and "fix: end in tanh" in text
    assert verdict(review).endswith("1 to fix (generator wrong: ranges)")


def test_what_cannot_be_built_is_not_tried_further():
    _, found = under(component("loss", wrong_others.Learns))
    outcomes = {f.check: f for f in found}
    assert (
        outcomes["builds"].outcome == "does not hold" and outcomes["described"].outcome == "holds"
    )
    assert {f.found for f in found if f.check not in ("described", "builds")} == {
        "it cannot be built"
    }


class Falls:
    """Says nothing, and leaves."""

    def __init__(self):
        raise SystemExit(3)


def test_a_part_cannot_end_its_review():
    _, found = under(component("tracker", Falls), component("tracker", sound.Silent, "zoom"))
    assert [f.outcome for f in found] == [
        "holds",
        "does not hold",
        "does not apply",
        "holds",
        "holds",
        "holds",
    ]
    assert "SystemExit: 3" in found[1].found


class Slow(sound.Good):
    """Draws after a rest.

    latent_dim: numbers in one latent vector
    """

    def forward(self, latents, labels=None):
        time.sleep(0.02)
        return super().forward(latents)


def test_a_budget_is_kept_or_not():
    def speed(budget, against="mlp"):
        return next(
            f
            for f in findings(component("generator", Slow), budget=budget, against=against)
            if f.check == "speed"
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            CHECKS, "generator", {name: CHECKS["generator"][name] for name in ("builds", "speed")}
        )
        over, under_, free = speed(2.0), speed(1e6), speed(None)
    assert (
        over.outcome == "does not hold"
        and "and the budget is 2" in over.found
        and "x the time of mlp" in over.found
    )
    assert (under_.outcome, free.outcome) == ("holds", "noted")


def test_random_numbers_go_on_as_if_nothing_had_been_checked():
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    list(findings(component("augmentation", sound.Mirror), measure=False))
    assert torch.equal(torch.rand(1), wanted)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("ganzoo", len(KINDS)),
        ("losses", 1),
        ("ganzoo:losses", 1),
        ("ganzoo/hinge", 1),
        ("losses/hinge", 1),
        ("ganzoo:losses/hinge", 1),
        ("ganzoo/dcgan", 4),
    ],
)
def test_what_a_name_means(name, kinds):
    subject = subject_of(plugins.inventory(), name)
    assert len({c.kind for c in subject.components}) == kinds and not subject.broken
    assert {(c.distribution, c.plugin) for c in subject.components} <= {
        (p.distribution, p.name) for p in subject.plugins
    }


@pytest.mark.parametrize(
    ("name", "hint"),
    [("loses", "'losses'"), ("hinge", "'ganzoo/hinge'"), ("ganzoo/hing", "'ganzoo/hinge'")],
)
def test_an_unknown_name_says_which_is_near(name, hint):
    with pytest.raises(UnknownComponent, match=f"did you mean {hint}"):
        subject_of(plugins.inventory(), name)


# The command.


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Distributions in a folder, as if they were installed: name -> code of their one module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(**codes):
        found = list(entry_points(group=plugins.GROUP))
        for name, code in codes.items():
            (tmp_path / f"reviewed_{name}.py").write_text(code)
            found += entries(tmp_path, f"ganzoo-{name}", {name: f"reviewed_{name}"})
        loaded = plugins.load(found)
        monkeypatch.setattr("ganzoo.components.loading.inventory", lambda: loaded)

    return install


LOSS = '''
from ganzoo import hookimpl
from ganzoo.contracts import Loss

class Odd(Loss):
    """Likes the fake ones."""
    def discriminator(self, step): return (step.real_logits - step.fake_logits).mean()
    def generator(self, step): return -step.fake_logits.mean()

@hookimpl
def register_losses(register): register("odd", Odd)
'''


def test_the_report_reads_like_a_review_and_fails(installed, cli):
    installed(odd=LOSS)
    done = cli("check-plugin", "ganzoo-odd", "--device", "cpu")
    assert done.code == 1 and done.err == ""
    lines = done.out.splitlines()
    assert (
        lines[0] == "plugin ganzoo-odd:odd 1.0: loads, 1 component"
        and "loss 'odd' of ganzoo-odd:odd" in lines
    )
    at = next(i for i, text in enumerate(lines) if "DOES NOT HOLD" in text)
    assert "direction" in lines[at] and "does not want real logits above fake ones" in lines[at]
    assert lines[at + 1].strip() == "fix: larger logits mean more real; check the signs"
    assert lines[-1].endswith("1 to fix (loss odd: direction)")

    done = cli("check-plugin", "odd/odd", "--device", "cpu", "--json")
    report = json.loads(done.out)
    assert done.code == 1 and report["holds"] is False
    checks = {c["check"]: c for c in report["components"][0]["checks"]}
    assert checks["direction"]["outcome"] == "does not hold" and checks["direction"]["fix"]
    assert checks["speed"]["outcome"] == "noted" and "x the time of" in checks["speed"]["found"]


def test_a_plugin_that_does_not_load_is_to_mend(installed, cli):
    installed(gone="raise OSError('no library')")
    done = cli("check-plugin", "ganzoo-gone")
    assert (
        done.code == 1
        and "plugin ganzoo-gone:gone 1.0: does not load: OSError: no library" in done.out
    )
    assert done.out.splitlines()[-1].endswith("1 to fix (ganzoo-gone:gone does not load)")
    assert (
        json.loads(cli("check-plugin", "gone", "--json").out)["plugins"][0]["broken"]
        == "OSError: no library"
    )


def test_names_with_control_characters_are_shown_plainly(cli):
    done = cli("check-plugin", "odd\x1b[2J")
    assert done.code == 2 and done.err.count("\n") == 1 and "\x1b" not in done.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_gpu_that_is_not_there_is_said(cli):
    done = cli("check-plugin", "ganzoo/hinge", "--device", "cuda")
    assert done.code == 2 and "--device cuda: torch sees no CUDA device" in done.err


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "name", ["losses", "penalties", "stabilizers", "dcgan", "vanilla", "optimizers"]
)
def test_built_ins_pass_on_a_gpu(name, cli):
    done = cli("check-plugin", name, "--device", "cuda")
    assert done.code == 0, done.out
