"""Averages of a length that is chosen after the training, against sums that are computed here."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import ganzoo
from ganzoo import averaging
from ganzoo.cli._shared import loaded
from ganzoo.engine.power_average import (
    LENGTHS,
    Moment,
    PowerAverage,
    combination,
    exponent,
    product,
)
from ganzoo.errors import BadFile, BadOption, BadRun
from ganzoo.training import average_files

SMALL = (
    *("--gen", "mlp", "--data", "ring", "--loss", "hinge", "--batch-size", "16"),
    *("--set", "gen.width=8", "--set", "disc.width=8", "--set", "average.snapshots=64"),
    *("--set", "optim.gen.schedule=constant", "--set", "optim.disc.schedule=constant"),
    *("--set", "samples.count=16", "--set", "checkpoint.images=128"),
)


class Walk(nn.Module):
    """Three weights: one stands still, one moves in a line, one along a wave."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def move(self, share):
        self.weights.data = torch.tensor([5.0, 1 + 3 * share, math.sin(6 * share)]).double()


def walked(lengths, updates=1000):
    """Averages of these lengths of the walk, with snapshots at each eighth of it."""
    net = Walk()
    net.move(0)
    kept = [PowerAverage(net, length) for length in lengths]
    moments, snapshots = [], []
    for update in range(1, updates + 1):
        net.move(update / updates)
        for average in kept:
            average.update(net, 16, 16 * update)
        if update % (updates // 8) == 0:
            moments += [Moment(16 * update, average.gamma) for average in kept]
            snapshots += [average.net.weights.detach().clone() for average in kept]
    return moments, torch.stack(snapshots)


@pytest.mark.parametrize(("length", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_the_exponents_are_those_of_the_paper(length, gamma):
    assert exponent(length) == pytest.approx(gamma, abs=0.005)


def test_no_average_is_longer_than_a_mean():
    with pytest.raises(ValueError, match="no average"):
        exponent(0.3)


def test_an_average_of_a_line_is_what_its_integral_says():
    _, snapshots = walked([0.1])
    gamma = exponent(0.1)
    wanted = torch.tensor([5.0, 1 + 3 * (gamma + 1) / (gamma + 2)]).double()
    assert torch.allclose(snapshots[-1][:2], wanted, atol=2e-3)


def test_products_of_profiles_equal_their_integral():
    one, other = Moment(0.6, 3.0), Moment(1.0, 7.0)
    times = (torch.arange(200_000).double() + 0.5) / 200_000
    profiles = [
        torch.where(times <= t, (g + 1) * times**g / t ** (g + 1), 0.0) for t, g in (one, other)
    ]
    assert product(one, other) == pytest.approx(float((profiles[0] * profiles[1]).mean()), rel=1e-4)


@pytest.mark.parametrize("length", [0.05, 0.075, 0.1, 0.15, 0.2])
def test_a_combination_is_the_average_that_one_would_have_kept(length):
    moments, snapshots = walked([*LENGTHS.values()])
    direct = walked([length])[1][-1]
    factors, misfit = combination(moments, Moment(moments[-1].images, exponent(length)))
    made = factors @ snapshots
    assert torch.allclose(made[:2], direct[:2], atol=1e-6), "still or in a line: exactly"
    assert torch.allclose(made[2], direct[2], atol=2e-3)
    assert misfit < 0.1 and float(factors.sum()) == pytest.approx(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory, cli):
    folder = tmp_path_factory.mktemp("averages")
    done = cli("train", *SMALL, "--images", "320", "--out", folder)
    assert done.code == 0, done.err
    return next(folder.iterdir())


def files(run):
    return {path.name: path.read_bytes() for path in sorted((run / "averages").iterdir())}


def test_a_training_keeps_both_at_every_count(run):
    names = [f"{n:09d}.{length}.safetensors" for n in range(64, 321, 64) for length in LENGTHS]
    assert sorted(files(run)) == sorted(names)


def test_a_stopped_training_goes_on_with_the_same_averages(run, tmp_path, cli):
    done = cli("train", *SMALL, "--images", "192", "--out", tmp_path)
    assert done.code == 0, done.err
    (other,) = tmp_path.iterdir()
    late = other / "averages" / "000000256.long.safetensors"
    late.write_bytes(b"of a training that took another way")
    done = cli("train", "--resume", other, "--images", "320")
    assert done.code == 0, done.err
    mine, whole = files(other), files(run)
    weights = {name: load_file(run / "averages" / name) for name in whole}
    assert mine.keys() == whole.keys()
    for name, expected in weights.items():
        found = load_file(other / "averages" / name)
        assert all(torch.equal(found[key], value) for key, value in expected.items()), name


def test_an_average_is_the_sum_of_the_files_and_draws(run, tmp_path, cli):
    out = tmp_path / "long.safetensors"
    done = cli("average", run, "--length", "0.12", "--out", out)
    assert done.code == 0 and "10 snapshots" in done.out, done.err
    moments = [
        Moment(n, exponent(length)) for n in range(64, 321, 64) for length in LENGTHS.values()
    ]
    factors, _ = combination(moments, Moment(320, exponent(0.12)))
    paths = [
        run / "averages" / f"{n:09d}.{length}.safetensors"
        for n in range(64, 321, 64)
        for length in LENGTHS
    ]
    made = load_file(out)
    snapshots = [load_file(path) for path in paths]
    for name, value in made.items():
        total = sum(f * each[name].double() for f, each in zip(factors, snapshots, strict=True))
        assert torch.allclose(value.double(), total, atol=1e-6), name
    drawn = cli("generate", out, "--count", "4", "--out", tmp_path / "points.csv")
    assert drawn.code == 0, drawn.err


def test_the_length_of_a_snapshot_gives_that_snapshot(run):
    (made,) = averaging.average(run, 0.05, at=256, registry=loaded().registry)
    kept = load_file(run / "averages" / "000000256.short.safetensors")
    assert all(torch.allclose(made.weights[key], kept[key], atol=1e-6) for key in kept)
    assert made.header.training["average"] == {"length": 0.05} and made.misfit < 1e-6


def test_an_encoder_is_averaged_as_its_generator_is(tmp_path):
    folder = tmp_path / "run"
    small = {"name": "mlp", "width": 8}
    config = {"gen": small, "disc": small, "game": {"name": "bigan"}, "data": {"name": "ring"}}
    config |= {"train": {"images": 64, "batch_size": 16, "device": "cpu"}}
    ganzoo.train(config | {"average": {"snapshots": 32}}, folder=folder)
    made = averaging.average(folder, 0.05)
    assert [(each.role, each.header.kind) for each in made] == [("", ""), ("enc", "encoder")]
    kept = load_file(folder / "averages" / "000000064.short.enc.safetensors")
    assert all(torch.allclose(made[1].weights[key], kept[key], atol=1e-6) for key in kept)
    written = averaging.write(tmp_path / "long.safetensors", made)
    codes, _ = ganzoo.load_encoder(written[1]).encode(ganzoo.load(written[0]).sample(3))
    assert codes.shape == (3, ganzoo.load(folder).net.latent_dim)


def test_snapshots_are_in_the_order_of_time_however_many_digits_they_have(tmp_path):
    (tmp_path / "averages").mkdir()
    for images in ("999999999", "1000000000", "000000064"):
        (tmp_path / "averages" / f"{images}.long.safetensors").touch()
    (tmp_path / "averages" / "000000064.long.enc.a.safetensors").touch()
    found = [(each.images, each.role) for each in average_files.snapshots(tmp_path)]
    assert found == [(64, ""), (64, "enc.a"), (999_999_999, ""), (1_000_000_000, "")]


def test_wrong_use_is_one_line(run, tmp_path, cli):
    plain = cli(
        "train", *SMALL, "--set", "average.snapshots=0", "--images", "64", "--out", tmp_path
    )
    assert plain.code == 0, plain.err
    without = next(tmp_path.iterdir())
    assert not (without / "averages").exists()
    for arguments, words in (
        ((without,), "has no snapshots to average"),
        ((tmp_path / "nothing",), "no run there"),
        ((run, "--length", "0.5"), "0.01 to 0.25"),
        ((run, "--length", "nan"), "0.01 to 0.25"),
        ((run, "--at", "100"), "the nearest are after 128 images"),
        ((run, "--out", tmp_path / "a.png"), "ends in .safetensors"),
    ):
        done = cli("average", *arguments)
        assert done.code in (1, 2) and words in done.err, done.err
        assert done.err.count("\n") == 1, done.err


def test_a_snapshot_of_another_net_is_named(run, tmp_path, cli):
    done = cli("train", *SMALL, "--set", "gen.width=9", "--images", "64", "--out", tmp_path)
    (other,) = tmp_path.iterdir()
    assert done.code == 0, done.err
    (other / "averages" / "000000032.long.safetensors").write_bytes(
        (run / "averages" / "000000064.long.safetensors").read_bytes()
    )
    with pytest.raises(BadFile, match="of another net"):
        averaging.average(other, 0.1)
    (other / "averages" / "000000032.long.safetensors").write_bytes(b"no file of ours")
    with pytest.raises(BadFile):
        averaging.average(other, 0.1)
    with pytest.raises(BadOption):
        averaging.average(other, 0.0)
    with pytest.raises(BadRun):
        averaging.average(tmp_path, 0.1)
