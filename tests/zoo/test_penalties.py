"""Penalties and constraints: values against closed forms
and finite differences, gradients against double backward.
"""

import copy
import math

import pytest
import torch
from torch import nn

from ganzoo.components.loading import zoo
from ganzoo.contracts import Discriminator, Generator, Spec, Step
from ganzoo.contracts.gradients import gradient_penalty

PENALTIES = ("gp", "dragan", "r1", "r2", "lgp", "maxgp")
WAYS = ("double_backward", "forward_over_reverse")


def create(name, **options):
    return zoo().registry.create("regularizer", name, **options)


def value_at(name, norms):
    """The paper's formula, from the norms of the slopes of a batch."""
    if name == "maxgp":
        return max(norms) ** 2
    formula = {
        "gp": lambda n: (n - 1) ** 2,
        "dragan": lambda n: (n - 1) ** 2,
        "r1": lambda n: n**2 / 2,
        "r2": lambda n: n**2 / 2,
        "lgp": lambda n: max(0, n - 1) ** 2,
    }[name]
    return sum(map(formula, norms)) / len(norms)


class Shift(Generator):
    """Latents are the samples, moved by a parameter."""

    def __init__(self, spec):
        super().__init__(spec, latent_dim=spec.numel)
        self.shift = nn.Parameter(torch.full(spec.shape, 0.3))

    def forward(self, latents, labels=None):
        return latents.view(-1, *self.spec.shape) + self.shift


class Smooth(Discriminator):
    """Two layers and a tanh: a slope that differs from point to point."""

    def __init__(self, spec, width=5):
        super().__init__(spec)
        self.inner, self.outer = nn.Linear(spec.numel, width), nn.Linear(width, 1)

    def forward(self, samples, labels=None):
        return self.outer(self.inner(samples.flatten(1)).tanh()).squeeze(1)


class Flat(Discriminator):
    """A linear discriminator, whose slope is its weight everywhere."""

    def __init__(self, spec, weight):
        super().__init__(spec)
        self.weight = nn.Parameter(torch.as_tensor(weight))

    def forward(self, samples, labels=None):
        return samples.flatten(1) @ self.weight


def step_on(discriminator, side="discriminator", count=6, **kwargs):
    torch.manual_seed(3)
    spec = discriminator.spec
    data, latents = torch.randn(count, *spec.shape), torch.randn(count, spec.numel)
    return Step(side, Shift(spec), discriminator, data, latents, **kwargs)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PENALTIES)
def test_linear_discriminator_has_the_closed_form(name, way):
    weight = [0.6, -1.2, 0.4]
    step = step_on(Flat(Spec((3,)), weight))
    total, values = step.penalise([(name, create(name))], way)
    wanted = value_at(name, [math.hypot(*weight)])
    assert total.item() == pytest.approx(10 * wanted, rel=1e-5)
    assert values[name].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_value_from_finite_differences(name):
    torch.manual_seed(0)
    discriminator, penalty = Smooth(Spec((4,))).double(), create(name)
    points, width = torch.randn(3, 4, dtype=torch.float64), 1e-5
    with torch.no_grad():
        ahead = [discriminator(points + width * axis) for axis in torch.eye(4).double()]
        behind = [discriminator(points - width * axis) for axis in torch.eye(4).double()]
    slope = (torch.stack(ahead, 1) - torch.stack(behind, 1)) / (2 * width)
    wanted = value_at(name, slope.norm(dim=1).tolist())
    for way in WAYS:
        found = gradient_penalty(
            lambda x: (discriminator(x), ()),
            points,
            lambda g: (penalty.of(g), ()),
            lambda g: None,
            way,
        )
        assert found[0].item() == pytest.approx(wanted, rel=1e-8)


def gradients(loss, net):
    return torch.cat(
        [
            g.flatten()
            for g in torch.autograd.grad(loss, list(net.parameters()), materialize_grads=True)
        ]
    )


@pytest.mark.parametrize("norm", ["none", "layer", "instance", "mlp", "sn"])
@pytest.mark.parametrize("name", PENALTIES)
def test_gradient_equals_double_backward(name, norm):
    """Both ways, against plain torch.autograd.grad, for every per-sample normalisation on offer."""
    torch.manual_seed(1)
    spec, penalty = Spec((2, 9, 12)), create(name)
    if norm == "mlp":
        net = zoo().registry.create("discriminator", "mlp", spec, width=16, depth=2)
    else:
        net = zoo().registry.create(
            "discriminator", "dcgan", spec, width=6, norm="none" if norm == "sn" else norm
        )
    if norm == "sn":
        create("sn").prepare(Shift(spec), net)
    net = net.double()
    with (
        torch.no_grad()
    ):  # DCGAN's small weights make slopes too small to tell a norm from its square
        [p.mul_(5) for p in net.parameters() if p.dim() >= 2]
    x = torch.randn(4, *spec.shape, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    slope = torch.autograd.grad(net(leaf).sum(), leaf, create_graph=True)[0]
    factor = 1.0
    if name == "lgp":  # some of the slopes above one, some below
        factor = 1 / slope.detach().flatten(1).norm(dim=1).mean().item()
        slope = slope * factor
    wanted = gradients(penalty.of(slope), net)
    assert wanted.norm() > 1e-8
    for way in WAYS:
        found = gradient_penalty(
            lambda x: (factor * net(x), ()), x, lambda g: (penalty.of(g), ()), lambda g: None, way
        )
        assert found[0].item() == pytest.approx(penalty.of(slope).item(), rel=1e-5)
        assert (gradients(found[0], net) - wanted).norm() < 1e-5 * wanted.norm()


@pytest.mark.parametrize("name", PENALTIES)
def test_slope_of_zero_has_a_finite_gradient(name):
    slope = torch.zeros(3, 2, 4, requires_grad=True)
    create(name).of(slope).backward()
    assert slope.grad.abs().sum() == 0
    for way in WAYS:
        net = Flat(Spec((3,)), [0.0, 0.0, 0.0])
        total, _ = step_on(net).penalise([(name, create(name))], way)
        assert gradients(total, net).isfinite().all()


def test_each_penalty_looks_where_it_should():
    class Seen(Flat):
        def forward(self, samples, labels=None):
            self.samples = samples
            return super().forward(samples, labels)

    def point(name):
        step = step_on(Flat(Spec((3,)), [1.0, 0.0, 0.0]), count=4000)
        return create(name).point(step), step

    for name, wanted in (("r1", "real"), ("r2", "fake")):
        found, step = point(name)
        assert torch.equal(found, getattr(step, wanted))
    found, step = point("gp")
    way = step.fake - step.real
    mix = (found - step.real) / way.where(way.abs() > 0.01, torch.nan)
    assert (mix - mix.nanmean(1, keepdim=True)).abs().nan_to_num().max() < 1e-3, "one a sample"
    uniform(mix.nanmean(1))
    found, step = point("dragan")
    offset = (found - step.real) / (0.5 * step.real.std())
    assert offset.min() >= 0 and 0.95 < offset.max() <= 1
    # One part of the way u a sample times noise v of each number, both uniform on [0, 1].
    assert offset.mean().item() == pytest.approx(1 / 4, rel=0.05)  # E u E v
    assert offset.square().mean().item() == pytest.approx(1 / 9, rel=0.05)  # E u² E v²
    within = (offset[:, 0] * offset[:, 1]).mean().item()
    assert within == pytest.approx(1 / 12, rel=0.05)  # E u² (E v)²: u is shared, v is not


def uniform(values):
    """Asserts that numbers are spread evenly over [0, 1] (a Kolmogorov-Smirnov distance)."""
    values = values.sort().values
    assert values[0] >= -1e-3 and values[-1] <= 1 + 1e-3
    steps = torch.linspace(0, 1, len(values))
    assert (values - steps).abs().max() < 1.63 / len(values) ** 0.5  # at 1 %


# Constraints


def test_clip_bounds_every_parameter_and_only_those_beyond():
    net = Smooth(Spec((4,)))
    before = copy.deepcopy(net.state_dict())
    create("clip", bound=0.2).after_update(net)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name].clamp(-0.2, 0.2))
    assert any(not torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_l1_and_l2_count_matrices_of_the_net_that_is_updated(side):
    class Scale(Shift):
        def __init__(self, spec):
            super().__init__(spec)
            self.matrix = nn.Parameter(torch.tensor([[2.0, -3.0]]))

    discriminator = Smooth(Spec((4,)))
    step = step_on(discriminator, side=side)
    step.generator = Scale(Spec((4,)))
    weights = {
        "discriminator": [discriminator.inner.weight, discriminator.outer.weight],
        "generator": [step.generator.matrix],
    }[side]
    values = [x for w in weights for x in w.flatten().tolist()]
    l1, l2 = create("l1", side=side), create("l2", side=side)
    assert l1.on(side) and l2.on(side)
    assert l1.penalty(step).item() == pytest.approx(sum(abs(x) for x in values), rel=1e-5)
    assert l2.penalty(step).item() == pytest.approx(sum(x * x for x in values) / 2, rel=1e-5)
    found = torch.autograd.grad(l2.penalty(step), weights[0])[0]
    assert torch.allclose(found, weights[0])  # weight decay


@pytest.mark.parametrize(
    ("progress", "share"), [(0.0, 1.0), (0.2, 0.75), (0.6, 0.25), (0.8, 0.0), (1.0, 0.0)]
)
def test_noise_fades_linearly(progress, share):
    noise = create("noise", std=0.4, until=0.8)
    assert noise.on("discriminator") and noise.on("generator")
    step = step_on(Smooth(Spec((4,))), progress=torch.tensor(progress))
    found = noise.view(torch.zeros(50000), step)
    assert found.std().item() == pytest.approx(0.4 * share, rel=0.02, abs=1e-9)
    assert abs(found.mean().item()) < 0.01
    if share:
        assert not torch.equal(found, noise.view(torch.zeros(50000), step))


# Compiled


PIPELINES = [
    ("minimax", ("r1", "r2"), "double_backward"),
    ("nonsat", ("gp",), "forward_over_reverse"),
    ("lsgan", ("smooth", "l2"), "double_backward"),
    ("wgan", ("dragan",), "double_backward"),
    ("hinge", ("sn", "r1"), "forward_over_reverse"),
    ("rpgan", ("r1", "r2", "noise"), "forward_over_reverse"),
]


@pytest.mark.parametrize(
    ("loss", "names", "way"), PIPELINES, ids=lambda v: v if isinstance(v, str) else "+".join(v)
)
def test_compiles_as_one_graph_and_agrees(loss, names, way):
    torch.manual_seed(2)
    spec = Spec((1, 8, 8))
    adversarial, parts = zoo().registry.create("loss", loss), {name: create(name) for name in names}
    net, generator = (
        zoo().registry.create("discriminator", "dcgan", spec, width=4, norm="layer"),
        Shift(spec),
    )
    [part.prepare(generator, net) for part in parts.values()]
    slopes = [(name, part) for name, part in parts.items() if name in PENALTIES]
    others = [part for name, part in parts.items() if name not in PENALTIES]

    def terms(data, latents, progress):
        step = Step(
            "discriminator",
            generator,
            net,
            data,
            latents,
            views=[p.view for p in others],
            progress=progress,
        )
        penalties, _ = step.penalise(slopes, way)
        total = adversarial.discriminator(step) + penalties
        for part in others:
            penalty = part.penalty(step)
            total = total if penalty is None else total + part.scale(progress) * penalty
        return total

    data, latents = torch.randn(5, 1, 8, 8), torch.randn(5, 64)
    found = []
    for function in (terms, torch.compile(terms, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(7)
        value = function(data, latents, torch.tensor(0.1))
        found.append((value.item(), gradients(value, net)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert (found[0][1] - found[1][1]).norm() < 1e-4 * found[0][1].norm()


SLOPE = {"weight": 10.0, "every": 1, "through": True}


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("gp", SLOPE),  # lambda of Gulrajani et al. 2017
        ("dragan", SLOPE),
        ("r1", SLOPE),
        ("r2", SLOPE),
        ("lgp", SLOPE),
        ("maxgp", SLOPE),
        ("clip", {"bound": 0.01, "side": "discriminator"}),  # Arjovsky et al. 2017
        ("l1", {"weight": 1e-5, "every": 1, "side": "discriminator"}),
        ("l2", {"weight": 1e-4, "every": 1, "side": "discriminator"}),
        ("sn", {"side": "discriminator"}),
        ("smooth", {"target": 0.9}),  # Salimans et al. 2016
        ("noise", {"std": 0.1, "until": 0.5, "side": "both"}),
    ],
)
def test_defaults_are_those_of_the_papers(name, defaults):
    """Of the class itself too, which may be made without the registry; no option is lost."""
    made = create(name)
    own = type(made)()
    assert {key: getattr(made, key) for key in defaults} == defaults
    assert {key: getattr(own, key) for key in defaults} == defaults
    if "weight" in defaults:
        given = {key: {"weight": 3.0, "every": 2}.get(key) for key in defaults}
        given |= {"through": False} if "through" in defaults else {"side": "both"}
        other = type(made)(**given)
        assert {key: getattr(other, key) for key in defaults} == given
