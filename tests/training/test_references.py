"""Whole trainings, nets and averages against plain
torch that shares no line with ganzoo (`by_hand.py`).
"""

import copy
import math

import by_hand
import pytest
import torch
from parts.conditional import LabelledGenerator, ProjectionDiscriminator
from test_dirac import FORCES, PULLS, Line, Point
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Batch, Dataset, Spec
from ganzoo.engine.average import Average
from ganzoo.engine.engine import Engine
from ganzoo.engine.losses import Parts
from ganzoo.training.loop import Training

STREAM = torch.Generator().manual_seed(5)
PICTURES = torch.randint(0, 256, (50, 2, 16, 16), generator=STREAM, dtype=torch.uint8)
SMALL = torch.randint(0, 256, (50, 1, 6, 7), generator=STREAM, dtype=torch.uint8)
CLASSES = torch.arange(50) % 3
RING = torch.randn(60, 2, generator=STREAM)
# In float64 no rectifier's input is so near zero that rounding decides; only "small" is as stored.
DATA = {
    "pictures": (PICTURES.double() / 127.5 - 1, None),
    "small": (SMALL, CLASSES),
    "plane": (RING.double(), None),
}

PLAIN = {  # what a configuration below does not change; the keys are those of by_hand.Hand
    "seed": 3,
    "loss": "nonsat",
    "batch": 16,
    "n_critic": 1,
    "latent": 5,
    "flip": False,
    "noise": 0.0,
    "slopes": {},
    "smooth": 0.0,
    "l2": 0.0,
    "bound": 0.0,
    "clip": (0.0, 0.0),
    "half_life": 200,
    "schedule": {"critic": "constant", "maker": "constant"},
    "nets": "mlp",
    "norm": "none",
    "data": "plane",
    "updates": 12,
    "optimizer": ("adam", {"lr": 1e-3, "betas": (0.5, 0.9), "eps": 1e-4}),
}
CASES = {
    "the mission's": {
        "nets": "dcgan",
        "norm": "layer",
        "data": "pictures",
        "slopes": {"gp": (10.0, 10.0, 1)},
    },
    "everything at once": {
        "nets": "labelled",
        "data": "small",
        "n_critic": 2,
        "slopes": {"r1": (4.0, 4.0, 3)},
        "clip": (0.5, 0.02),
        "schedule": {"critic": "cosine", "maker": "cosine"},
        "flip": True,
        "seed": 11,
        "half_life": 100,
    },
    "clipped weights": {
        "loss": "wgan",
        "n_critic": 5,
        "bound": 0.05,
        "optimizer": ("rmsprop", {"lr": 1e-3, "alpha": 0.9, "eps": 1e-4}),
        "half_life": 0,
    },
    "relativistic, penalties that fall": {
        "loss": "rpgan",
        "slopes": {"r1": (1.0, 0.1, 1), "r2": (1.0, 0.2, 2)},
        "schedule": {"critic": "linear", "maker": "cosine"},
        "seed": 4,
    },
    "least squares, smoothed and noisy": {
        "loss": "lsgan",
        "smooth": 0.8,
        "noise": 0.3,
        "optimizer": (
            "adamw",
            {"lr": 1e-3, "betas": (0.6, 0.99), "eps": 1e-4, "weight_decay": 0.1},
        ),
    },
    "hinge and weight decay": {
        "loss": "hinge",
        "l2": 0.05,
        "n_critic": 2,
        "clip": (0.1, 0.0),
        "optimizer": ("sgd", {"lr": 0.05, "momentum": 0.8}),
        "schedule": {"critic": "constant", "maker": "linear"},
    },
    "minimax around the data": {
        "loss": "minimax",
        "slopes": {"dragan": (3.0, 3.0, 2)},
        "optimizer": ("adagrad", {"lr": 0.01, "eps": 1e-4}),
        "batch": 25,
    },
    "batch norm, mirrored": {
        "nets": "dcgan",
        "norm": "batch",
        "data": "pictures",
        "flip": True,
        "n_critic": 2,
        "clip": (0.0, 0.01),
        "schedule": {"critic": "cosine", "maker": "constant"},
        "half_life": 40,
    },
}
OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
}


def settings(case):
    """A case as a configuration of ganzoo."""
    name, options = case["optimizer"]
    largest, entry = case["clip"]
    clips = {"name": name, "clip_norm": largest, "clip_value": entry, **options}
    regs = {
        slope: {"weight": {"from": first, "to": last, "shape": "cosine"}, "every": every}
        for slope, (first, last, every) in case["slopes"].items()
    }
    regs |= {"smooth": {"target": case["smooth"]}} if case["smooth"] else {}
    regs |= {"noise": {"std": case["noise"], "until": 0.5}} if case["noise"] else {}
    regs |= {"l2": {"weight": case["l2"]}} if case["l2"] else {}
    regs |= {"clip": {"bound": case["bound"]}} if case["bound"] else {}
    nets = {
        "mlp": ({"name": "mlp", "width": 20, "depth": 2}, {"name": "mlp", "width": 24, "depth": 2}),
        "dcgan": (
            {"name": "dcgan", "width": 6},
            {"name": "dcgan", "width": 4, "norm": case["norm"]},
        ),
        "labelled": ({"name": "labelled", "width": 20}, {"name": "projection", "width": 24}),
    }[case["nets"]]
    return {
        "gen": {**nets[0], "latent_dim": case["latent"]},
        "disc": nets[1],
        "loss": {"name": case["loss"]},
        "reg": regs,
        "optim": {
            "gen": {**clips, "schedule": case["schedule"]["maker"]},
            "disc": {**clips, "schedule": case["schedule"]["critic"]},
        },
        "data": {"name": "given", "flip": case["flip"]},
        "train": {
            "batch_size": case["batch"],
            "n_critic": case["n_critic"],
            "images": case["updates"] * case["batch"] * case["n_critic"],
            "seed": case["seed"],
            "device": "cpu",
            "engine": "eager",
            "precision": "fp32",
        },
        "average": {"half_life": case["half_life"]},
    }


def pipeline_of(case):
    samples, labels = DATA[case["data"]]
    classes = () if labels is None else ("a", "b", "c")
    given = Dataset(samples.clone(), labels, classes)
    extra = [
        Component("dataset", "given", lambda: given, "tests", "tests", "0"),
        Component("generator", "labelled", LabelledGenerator, "tests", "tests", "0"),
        Component("discriminator", "projection", ProjectionDiscriminator, "tests", "tests", "0"),
    ]
    tree = configuration.merge({**configuration.defaults(), "reg": {}}, settings(case))
    registry = Registry([*zoo().registry.components(), *extra])
    return assemble(configuration.check(tree), registry)


def nets_by_hand(case):
    """Plain nets of the same shape, with weights of their own."""
    shape = tuple(DATA[case["data"]][0].shape[1:])
    inputs, latent = math.prod(shape), case["latent"]
    if case["nets"] == "dcgan":
        maker = by_hand.ConvMaker(latent, 6, shape[0], shape[1])
        return maker, by_hand.ConvCritic(4, shape[0], shape[1], case["norm"])
    if case["nets"] == "labelled":
        maker = by_hand.LabelledMaker(latent, 20, 3, shape)
        return maker, by_hand.Projection(inputs, 24, 3)
    points = DATA[case["data"]][0]
    maker = by_hand.Points([latent, 20, 20, inputs], points, shape)
    return maker, by_hand.Points([inputs, 24, 24, 1], points)


def flat(net):
    """All weights and floating buffers as one vector."""
    return torch.cat([t.detach().flatten() for t in net.state_dict().values()]).double()


@pytest.fixture
def precise():
    """`precise()`: everything that is made without a type is float64."""
    before = torch.get_default_dtype()
    yield lambda: torch.set_default_dtype(torch.float64)
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", CASES)
def test_training_by_hand(name, precise):
    """Twelve updates of each net: weights, buffers and the average."""
    case, close = PLAIN | CASES[name], 1e-6
    if case["data"] != "small":
        precise()
        close = 1e-10
    pipeline = pipeline_of(case)
    parts = pipeline.parts
    made = nets_by_hand(case)
    maker = by_hand.copied(made[0], parts.generator)
    critic = by_hand.copied(made[1], parts.discriminator)
    kind, options = case["optimizer"]
    optimizers = {
        side: OPTIMIZERS[kind](net.parameters(), **options)
        for side, net in (("critic", critic), ("maker", maker))
    }
    data, labels = DATA[case["data"]]
    given = {**case, "images": pipeline.config.train.images}
    hand = by_hand.Hand(maker, critic, optimizers, data, labels, given)
    before = flat(maker), flat(critic)
    Training(pipeline).run()
    hand.run()
    for net, start, theirs in (
        (maker, before[0], parts.generator),
        (critic, before[1], parts.discriminator),
        (hand.average, before[0], pipeline.average.net),
    ):
        found = flat(by_hand.copied(copy.deepcopy(net), theirs))
        assert torch.dist(flat(net), start) > 1e-3 * start.norm()  # it has learnt something
        assert (found - flat(net)).abs().max() < close
    assert len(hand.losses) == case["updates"] * (1 + case["n_critic"])
    average = pipeline.average.net
    assert not average.training and not any(p.requires_grad for p in average.parameters())


# Nets


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "none"])
@pytest.mark.parametrize(("size", "channels"), [(16, 1), (64, 3)])
def test_dcgan_is_that_of_pytorch_examples(norm, size, channels):
    """Outputs and gradients in float64, by copied weights."""
    torch.manual_seed(0)
    create, spec = zoo().registry.create, Spec((channels, size, size))
    ours = (
        create("generator", "dcgan", spec, width=4),
        create("discriminator", "dcgan", spec, width=4, norm=norm),
    )
    for net in ours:
        net.double()
        for p in net.parameters():
            nn.init.normal_(p, float(p.dim() == 1), 0.2)
    theirs = (
        by_hand.copied(by_hand.ConvMaker(100, 4, channels, size).double(), ours[0]),
        by_hand.copied(by_hand.ConvCritic(4, channels, size, norm).double(), ours[1]),
    )
    z = torch.randn(5, 100, dtype=torch.float64)
    found = []
    for maker, critic in (ours, theirs):
        samples = maker(z)
        logits = critic(samples)
        nets = [*maker.parameters(), *critic.parameters()]
        gradients = torch.autograd.grad(logits.square().sum(), nets)
        found.append((samples, logits, *gradients))
    for one, other in zip(*found, strict=True):
        if one.dim() == 2 and other.dim() == 4 and other.shape[0] != 1:
            one = one.t()
        torch.testing.assert_close(one.reshape(other.shape), other, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours[0].eval()(z), theirs[0].eval()(z), rtol=1e-9, atol=1e-9)


def test_spectral_norm_is_torchs_over_moving_weights():
    """Outputs and gradients, with torch's power iteration in its forward pass, over 30 updates."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ConvTranspose2d(6, 4, 2), nn.Linear(7, 3)).double()
    theirs = copy.deepcopy(ours)
    for layer in theirs:
        torch.nn.utils.parametrizations.spectral_norm(layer)
    sn = zoo().registry.create("regularizer", "sn")
    sn.prepare(nn.Identity(), ours)
    for mine, other in zip(ours, theirs, strict=True):
        power = other.parametrizations.weight[0]
        mine.parametrizations.weight[0].u.copy_(power._u)
        mine.parametrizations.weight[0].v.copy_(power._v)
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.5) for net in (ours, theirs)]
    x = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    for _ in range(30):
        sn.after_update(ours)  # torch's forward pass iterates first
        found = []
        for net, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            y = net(x)
            (y - 1).square().mean().backward()
            found.append((y, *(p.grad.clone() for p in net.parameters())))
            optimizer.step()
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


# The average


@pytest.mark.parametrize("half_life", [0, 64, 10_000])
def test_average_is_its_formula(half_life):
    """A share 2^(-batch / h) stays, with h the
    half-life, early on a twentieth of the images so far.
    """
    net, batch, wanted, images = nn.BatchNorm1d(1, affine=False), 32, 0.0, 0
    average = Average(net, half_life)
    for value in range(1, 40):
        images += batch
        net.running_mean.fill_(value)
        net.num_batches_tracked.fill_(value)
        average.update(net, batch, images)
        horizon = min(half_life, images / 20)
        share = 2 ** (-batch / horizon) if horizon else 0.0
        wanted = share * wanted + (1 - share) * value
        assert average.net.running_mean.item() == pytest.approx(wanted, rel=1e-5)
        assert average.net.num_batches_tracked.item() == value
    if half_life == 64:  # where the ramp is over, half a step is forgotten in 64 images
        assert average.keep(64, 10**6) == pytest.approx(0.5)
        assert average.keep(1, 10) == pytest.approx(0.25)  # half an image is the half-life there


# Dirac-GAN through the engine


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(("loss", "name"), [("nonsat", "r1"), ("minimax", "r2"), ("rpgan", "r1")])
def test_dirac_gan_through_the_engine(loss, name, every):
    """Alternating updates, penalties lazy or not: the
    trajectory of the closed form, which converges.
    """
    theta, psi, rate, weight = 1.0, -0.5, 0.1, 0.8
    registry, spec = zoo().registry, Spec((1,))
    regularizer = registry.create("regularizer", name, weight=weight, every=every)
    parts = Parts(Point(theta), Line(psi), registry.create("loss", loss), {name: regularizer}, {})
    optimizers = {
        side: torch.optim.SGD(parts.net(side).parameters(), lr=rate)
        for side in ("discriminator", "generator")
    }
    clips = dict.fromkeys(optimizers, (0.0, 0.0))
    engine = Engine(parts, optimizers, clips, "eager", torch.zeros(()))
    data, latents = torch.zeros(2, *spec.shape), torch.zeros(2, 1)
    for number in range(200):
        engine.update("discriminator", Batch(data), latents, number)
        engine.update("generator", Batch(data), latents, number)
        pull = weight * every * PULLS[name](psi) if number % every == 0 else 0.0
        psi += rate * (FORCES[loss](theta, psi)[1] + pull)
        theta += rate * FORCES[loss](theta, psi)[0]
        assert parts.generator.theta.item() == pytest.approx(theta, abs=1e-5)
        assert parts.discriminator.psi.item() == pytest.approx(psi, abs=1e-5)
    assert math.hypot(theta, psi) < 0.2
