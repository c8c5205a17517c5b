"""The metric of Dirac-GAN against the game itself, played in the test on two numbers."""

import math

import pytest
import torch

import ganzoo
from ganzoo.contracts import Spec


def played(gamma, time, step=0.01):
    """The point after so much time: gradient descent on both numbers, from (1, 1), of the losses
    softplus(psi theta) and softplus(-psi theta), and gamma / 2 psi².
    """
    theta = psi = 1.0
    for _ in range(round(time / step)):
        true = 1 / (1 + math.exp(-psi * theta))  # the discriminator's sigmoid
        theta, psi = (
            theta + step * psi * (1 - true),
            psi - step * (theta * true + gamma * psi),
        )
    return theta


def measured(point, real, **options):
    metric = ganzoo.create("metric", "dirac", Spec((1,)), **options)
    return metric.measure(real, torch.full((500, 1), point))


@pytest.mark.parametrize("gamma", [2.0, 5.0])
def test_the_rate_of_the_game_is_that_of_theory(gamma):
    real = torch.zeros(500, 1)
    early, late = (played(gamma, time) for time in (40.0, 80.0))
    found = measured(late, real, gamma=gamma, time=80.0)
    assert found["distance"] == pytest.approx(abs(late), rel=1e-6)
    assert found["rate"] == pytest.approx(-math.log(abs(late)) / 80, rel=1e-6)
    # Near the equilibrium the distance falls by that rate; from the beginning, nearly.
    assert math.log(early / late) / 40 == pytest.approx(found["theory"], rel=0.02)
    assert found["rate"] == pytest.approx(found["theory"], rel=0.15)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 20.0])
def test_theory_is_the_largest_eigenvalue_of_the_flow(gamma):
    """Of the matrix of the linear flow, f'(0) = 1/2 beside the penalty."""
    flow = torch.tensor([[0.0, 0.5], [-0.5, -gamma]], dtype=torch.float64)
    wanted = -float(torch.linalg.eigvals(flow).real.max())
    # A double eigenvalue, at gamma 1, is found to the root of the precision.
    assert measured(0.1, torch.zeros(4, 1), gamma=gamma)["theory"] == pytest.approx(
        wanted, abs=1e-7
    )


def test_a_point_that_is_there_and_data_that_lie_elsewhere():
    real = torch.tensor([[2.0], [4.0]]).repeat(50, 1)
    found = measured(3.0, real)
    assert found["distance"] == 0 and math.isfinite(found["rate"])
    assert found["floor_distance"] == 2.0, "halves of every other point"
