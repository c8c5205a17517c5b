"""Every loss against its formula, in double precision and plain Python arithmetic."""

import math
import random
from types import SimpleNamespace

import pytest
import torch

from ganzoo.components.loading import zoo
from ganzoo.errors import Incompatible

REAL = [-3.0, -0.5, 0.0, 0.7, 1.0, 4.0]
FAKE = [2.5, -1.0, 0.3, -4.0, 1.0, -0.2]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def cross_entropy(real, fake):
    return -mean(math.log(sigmoid(r)) for r in real) - mean(math.log(1 - sigmoid(f)) for f in fake)


def paired(high, low):
    return -mean(math.log(sigmoid(h - x)) for h, x in zip(high, low, strict=True))


def average(high, low, one, other):
    """A relativistic average loss, from its terms for a sample that is to be above and below."""
    up, down = mean(high), mean(low)
    return mean(one(h - down) for h in high) + mean(other(x - up) for x in low)


def both(one, other):
    """The loss of the discriminator, and of the generator with the sides exchanged."""
    return (
        lambda r, f: average(r, f, one, other),
        lambda r, f: average(f, r, one, other),
    )


FORMULAS = {
    "minimax": (cross_entropy, lambda r, f: mean(math.log(1 - sigmoid(x)) for x in f)),
    "nonsat": (cross_entropy, lambda r, f: -mean(math.log(sigmoid(x)) for x in f)),
    "lsgan": (
        lambda r, f: (mean((x - 1) ** 2 for x in r) + mean(x**2 for x in f)) / 2,
        lambda r, f: mean((x - 1) ** 2 for x in f) / 2,
    ),
    "wgan": (lambda r, f: mean(f) - mean(r), lambda r, f: -mean(f)),
    "hinge": (
        lambda r, f: mean(max(0, 1 - x) for x in r) + mean(max(0, 1 + x) for x in f),
        lambda r, f: -mean(f),
    ),
    "rpgan": (lambda r, f: paired(r, f), lambda r, f: paired(f, r)),
    "ragan": both(lambda d: -math.log(sigmoid(d)), lambda d: -math.log(1 - sigmoid(d))),
    "rahinge": both(lambda d: max(0, 1 - d), lambda d: max(0, 1 + d)),
    "rals": both(lambda d: (d - 1) ** 2, lambda d: (d + 1) ** 2),
    "ebgan": (  # energies are minus the logits
        lambda r, f: mean(-x for x in r) + mean(max(0, 1 + x) for x in f),
        lambda r, f: mean(-x for x in f),
    ),
    "began": (lambda r, f: mean(-x for x in r), lambda r, f: mean(-x for x in f)),  # k is 0
}


def logits(real, fake):
    """As much of a step as a loss reads."""
    tensor = [
        torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in (real, fake)
    ]
    return SimpleNamespace(real_logits=tensor[0], fake_logits=tensor[1])


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("side", [0, 1], ids=["discriminator", "generator"])
def test_value(name, side):
    loss = zoo().registry.create("loss", name)
    found = (loss.discriminator, loss.generator)[side](logits(REAL, FAKE))
    assert found.shape == ()
    assert found.item() == pytest.approx(FORMULAS[name][side](REAL, FAKE), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("side", [0, 1], ids=["discriminator", "generator"])
def test_slope_in_the_logits(name, side):
    """Central differences of the formula, away from the hinge's corners."""
    real, fake = [-3.0, -0.5, 0.2], [2.5, -1.2, 0.3]
    step, width = logits(real, fake), 1e-5
    loss = zoo().registry.create("loss", name)
    (loss.discriminator, loss.generator)[side](step).backward()
    for tensor, values in ((step.real_logits, real), (step.fake_logits, fake)):
        for i in range(3):
            value = values[i]
            values[i] = value + width
            above = FORMULAS[name][side](real, fake)
            values[i] = value - width
            below = FORMULAS[name][side](real, fake)
            values[i] = value
            found = 0.0 if tensor.grad is None else tensor.grad[i].item()
            assert found == pytest.approx((above - below) / (2 * width), abs=1e-8)


@pytest.mark.parametrize("name", ["minimax", "nonsat", "rpgan", "ragan"])
def test_logits_of_thousands_stay_finite(name):
    step = SimpleNamespace(
        real_logits=torch.tensor([-1e4, 1e4]), fake_logits=torch.tensor([1e4, -1e4])
    )
    loss = zoo().registry.create("loss", name)
    assert loss.discriminator(step).isfinite() and loss.generator(step).isfinite()


def test_losses_with_targets_say_so():
    components = zoo().registry.components("loss")
    mine = {c.name: c.load().labels for c in components if c.name in FORMULAS}
    assert mine == {name: name in ("minimax", "nonsat", "lsgan") for name in FORMULAS}


@pytest.mark.parametrize("name", ["minimax", "nonsat"])
@pytest.mark.parametrize("target", [0.9, 0.6])
def test_smoothing_is_cross_entropy_with_the_target(name, target):
    step = logits(REAL, FAKE)
    registry = zoo().registry
    smooth = registry.create("regularizer", "smooth", target=target)
    found = registry.create("loss", name).discriminator(step) + smooth.weight * smooth.penalty(step)
    wanted = mean(
        -target * math.log(sigmoid(x)) - (1 - target) * math.log(1 - sigmoid(x)) for x in REAL
    )
    wanted -= mean(math.log(1 - sigmoid(x)) for x in FAKE)
    assert found.item() == pytest.approx(wanted, rel=1e-12)


def test_smoothing_moves_least_squares_to_the_target():
    """Equal gradients: the values differ by a constant."""
    step, registry = logits(REAL, FAKE), zoo().registry
    smooth = registry.create("regularizer", "smooth", target=0.8)
    (registry.create("loss", "lsgan").discriminator(step) + smooth.penalty(step)).backward()
    wanted = [(x - 0.8) / len(REAL) for x in REAL]
    assert step.real_logits.grad.tolist() == pytest.approx(wanted, abs=1e-15)
    assert step.fake_logits.grad.tolist() == pytest.approx([x / len(FAKE) for x in FAKE], abs=1e-15)


def test_began_holds_the_ratio_of_energies_by_its_control_variable():
    """Ten rounds by hand: k weighs what the discriminator sees next, and moves by the generator's
    samples; it is held within 0..1.
    """
    share, rate, k = 0.7, 0.4, 0.0
    loss = zoo().registry.create("loss", "began", share=share, rate=rate).double()
    stream, ks = random.Random(0), []
    for _ in range(10):
        real, fake, drawn = ([-stream.random() for _ in range(4)] for _ in range(3))
        found = loss.discriminator(logits(real, fake)).item()
        assert found == pytest.approx(k * mean(fake) - mean(real), rel=1e-12)
        assert loss.generator(logits(real, drawn)).item() == pytest.approx(-mean(drawn), rel=1e-12)
        k = min(max(k + rate * (share * -mean(real) + mean(drawn)), 0), 1)
        assert loss.k.item() == pytest.approx(k, abs=1e-12)
        ks.append(k)
    assert 0.0 in ks and max(ks) > 0.05
    for _ in range(2):
        loss.generator(logits(real, [-50.0] * 4))
    assert loss.k == 0
    loss.generator(logits(real, [50.0] * 4))
    assert loss.k == 1


class Scoring:
    """A discriminator with scores of classes as features."""

    classify = staticmethod(lambda features: features)


@pytest.mark.parametrize("side", ["discriminator", "generator"])
@pytest.mark.parametrize("patches", [False, True])
def test_multihinge_is_the_hinge_over_classes_and_generated(side, patches):
    stream = torch.Generator().manual_seed(1)
    real, fake = 2 * torch.randn(2, 5, 3, generator=stream, dtype=torch.float64)
    of_real, of_fake = torch.randn(2, 5, 4, generator=stream, dtype=torch.float64)
    labels = [0, 2, 1, 1, 0]
    step = SimpleNamespace(
        real_features=real,
        fake_features=fake,
        real_logits=of_real if patches else of_real[:, 0],
        fake_logits=of_fake if patches else of_fake[:, 0],
        labels=torch.tensor(labels),
        discriminator=Scoring,
    )

    def hinge(scores, logits, right):
        total = []
        for row, logit, y in zip(scores.tolist(), logits.tolist(), right, strict=True):
            row = [*row, -mean(logit) if patches else -logit]
            others = [x for place, x in enumerate(row) if place != y]
            total.append(max(0, 1 - row[y] + max(others)))
        return mean(total)

    wanted = hinge(fake, step.fake_logits, labels)
    if side == "discriminator":
        wanted = hinge(real, step.real_logits, labels) + hinge(fake, step.fake_logits, [3] * 5)
    found = getattr(zoo().registry.create("loss", "multihinge"), side)(step)
    assert found.item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("labels", [None, torch.tensor([0, 1])])
def test_multihinge_wants_a_label_a_sample(labels):
    step = SimpleNamespace(
        fake_features=torch.zeros(1, 3),
        fake_logits=torch.zeros(1),
        labels=labels,
        discriminator=Scoring,
    )
    with pytest.raises(Incompatible, match="one label for each sample"):
        zoo().registry.create("loss", "multihinge").generator(step)
