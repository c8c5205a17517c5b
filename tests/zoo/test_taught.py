"""A classifier that is trained on generated samples or tested on them."""

import pytest
import torch
from test_classes import SPEC, bars, cache, data_of, silent  # noqa: F401  (a fixture)

from ganzoo import create
from ganzoo.contracts import Dataset
from ganzoo.errors import Incompatible
from ganzoo.measure import measuring

FEW = 120


def asked(name, fake, labels=lambda count: torch.arange(count) % 4, data=None, block=50):
    """The figures of samples, as an evaluation asks for them."""
    metric = create("metric", name, SPEC, count=FEW)
    data, held = data or data_of(400), data_of(100, seed=7)
    own = measuring.Asked(name, metric, {})
    real = measuring.Real(data, FEW)

    def draw(count, seed):
        return iter(fake[:count].split(block))

    return own.ask(real, draw, len(fake), [0], held, labels=labels)[0]


@pytest.mark.parametrize("name", ["gan-train", "gan-test"])
def test_right_labels_teach_and_wrong_ones_do_not(name):
    fake = bars(FEW, 3)[0]
    found = asked(name, fake)
    assert found["floor_accuracy"] > 0.95 and found["accuracy"] > 0.95
    half = asked(name, fake, lambda count: torch.arange(count) % 4 // 2 * 2)
    assert half["accuracy"] == pytest.approx(0.5, abs=0.02), "two of four classes are told"
    wrong = asked(name, fake, lambda count: (torch.arange(count) + 1) % 4)
    assert wrong["accuracy"] < 0.05
    assert wrong["floor_accuracy"] == found["floor_accuracy"]


def test_they_tell_lost_variety_from_lost_quality():
    """One image of each class is told, and teaches little of others; noise does neither."""
    real = data_of(400, noise=1.2)
    one = bars(4, 5, noise=1.2)[0].repeat(FEW // 4, 1, 1, 1)
    lost = {name: asked(name, one, data=real) for name in ("gan-train", "gan-test")}
    assert lost["gan-test"]["accuracy"] >= 0.95
    assert lost["gan-train"]["accuracy"] < 0.85 < lost["gan-train"]["floor_accuracy"]
    accuracies = [
        asked("gan-test", bars(FEW, 3, noise=noise)[0])["accuracy"] for noise in (0.15, 1.5, 4.0)
    ]
    assert accuracies == sorted(accuracies, reverse=True) and accuracies[-1] < 0.8


def test_neither_order_nor_blocks_change_a_figure():
    fake = bars(FEW, 3, noise=1.5)[0]
    turned = torch.randperm(FEW, generator=torch.Generator().manual_seed(0))
    for name in ("gan-train", "gan-test"):
        found = asked(name, fake)
        labels = torch.arange(FEW)[turned] % 4
        again = asked(name, fake[turned], lambda count, own=labels: own[:count], block=7)
        assert again == found


def test_what_has_no_labels_is_refused_in_one_line(cli, tmp_path):
    fake = bars(FEW, 3)[0]
    for name in ("gan-train", "gan-test"):
        with pytest.raises(Incompatible, match=f"^metric.{name}: takes samples with labels: of a"):
            asked(name, fake, labels=None)
        with pytest.raises(Incompatible, match=f"^metric.{name}: takes labels of two classes"):
            asked(name, fake, data=Dataset(bars(400)[0]))
        one = Dataset(bars(400)[0], torch.zeros(400, dtype=torch.int64), ("a",))
        with pytest.raises(Incompatible, match="the data are of one class"):
            asked(name, fake, data=one)
    few = ("--gen", "dcgan", "--loss", "nonsat", "--resolution", "8", "--dry-run")
    done = cli("train", *few, "--metric", "gan-train")
    assert done.code == 2 and "--set data.holdout=0.1" in done.err.splitlines()[-1]
    done = cli(
        *("train", *few, "--metric", "gan-test", "--set", "train.conditional=false"),
    )
    assert done.code == 2 and "takes samples with labels" in done.err.splitlines()[-1]


def test_folders_of_classes_are_evaluated_by_the_classes_names(cli, tmp_path):
    from ganzoo.generate.images import to_image
    from ganzoo.generate.pictures import png

    def write(folder, count, seed, names="abcd"):
        for number, (image, label) in enumerate(zip(*bars(count, seed), strict=True)):
            place = folder / names[int(label)]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:04d}.png").write_bytes(png(to_image(image)))
        return folder

    real, fake = write(tmp_path / "real", 200, 0), write(tmp_path / "fake", 80, 1)
    done = cli("evaluate", fake, real, "--metric", "gan-test", "--json")
    assert done.code == 0 and '"accuracy": "1 of 20"' in done.out, done.err
    other = write(tmp_path / "other", 40, 1, names="wxyz")
    done = cli("evaluate", other, real, "--metric", "gan-test")
    assert done.code == 2 and "each of the data's classes" in done.err.splitlines()[-1]
