"""A gradient penalty under a view: the slope is in the samples, through augmentations and noise."""

import pytest
import torch
from test_penalties import PENALTIES, WAYS, Shift, Smooth, create, gradients, value_at

from ganzoo.contracts import Spec, Step

SPEC = Spec((4,))
MIXING = torch.tensor(
    [[1.0, 0.5, 0, 0], [0, 2.0, -1.0, 0], [0.3, 0, 1.0, 0], [0, 0, 0.7, -1.5]]
).double()


def bent(samples, step):
    """A random view whose Jacobian is neither diagonal nor the same at two points."""
    return (samples @ MIXING).sin() * 2 + 0.5 * torch.randn_like(samples) * samples.square()


def nets():
    torch.manual_seed(0)
    return Shift(SPEC).double(), Smooth(SPEC).double()


def step_with(parts, view):
    torch.manual_seed(3)
    generator, discriminator = parts
    data, latents = torch.randn(2, 6, 4, dtype=torch.float64)
    return Step(
        "discriminator",
        generator,
        discriminator,
        data,
        latents,
        views=[view],
    )


def found(view, penalties, differentiation="double_backward", also=lambda step: 0.0):
    """The terms by name, and the gradient of their sum and of something else."""
    parts = nets()
    step = step_with(parts, view)
    total, values = step.penalise(named(penalties), differentiation)
    return values, gradients(total + also(step), parts[1])


def named(penalties):
    return [(f"{n}", penalty) for n, penalty in enumerate(penalties)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_view_that_triples_makes_a_squared_slope_nine_times_as_large(name, way):
    """At the samples whose tripled ones were seen before: D(3x) has three times D's slope."""
    seen, through = create(name, through=False), create(name)
    (flat, flat_gradient), (steep, gradient) = (
        found(lambda x, step: 3 * x, [penalty], way) for penalty in (seen, through)
    )
    assert steep["0"].item() == pytest.approx(9 * flat["0"].item(), rel=1e-12)
    torch.testing.assert_close(gradient, 9 * flat_gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_penalty_that_is_called_by_hand_goes_through_the_view_too(name):
    flat, steep = (
        create(name, through=through).penalty(step_with(nets(), lambda x, step: 3 * x))
        for through in (False, True)
    )
    assert steep.item() == pytest.approx(9 * flat.item(), rel=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PENALTIES)
def test_value_and_gradient_through_a_view_are_those_of_finite_differences(name, way):
    """The random numbers of a view are drawn once: differences are taken with the same ones."""
    (terms, gradient), penalty, width = found(bent, [create(name)], way), create(name), 1e-5
    generator, discriminator = nets()

    def value():
        step = step_with((generator, discriminator), bent)
        with torch.no_grad():
            points, state = penalty.point(step), torch.get_rng_state()
            ends = []
            for sign in (1, -1):
                for axis in torch.eye(4).double():
                    torch.set_rng_state(state)
                    view = bent(points + sign * width * axis, step)
                    # its noise is that of `points`: the same state, a tensor of the same shape
                    ends.append(discriminator(view))
        slope = (torch.stack(ends[:4], 1) - torch.stack(ends[4:], 1)) / (2 * width)
        return value_at(name, slope.norm(dim=1).tolist())

    assert terms["0"].item() == pytest.approx(value(), rel=1e-6)
    torch.manual_seed(1)
    direction = [torch.randn_like(p) for p in discriminator.parameters()]
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(discriminator.parameters(), direction, strict=True):
                p += sign * 1e-3 * d
        values.append(value())
        with torch.no_grad():
            for p, d in zip(discriminator.parameters(), direction, strict=True):
                p -= sign * 1e-3 * d
    along = torch.cat([d.flatten() for d in direction]) @ gradient / penalty.weight
    assert along.item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=2e-3)


@pytest.mark.parametrize("way", WAYS)
def test_logits_and_penalty_share_one_view(way):
    """Both come out of one pass, where the penalties come first."""
    calls = []

    def counted(samples, step):
        calls.append(len(samples))
        return bent(samples, step)

    parts = nets()
    step = step_with(parts, counted)
    step.penalise(named([create("r1"), create("r2")]), way)
    assert torch.equal(step.real_logits, parts[1](step.real))
    assert torch.equal(step.fake_logits, parts[1](step.fake))
    assert calls == [6, 6]
    late = step_with(parts, counted)
    assert late.real.shape == late.data.shape
    with pytest.raises(RuntimeError, match="penalise comes first"):
        late.penalise(named([create("r1")]), way)


@pytest.mark.parametrize("way", WAYS)
def test_penalties_in_samples_and_in_what_is_seen_do_not_disturb_each_other(way):
    both, gradient = found(bent, [create("r1"), create("r1", through=False)], way)
    for number, through in enumerate((True, False)):
        alone, part = found(bent, [create("r1", through=through)], way)
        assert alone["0"].item() == pytest.approx(both[str(number)].item(), rel=1e-12)
        gradient = gradient - part
    assert gradient.abs().max() < 1e-12


def test_noise_has_the_identity_for_a_jacobian():
    noise = create("noise", std=0.5)
    values = [found(noise.view, [create("r1", through=t)])[0]["0"].item() for t in (True, False)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_compiles_as_one_graph_through_a_view_and_agrees(way):
    penalties, (generator, discriminator) = [create(name) for name in PENALTIES], nets()
    slopes = named(penalties)

    def terms(data, latents):
        step = Step(
            "discriminator",
            generator,
            discriminator,
            data,
            latents,
            views=[bent],
        )
        total, _ = step.penalise(slopes, way)
        return (step.fake_logits - step.real_logits).mean() + total

    data, latents = torch.randn(2, 6, 4, dtype=torch.float64)
    results = []
    for function in (terms, torch.compile(terms, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(7)
        total = function(data, latents)
        results.append((total, gradients(total, discriminator)))
    torch.testing.assert_close(*results)


def test_a_height_of_its_own_gets_its_point_as_it_is():
    class Own(type(create("r1"))):
        def height(self, step, point):
            self.given = point
            return point.square().sum(1), ()

    penalty = Own()
    step = step_with(nets(), bent)
    _, values = step.penalise([("0", penalty)])
    assert penalty.given.shape == step.data.shape
    assert values["0"].item() == pytest.approx(2 * step.data.square().sum(1).mean().item())
