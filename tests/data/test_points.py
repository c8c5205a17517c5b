"""Points train alike whatever their scale and place, which nets take from the data."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.assembly.pipeline import Pipeline
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Dataset, Spec
from ganzoo.errors import BrokenPlugin
from ganzoo.generate.sampling import sample
from ganzoo.training.loop import Training

NETS = {
    "gen": {"name": "mlp", "latent_dim": 2, "width": 16, "depth": 2, "init": "kaiming"},
    "disc": {"name": "mlp", "width": 16, "depth": 2, "init": "kaiming"},
}
OFFSET = torch.tensor([48.0, -16.0])


def points() -> Tensor:
    """Two clusters in the plane, mean and deviation of neither coordinate 0 and 1."""
    stream = torch.Generator().manual_seed(0)
    cluster = torch.randint(0, 2, (256, 1), generator=stream) * 2.0 - 1
    return cluster + 0.1 * torch.randn(256, 2, generator=stream)


def pipeline(samples: Tensor, more: Component | None = None, **sections: Any) -> Pipeline:
    data = Dataset(samples)
    own = [Component("dataset", "mine", lambda: data, "tests", "tests", "0")]
    registry = Registry([*zoo().registry.components(), *own, *([more] if more else [])])
    tree = configuration.defaults()
    train = {"batch_size": 16, "images": 640, "device": "cpu", "precision": "fp32"}
    for layer in (NETS, {"data": {"name": "mine"}, "train": train}, sections):
        tree = configuration.merge(tree, layer)
    return assemble(configuration.check(tree), registry)


@pytest.mark.parametrize("reg", [("r1", "r2"), ("gp",), ("dragan",)], ids="-".join)
def test_a_training_on_points_moved_and_scaled_draws_those_of_the_first_moved_and_scaled(
    reg: tuple[str, ...],
) -> None:
    drawn = []
    real = points()
    for samples in (real, real * 8 + OFFSET):
        built = pipeline(samples, reg={name: {"weight": 1.0} for name in reg})
        Training(built).run()
        drawn.append(sample(built.parts.generator, 200, 0, spec=built.spec))
    moved = drawn[0] * 8 + OFFSET
    assert drawn[0].std() > 0.1, "the first draws more than one point"
    assert (drawn[1] - moved).abs().max() < 0.02 * moved.std()


def test_waves_are_of_points_in_units_of_their_deviation() -> None:
    """So that a training on points moved and scaled is the same with them, too."""
    drawn = []
    real = points()
    disc = {**NETS["disc"], "waves": 8}
    for samples in (real, real * 8 + OFFSET):
        built = pipeline(samples, disc=disc, reg={"r1": {"weight": 1.0}})
        Training(built).run()
        drawn.append(sample(built.parts.generator, 200, 0, spec=built.spec))
    moved = drawn[0] * 8 + OFFSET
    assert (drawn[1] - moved).abs().max() < 0.02 * moved.std()


def test_waves_are_drawn_once_saved_and_of_the_stated_form() -> None:
    net = zoo().registry.create("discriminator", "mlp", Spec((2,)), width=8, waves=500)
    state = net.state_dict()
    vectors, phases = state["waves.vectors"], state["waves.phases"]
    assert abs(float(vectors.std()) - math.pi / 2) < 0.15, "a quarter of a period a deviation"
    x = points()
    seen = net.waves(x)
    assert torch.equal(seen[:, :2], x)
    assert torch.allclose(seen[:, 2:], (x @ vectors.T + phases).sin(), atol=1e-5)
    assert not any(p is vectors for p in net.parameters()) and net.trunk[0].in_features == 502


def test_what_is_no_points_has_no_waves() -> None:
    net = zoo().registry.create("discriminator", "mlp", Spec((1, 4, 4)), width=8, waves=5)
    assert net.waves is None and net.trunk[0].in_features == 16


def test_nets_of_points_start_from_the_data_s_mean_and_deviation_and_a_line_says_so() -> None:
    real = points() * 8 + OFFSET
    built = pipeline(real)
    deviation = (real - real.mean(0)).square().mean().sqrt()
    generator, discriminator = built.parts.generator, built.parts.discriminator
    assert torch.allclose(generator.frame.centre, real.mean(0))
    assert torch.allclose(discriminator.unit, deviation)
    line = f"points: slopes and gamma are counted over {float(deviation):.3g}, their deviation"
    assert line in built.notes
    state = generator.state_dict()
    assert torch.equal(state["frame.scale"], generator.frame.scale), "a generator file holds it"


def test_points_that_are_all_alike_do_not_divide_by_zero() -> None:
    built = pipeline(torch.full((64, 2), 3.0))
    assert float(built.parts.discriminator.unit) == 1.0
    assert built.parts.generator.frame.centre.tolist() == [3.0, 3.0]


def test_packed_points_are_moved_one_by_one() -> None:
    net = zoo().registry.create("discriminator", "mlp", Spec((4,)), width=8)
    net.calibrate(points() + OFFSET)
    centre = net.frame.centre
    assert torch.equal(centre[:2], centre[2:]) and torch.allclose(centre[:2], OFFSET, atol=1.5)


def test_a_net_that_fails_to_calibrate_itself_is_named() -> None:
    class Failing(type(zoo().registry.create("generator", "mlp", Spec((2,))))):  # type: ignore[misc]
        """Cannot."""

        def calibrate(self, points: Tensor) -> None:
            raise ArithmeticError("too far")

    part = Component("generator", "failing", Failing, "tests", "tests", "0")
    with pytest.raises(
        BrokenPlugin, match=r"Failing of tests:tests fails to calibrate itself.*far"
    ):
        pipeline(points(), part, gen={"name": "failing"})
