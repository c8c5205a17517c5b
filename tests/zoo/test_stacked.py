"""Stacked digits and the count of their modes."""

import math

import pytest
import torch
from ganzoo_plugins.metrics import stacked

from ganzoo import create
from ganzoo.contracts import Spec
from ganzoo.errors import Incompatible

SPEC = Spec((3, 28, 28))


class ByBrightness:
    """In the classifier's place: ten grey levels are ten digits."""

    def logits(self, images):
        level = ((images.mean((1, 2, 3)) + 1) * 5).floor().clamp(0, 9).long()
        return torch.nn.functional.one_hot(level, 10).double()

    def protocol(self):
        return {"classifier": "brightness"}


def metric_of(spec=SPEC):
    metric = create("metric", "stacked-modes", spec)
    metric.known.append(ByBrightness())
    return metric


def of_digits(modes, channels=3, side=28):
    digits = torch.stack([modes // 10**place % 10 for place in range(channels - 1, -1, -1)], 1)
    return ((digits + 0.5) / 5 - 1)[:, :, None, None].expand(-1, -1, side, side)


def test_modes_and_divergence_are_those_of_the_histogram():
    metric, every = metric_of(), torch.arange(1000)
    assert metric.features(of_digits(every)).flatten().tolist() == every.tolist()
    found = metric.measure(of_digits(every), of_digits(every[:250].repeat(2)))
    assert found == pytest.approx(
        {"kl": math.log(4), "modes": 250, "floor_kl": 0, "floor_modes": 1000}, abs=1e-9
    )
    assert stacked.coverage(torch.zeros(9, 1), 1000)["kl"] == pytest.approx(math.log(1000))
    uneven = stacked.coverage(torch.tensor([0, 0, 0, 1]), 10)
    by_hand = 0.75 * math.log(7.5) + 0.25 * math.log(2.5)
    assert uneven == pytest.approx({"kl": by_hand, "modes": 2})


def test_the_floor_of_a_perfect_sampler_is_that_of_the_literature():
    """About 999 / 52,000 for 26,000 samples of 1,000 modes, with deviation 0.0009."""
    stream = torch.Generator().manual_seed(0)
    found = stacked.coverage(torch.randint(1000, (26_000,), generator=stream), 1000)
    assert found["modes"] == 1000 and found["kl"] == pytest.approx(0.0195, abs=0.003)


def test_fewer_modes_are_worse_and_order_changes_nothing():
    metric, every = metric_of(), torch.arange(1000).repeat(3)
    kl = [metric.measure(of_digits(every), of_digits(every % n))["kl"] for n in (1000, 500, 20, 1)]
    assert kl == sorted(kl) and kl[-1] == pytest.approx(math.log(1000))
    stream = torch.Generator().manual_seed(0)
    mixed = of_digits(torch.randint(1000, (300,), generator=stream))
    found = metric.measure(of_digits(every), mixed)
    assert metric.measure(of_digits(every.flip(0)), mixed.flip(0)) == pytest.approx(found)


def test_other_sizes_and_four_channels():
    metric, modes = metric_of(Spec((4, 32, 32))), torch.tensor([0, 1234, 9999, 1234])
    assert metric.features(of_digits(modes, 4, 32)).flatten().tolist() == modes.tolist()
    found = metric.measure(of_digits(modes, 4, 32), of_digits(modes, 4, 32))
    assert found["modes"] == 3 and found["kl"] < math.log(10_000)
    with pytest.raises(Incompatible, match=r"metric.stacked-modes: counts digits of 1 to 4"):
        create("metric", "stacked-modes", Spec((5, 28, 28)))


def test_stacks_are_of_the_embedded_digits():
    single = create("dataset", "digits")
    for channels in (3, 4):
        data = create("dataset", "stacked-digits", channels=channels, count=60, labelled=True)
        assert data.samples.shape == (60, channels, 28, 28) and len(data.classes) == 10**channels
        for sample, label in zip(data.samples[:5], data.labels[:5], strict=True):
            for digit, channel in zip(data.classes[label], sample, strict=True):
                same = (single.samples[:, 0] == channel).all((1, 2)).nonzero().flatten()
                assert int(digit) in single.labels[same].tolist()
    again = create("dataset", "stacked-digits", channels=4, count=60)
    assert torch.equal(again.samples, data.samples) and again.labels is None
    sized = create("dataset", "stacked-digits", count=5, resolution=(16, 12))
    assert sized.samples.shape == (5, 3, 16, 12)


@pytest.mark.slow
def test_real_stacks_are_told_by_the_classifier_of_digits():
    data = create("dataset", "stacked-digits", count=3000, labelled=True)
    metric = create("metric", "stacked-modes", SPEC)
    metric.learn(data, lambda what: None)
    told = metric.features(data.batch(torch.arange(3000))[0]).flatten()
    assert (told == data.labels).double().mean() > 0.94, "each digit in 98 of 100"
    assert metric.protocol()["accuracy"].startswith("0.9")
