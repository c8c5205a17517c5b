"""The penalties of finite differences: their expected value goes to that of r1 and r2 as sigma goes
to 0, in closed form, by a sum over a quadrature, and by drawing.
"""

import itertools
import math

import pytest
import torch
from test_penalties import Flat, Shift, Smooth, gradients, step_on

from ganzoo.components.loading import zoo
from ganzoo.contracts import Discriminator, Spec, Step

PAIRS = (("approx-r1", "r1"), ("approx-r2", "r2"))


def create(name, **options):
    return zoo().registry.create("regularizer", name, **options)


class Bowl(Discriminator):
    """D(x) = b'x + c |x|² / 2, whose slope is b + c x."""

    def __init__(self, b, c):
        super().__init__(Spec((len(b),)))
        self.b, self.c = torch.nn.Parameter(torch.tensor(b).double()), c

    def forward(self, samples, labels=None):
        return samples @ self.b + self.c * samples.square().sum(1) / 2


def double(step):
    """The step in float64."""
    nets = step.generator.double(), step.discriminator.double()
    return Step("discriminator", *nets, step.data.double(), step.latents.double(), views=step.views)


@pytest.mark.parametrize(("approximate", "exact"), PAIRS)
@pytest.mark.parametrize("sigma", [1e-4, 0.01, 1.0])
def test_value_is_the_formula_of_the_noise_drawn(approximate, exact, sigma):
    """A linear net: ((sigma e'w) / sigma)² / 2, whatever sigma is."""
    step = double(step_on(Flat(Spec((3,)), [0.6, -1.2, 0.4])))
    torch.manual_seed(9)
    found = create(approximate, sigma=sigma).penalty(step)
    torch.manual_seed(9)
    noise = torch.randn(6, 3, dtype=torch.float64)
    wanted = sum(float(e @ step.discriminator.weight.detach()) ** 2 / 2 for e in noise) / 6
    assert found.item() == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(("approximate", "exact"), PAIRS)
def test_expected_value_has_the_closed_form_and_goes_to_the_exact_one(approximate, exact):
    """On a bowl E ((D(x + s e) - D(x)) / s)² / 2 = |g|² / 2 + s² c² (d² + 2 d) / 8: the odd moments
    of e vanish, and E |e|⁴ = d² + 2 d. Drawn 200,000 times.
    """
    step = double(step_on(Bowl([0.3, -0.8, 0.5], 0.7)))
    seen = step.real if exact == "r1" else step.fake
    slope = step.discriminator.b + 0.7 * seen
    limit = slope.square().sum(1).mean().item() / 2
    assert create(exact).penalty(step).item() == pytest.approx(limit, rel=1e-12)
    many = Step(
        "discriminator",
        step.generator,
        step.discriminator,
        step.data.repeat(40000, 1),
        step.latents.repeat(40000, 1),
    )
    torch.manual_seed(1)
    biases = []
    for sigma in (1.0, 0.5, 0.1, 0.001):
        bias = sigma**2 * 0.7**2 * (3**2 + 2 * 3) / 8
        found = create(approximate, sigma=sigma).penalty(many).item()
        assert found == pytest.approx(limit + bias, rel=0.015)
        biases.append(bias)
    assert biases[-1] < 1e-5 * limit


@pytest.mark.parametrize(("approximate", "exact"), PAIRS)
def test_expected_value_and_gradient_go_to_the_exact_ones_by_quadrature(
    approximate, exact, monkeypatch
):
    """Gauss-Hermite nodes in place of drawn noise give the expectation without an error of chance:
    the distance to the exact penalty falls as sigma².
    """
    torch.manual_seed(0)
    step = double(step_on(Smooth(Spec((2,)))))
    judge = step.discriminator
    # five nodes of the standard normal in each of two dimensions
    roots = torch.tensor([-2.856970013872806, -1.355626179974266, 0.0, 1.355626179974266])
    nodes = [*roots.double().tolist(), 2.856970013872806]
    shares = [0.011257411327721, 0.222075922005613, 0.533333333333333]
    shares += shares[1::-1]
    exactly = create(exact).penalty(step)
    wanted = torch.cat([exactly.detach()[None], gradients(exactly, judge)])
    gaps = []
    for sigma in (0.2, 0.1, 0.05):
        total, penalty = 0.0, create(approximate, sigma=sigma)
        for (a, p), (b, q) in itertools.product(zip(nodes, shares, strict=True), repeat=2):
            noise = torch.tensor([a, b], dtype=torch.float64)
            monkeypatch.setattr(torch, "randn_like", lambda x, noise=noise: noise.expand_as(x))
            total = total + p * q * penalty.penalty(double(step))
        monkeypatch.undo()
        found = torch.cat([total.detach()[None], gradients(total, judge)])
        gaps.append(((found - wanted).norm() / wanted.norm()).item())
    assert gaps[0] < 0.2 and gaps[2] < 0.01
    for wide, narrow in itertools.pairwise(gaps):
        assert wide / narrow == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(("approximate", "exact"), PAIRS)
def test_drawn_values_average_to_the_exact_penalty(approximate, exact):
    """Monte Carlo on a net with a bend, at a sigma whose bias is far below the error of chance."""
    step = double(step_on(Smooth(Spec((4,)))))
    wanted, penalty = create(exact).penalty(step).item(), create(approximate, sigma=1e-3)
    torch.manual_seed(2)
    with torch.no_grad():
        drawn = torch.stack([penalty.penalty(step) for _ in range(4000)])
    error = drawn.std().item() / math.sqrt(len(drawn))
    assert abs(drawn.mean().item() - wanted) < 4 * error < 0.1 * wanted
    one_sample = drawn.std().item() * math.sqrt(6)
    assert one_sample < 2.5 * wanted, "a sample's varies by sqrt(2) of its own slope"


@pytest.mark.parametrize("approximate", ["approx-r1", "approx-r2"])
def test_slopes_are_counted_over_the_unit_of_the_discriminator(approximate):
    """As those of r1 are: noise of sigma units."""
    step = double(step_on(Flat(Spec((3,)), [0.6, -1.2, 0.4])))
    torch.manual_seed(9)
    plain = create(approximate).penalty(step)
    step.discriminator.unit = torch.tensor(3.0).double()
    torch.manual_seed(9)
    assert create(approximate).penalty(step).item() == pytest.approx(9 * plain.item(), rel=1e-6)


@pytest.mark.parametrize(("approximate", "exact"), PAIRS)
def test_both_logits_share_what_a_view_draws(approximate, exact):
    """Noise of a view is drawn once: else its own difference would be counted as slope. The limit
    is the exact penalty in what is seen.
    """
    plain = step_on(Flat(Spec((3,)), [0.6, -1.2, 0.4]))
    nets = plain.generator.double(), plain.discriminator.double()
    samples = plain.data.double(), plain.latents.double()
    views = [lambda samples, step: 2 * samples + torch.randn_like(samples)]
    step = Step("discriminator", *nets, *samples, views=views)
    seen = Step("discriminator", *nets, *samples, views=views)
    wanted = create(exact, through=False).penalty(seen).item()
    penalty = create(approximate, sigma=1e-4)
    drawn = [penalty.penalty(step).item() for _ in range(2000)]
    assert sum(drawn) / 2000 == pytest.approx(wanted, rel=0.1)


def test_bf16_is_near_the_exact_penalty_at_a_sigma_of_a_tenth():
    """Rounding of the logits is divided by sigma² too: at 0.001 it is all that there is."""
    torch.manual_seed(0)
    net = zoo().registry.create("discriminator", "mlp", Spec((1, 8, 8)), width=64)
    with torch.no_grad():
        [p.mul_(2) for p in net.parameters() if p.dim() > 1]
    data, latents = torch.randn(512, 1, 8, 8), torch.randn(512, 64)
    maker = Shift(net.spec)
    wanted = create("r1").penalty(Step("discriminator", maker, net, data, latents)).item()
    found = {}
    for sigma in (0.1, 0.001):
        with torch.autocast("cpu", torch.bfloat16):
            step = Step("discriminator", maker, net, data, latents)
            found[sigma] = create("approx-r1", sigma=sigma).penalty(step).item()
    assert found[0.1] == pytest.approx(wanted, rel=0.3) and found[0.001] > 10 * wanted
