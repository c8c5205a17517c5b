"""The checks of ganzoo.testing find what is wrong: each
part below breaks one promise, and the check says which.
"""

import re

import pytest
from parts import wrong_games, wrong_nets, wrong_others  # noqa: F401  (they fill the list)
from parts.fakes import entries
from parts.sound import SOUND, Drift, Good, Silent
from parts.wrong import WRONG
from torch import nn

from ganzoo.components import loading as plugins
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Discriminator, Loss
from ganzoo.testing import CHECKS, check, findings

PARTS = ("conditional", "auxiliary", "path_length", "adaptive", "packing", "consistency", "signals")


def third_party(folder):
    """The components of tests/parts, loaded as a distribution's."""
    installed = plugins.entry_points(group=plugins.GROUP)
    return plugins.load(
        [*installed, *entries(folder, "ganzoo-parts", {name: f"parts.{name}" for name in PARTS})]
    ).registry


def test_third_party_is_whole(tmp_path):
    mine = [c for c in third_party(tmp_path).components() if c.distribution == "ganzoo-parts"]
    assert len(mine) == 17 and {c.plugin for c in mine} == set(PARTS)


@pytest.mark.parametrize("plugin", PARTS)
def test_parts_of_a_third_party_pass(plugin, tmp_path):
    registry = third_party(tmp_path)
    for component in [c for c in registry.components() if c.plugin == plugin]:
        needs_registry = component.kind in ("regularizer", "recipe")
        check(component, **({"registry": registry} if needs_registry else {}))


def component(kind, factory):
    return Component(kind, "wrong", factory, "wrong", "tests", "0")


@pytest.mark.parametrize(
    ("kind", "factory"), SOUND, ids=lambda value: getattr(value, "__name__", value)
)
def test_sound_parts_pass(kind, factory):
    check(component(kind, factory))


def test_a_summary_of_two_sentences_is_named():
    one = Component(
        "tracker", "wrong", Silent, "wrong", "tests", "0", {"summary": "It hears. It also speaks"}
    )
    with pytest.raises(AssertionError, match="more than one sentence"):
        check(one)


def test_check_raises_what_the_first_failing_check_finds():
    wrong = component("tracker", WRONG[-1].values[1])
    bad = [f for f in findings(wrong) if f.outcome == "does not hold"]
    with pytest.raises(AssertionError, match=f"^{re.escape(str(bad[0]))}$"):
        check(wrong)


def test_every_check_is_failed_by_a_part_made_for_it():
    failed = {(part.values[0], part.values[2]) for part in WRONG}
    untried = {name for checks in CHECKS.values() for name in checks} - {name for _, name in failed}
    assert untried == {"differentiation", "resolution", "assembles", "captures", "speed"}, (
        "found elsewhere: speed, recipes; on a GPU: captures"
    )


@pytest.mark.parametrize(("kind", "factory", "name", "message"), WRONG)
def test_a_broken_promise_is_named(kind, factory, name, message):
    found = []
    for finding in findings(component(kind, factory), measure=False):  # until the first that fails
        found.append(finding)
        if finding.outcome == "does not hold":
            break
    text = str(found[-1])
    assert (found[-1].check, found[-1].outcome) == (name, "does not hold") and re.search(
        message, text
    ), text
    assert text.startswith(f"{kind} 'wrong' of tests:wrong: ") and "; " in text and "\n" not in text


class Boom(Good):
    """Fails to draw.

    latent_dim: numbers in one latent vector
    """

    def forward(self, latents, labels=None):
        raise ValueError("boom")


class Short(Good):
    """Draws too little.

    latent_dim: numbers in one latent vector
    """

    def forward(self, latents, labels=None):
        return super().forward(latents)[..., 1:]


@pytest.mark.parametrize("factory", [Boom, Short])
def test_one_cause_is_told_once(factory):
    found = {f.check: f for f in findings(component("generator", factory), measure=False)}
    bad = [name for name, f in found.items() if f.outcome == "does not hold"]
    assert bad == ["shapes"], {name: found[name].found for name in bad}
    depending = [f for f in found.values() if f.found == "depends on shapes, which does not hold"]
    assert len(depending) > 3 and {f.outcome for f in depending} == {"does not apply"}


class Asks(Loss):
    """Trains a head for classes too."""

    needs = {"discriminator": "sorting"}  # noqa: RUF012

    def discriminator(self, step):
        head = step.discriminator.sorting(step.fake_features).square().mean()
        return (step.fake_logits - step.real_logits).mean() + head

    def generator(self, step):
        return -step.fake_logits.mean()


class OnPoints(Discriminator):
    """Judges points alone, by a head that few have."""

    modalities = ("points",)
    heads = ("sorting",)

    def __init__(self, spec):
        super().__init__(spec)
        self.inner, self.judge = nn.Linear(spec.numel, 8), nn.Linear(8, 1)
        self.sorting = nn.Linear(8, 3)

    def features(self, samples):
        return self.inner(samples.flatten(1)).tanh()

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class Heads(Drift):
    """Keeps that head near zero."""

    needs = {"discriminator": ("per_sample", "sorting")}  # noqa: RUF012

    def penalty(self, step):
        return step.discriminator.sorting(step.real_features).square().mean()


@pytest.mark.parametrize(("kind", "factory"), [("loss", Asks), ("regularizer", Heads)])
def test_what_a_part_needs_is_looked_for_among_what_takes_the_samples(kind, factory):
    head = Component("discriminator", "on-points", OnPoints, "wrong", "tests", "0")
    own = [*plugins.zoo().registry.components(), head]
    check(component(kind, factory), registry=Registry(own))
    with pytest.raises(AssertionError, match=r"with the trait .*'sorting', and none is installed"):
        check(component(kind, factory))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("summary =", "cannot be read"),
        ('summary = "A recipe"', "names no source"),
        (
            'summary = "A recipe"\nsource = "here"\n[gen]\nname = "dcgna"',
            "no generator named 'dcgna'; did you mean 'dcgan'",
        ),
        (
            'summary = "A recipe"\nsource = "here"\n[gen]\nname = "mlp"\nwidht = 3',
            "no option 'widht'; did you mean 'width'",
        ),
        (
            'summary = "A recipe"\nsource = "here"\n[loss]\nname = "wgan"\n[reg.smooth]',
            "trait 'labels'",
        ),
        (
            'summary = "A rung"\nsource = "here"\n'
            '[rung]\nname = "a"\nstep = "up"\nfigure = "swd.f"',
            "rung.step",
        ),
        (
            'summary = "A rung"\nsource = "here"\n[rung]\nname = "a"\nstep = 9\nfigure = "swd.f"',
            "its rung's figure is of no metric of it: swd",
        ),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path, text, message):
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(component("recipe", tmp_path / "wrong.toml"))
