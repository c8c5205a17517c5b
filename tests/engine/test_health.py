"""What is said of a training's health: figures and words that
cannot contradict each other, and copies that are found out.
"""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

import ganzoo
from ganzoo.cli import _report
from ganzoo.engine import health
from ganzoo.engine.health import ALIKE, NARROW, variety, verdict
from ganzoo.training.meters import record


@pytest.fixture(scope="module")
def digits():
    """Real images, shuffled."""
    data = ganzoo.create("dataset", "digits")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    return data.batch(order[:1000])[0]


def noisy(images, deviation):
    generator = torch.Generator().manual_seed(1)
    return images + deviation * torch.randn(images.shape, generator=generator)


# Variety.


def test_real_batches_are_as_various_as_each_other(digits):
    found = [
        float(variety(digits[i : i + 64], digits[i + 64 : i + 128])) for i in range(0, 800, 64)
    ]
    assert min(found) > 0.8 and max(found) < 1.25


@pytest.mark.parametrize("modes", [1, 2, 8, 32])
def test_copies_of_a_few_samples_are_nearly_alike(digits, modes):
    """However far the few lie apart; a little noise upon them does not hide it."""
    few = digits[:modes].repeat(64 // modes, 1, 1, 1)
    assert variety(few, digits[64:128]) < 1e-3
    assert variety(noisy(few, 0.05), digits[64:128]) < ALIKE
    if modes > 1:
        spread = noisy(few, 0.05).std(0).mean() / digits.std(0).mean()
        assert spread > 2 * NARROW, "which the spread does not tell"


def test_variety_of_batches_that_have_no_neighbours():
    assert variety(torch.zeros(1, 3), torch.zeros(1, 3)) == 1
    assert variety(torch.rand(2, 3), torch.rand(2, 3)).isfinite()
    assert variety(torch.rand(8, 3), torch.zeros(8, 3)).isfinite(), (
        "real samples that are all alike"
    )
    many = torch.rand(1000, 3)
    assert variety(many, many) == 1


def test_variety_is_as_exact_in_low_precision_and_far_from_zero():
    """Matrix products would cancel here, or be rounded to bf16."""
    base = 100 + torch.rand(64, 32)
    with torch.autocast("cpu", torch.bfloat16):
        found = variety(base[:1] + 1e-3 * torch.rand(64, 32), base)
    assert 0.5e-3 < found < 2e-3


# The verdict.

HEALTHY = {"rank": 0.8, "spread": 0.9, "variety": 0.8}


@pytest.mark.parametrize(
    ("signs", "word"),
    [
        ({}, "balanced"),
        ({"rank": 0.99}, "discriminator far ahead"),
        ({"rank": 0.9801}, "discriminator far ahead"),
        ({"rank": 0.3}, "discriminator misled"),
        ({"spread": 0.05}, "narrow (untrained or collapsed)"),
        ({"variety": 0.05}, "nearly alike"),
        ({"variety": 0.05, "rank": 0.99}, "nearly alike"),
        ({"variety": 0.0, "spread": 0.0}, "narrow (untrained or collapsed)"),
    ],
)
def test_the_verdict_rests_on_the_line_s_own_figures(signs, word):
    line = HEALTHY | signs
    assert verdict(line).partition(": ")[0] == word
    made = record({"discriminator": {"total": 1.0, **line}, "generator": {"total": 1.0}})
    assert made["health"] == verdict(line) and made["variety"] == line["variety"]


def test_a_generator_of_two_images_is_never_called_balanced(digits):
    drawn = noisy(digits[:2].repeat(32, 1, 1, 1), 0.02)
    logits = torch.linspace(0, 1, 64)
    names, values = health.figures((logits + 1, logits, drawn), digits[64:128])
    signs = dict(zip(names, values.tolist(), strict=True))
    assert names == health.FIGURES
    assert signs["spread"] > 0.1 and signs["rank"] == 1
    assert verdict(signs | {"rank": 0.8}).startswith("nearly alike")


def test_one_image_over_and_over_is_narrow(digits):
    one = noisy(digits[:1].repeat(64, 1, 1, 1), 0.02)
    assert health._deviation(one) / health._deviation(digits[64:128]) < NARROW


def test_pictures_at_the_ends_of_their_range_are_counted_against_real_ones():
    """Three values of four at an end, against one of two; points have no ends."""
    data = torch.tensor([0, 255, 100, 100], dtype=torch.uint8).repeat(64, 1).view(64, 1, 2, 2)
    drawn = torch.tensor([-1.0, 0.995, 1.0, 0.9]).repeat(64, 1).view(64, 1, 2, 2)
    logits = torch.zeros(64)
    names, values = health.figures((logits, logits, drawn), data)
    assert names == (*health.FIGURES, health.SATURATED)
    assert values[-1] == pytest.approx(0.25)
    names, _ = health.figures((logits, logits, drawn.flatten(1)), drawn.flatten(1))
    assert names == health.FIGURES


# What a person sees.


def test_the_bar_s_health_is_that_of_its_own_figures(monkeypatch):
    """Up to the last line: the bar once kept the word of the line before beside the new figures."""
    console = Console(file=io.StringIO(), force_terminal=True, width=300)
    monkeypatch.setattr(_report, "CONSOLE", console)
    train = SimpleNamespace(images=1000)
    reporter = _report.Reporter(SimpleNamespace(config=SimpleNamespace(train=train)))
    reporter.fresh = False  # speed, and so health, is told from the second update on
    reporter.start({}, None, 0)
    for images, rank in ((500, 0.8), (1000, 0.99)):
        reporter.tick(images)
        line = HEALTHY | {"rank": rank}
        reporter.log({"images": images, **line, "health": verdict(line)})
        (task,) = reporter.bar.tasks
        assert task.fields["counted"].endswith(verdict(line).partition(": ")[0])
        assert reporter.bar.figures.endswith(verdict(line).partition(": ")[2])
    reporter.finish()
