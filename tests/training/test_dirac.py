"""Dirac-GAN (Mescheder et al. 2018): data at 0, a generated
point theta, D(x) = psi x; updates and rates are known.
"""

import math

import pytest
import torch
from torch import nn

from ganzoo.components.loading import zoo
from ganzoo.contracts import Discriminator, Generator, Spec, Step

SPEC, RATE = Spec((1,)), 0.2


class Point(Generator):
    def __init__(self, theta):
        super().__init__(SPEC, latent_dim=1)
        self.theta = nn.Parameter(torch.tensor(float(theta)))

    def forward(self, latents, labels=None):
        return self.theta + 0 * latents


class Line(Discriminator):
    def __init__(self, psi):
        super().__init__(SPEC)
        self.psi = nn.Parameter(torch.tensor(float(psi)))

    def forward(self, samples, labels=None):
        return self.psi * samples.squeeze(1)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def update(state, loss, penalties=(), differentiation="double_backward"):
    """One simultaneous gradient step of both nets, from (theta, psi)."""
    generator, discriminator = Point(state[0]), Line(state[1])
    registry = zoo().registry
    loss = registry.create("loss", loss)
    slopes = [
        (name, registry.create("regularizer", name, weight=weight)) for name, weight in penalties
    ]
    data, latents = torch.zeros(2, 1), torch.zeros(2, 1)
    step = Step(
        "discriminator",
        generator,
        discriminator,
        data,
        latents,
    )
    penalties, _ = step.penalise(slopes, differentiation)
    total = loss.discriminator(step) + penalties
    psi = torch.autograd.grad(total, discriminator.psi)[0]
    step = Step("generator", generator, discriminator, data, latents)
    theta = torch.autograd.grad(loss.generator(step), generator.theta)[0]
    return state[0] - RATE * theta.item(), state[1] - RATE * psi.item()


def radius(*arguments):
    """The factor by which small states grow in one update:
    the spectral radius of its Jacobian at the equilibrium.
    """
    small = 1e-3
    columns = [update(state, *arguments) for state in ((small, 0.0), (0.0, small))]
    return (
        torch.linalg.eigvals(torch.tensor(columns, dtype=torch.float64).T / small)
        .abs()
        .max()
        .item()
    )


FORCES = {  # (theta, psi) -> what the generator's descent adds to theta, the discriminator's to psi
    "minimax": lambda t, p: (sigmoid(p * t) * p, -sigmoid(p * t) * t),
    "nonsat": lambda t, p: (sigmoid(-p * t) * p, -sigmoid(p * t) * t),
    "lsgan": lambda t, p: ((1 - p * t) * p, -p * t * t),
    "wgan": lambda t, p: (p, -t),
    "hinge": lambda t, p: (p, -t if p * t > -1 else 0.0),
    "rpgan": lambda t, p: (sigmoid(-p * t) * p, -sigmoid(p * t) * t),
}


@pytest.mark.parametrize("loss", FORCES)
@pytest.mark.parametrize("state", [(1.0, 1.0), (-0.7, 0.4), (0.3, -2.0)], ids=str)
def test_update_equals_the_formula(loss, state):
    theta, psi = FORCES[loss](*state)
    wanted = (state[0] + RATE * theta, state[1] + RATE * psi)
    assert update(state, loss) == pytest.approx(wanted, abs=1e-6)


PULLS = {  # what the penalty's descent adds to psi, whose slope is psi everywhere
    "r1": lambda p: -p,
    "r2": lambda p: -p,
    "gp": lambda p: -2 * (abs(p) - 1) * math.copysign(1, p),
    "dragan": lambda p: -2 * (abs(p) - 1) * math.copysign(1, p),
}


@pytest.mark.parametrize("way", ["double_backward", "forward_over_reverse"])
@pytest.mark.parametrize("name", PULLS)
def test_update_with_a_penalty_equals_the_formula(name, way):
    for state in ((1.0, 0.5), (0.6, -1.7)):
        theta, psi = FORCES["nonsat"](*state)
        wanted = (state[0] + RATE * theta, state[1] + RATE * (psi + 0.7 * PULLS[name](state[1])))
        assert update(state, "nonsat", [(name, 0.7)], way) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("loss", ["minimax", "nonsat", "rpgan"])
def test_without_a_penalty_small_states_grow(loss):
    assert radius(loss) == pytest.approx(math.sqrt(1 + RATE**2 / 4), abs=2e-5)


@pytest.mark.parametrize(
    ("gamma", "wanted"), [(0.1, 0.99499), (0.3, 0.97468), (1.0, 0.9), (2.0, 0.97321)]
)
@pytest.mark.parametrize("name", ["r1", "r2"])
@pytest.mark.parametrize("loss", ["minimax", "nonsat", "rpgan"])
def test_zero_centred_penalties_converge_at_the_known_rate(loss, name, gamma, wanted):
    # At gamma 1 the two eigenvalues meet, where the root makes rounding errors of 1e-7 into 3e-4.
    assert radius(loss, [(name, gamma)]) == pytest.approx(wanted, abs=2e-3 if gamma == 1 else 2e-5)


def run(penalties, steps=500):
    state = (1.0, -1.0)  # (1, 1) in their notation, where D is large on generated samples
    for _ in range(steps):
        state = update(state, "minimax", penalties)
    return math.hypot(*state)


def test_simulated_distance_after_500_updates():
    """Science: 3.10 without a penalty, 0.095 with R1 at 0.1."""
    assert run([]) == pytest.approx(3.10, abs=0.01)
    assert run([("r1", 0.1)]) == pytest.approx(0.095, abs=0.001)
