"""Discriminators that give maps of logits, or several: losses, penalties and figures take them."""

import copy

import pytest
import torch
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Batch, Dataset, Discriminator, Generator, GradientPenalty, Spec, Step
from ganzoo.contracts.step import as_judges, mean_of
from ganzoo.engine.engine import compiled
from ganzoo.engine.losses import Parts, losses
from ganzoo.errors import BrokenPlugin
from ganzoo.testing import findings
from ganzoo.training.loop import Training

SPEC = Spec((1, 8, 8))
LOSSES = [c.name for c in zoo().registry.components("loss") if not c.load().conditional]
PENALTIES = [
    c.name
    for c in zoo().registry.components("regularizer")
    if isinstance(c.create(), GradientPenalty) and c.create().judges
]


class Patches(Discriminator):
    """A map of logits at each of two scales."""

    modalities = ("image",)
    kinds = 2

    def __init__(self, spec):
        super().__init__(spec)
        self.scales = nn.ModuleList(
            nn.Sequential(nn.Conv2d(spec.shape[0], 6, 3, 2, 1), nn.ELU(), nn.Conv2d(6, 1, 3, 1, 1))
            for _ in range(self.kinds)
        )

    def features(self, samples):
        return [samples, nn.functional.avg_pool2d(samples, 2)][: self.kinds]

    def score(self, features, labels=None):
        found = [scale(x) for scale, x in zip(self.scales, features, strict=True)]
        return found if self.kinds > 1 else found[0]


class Patch(Patches):
    """One map of logits."""

    kinds = 1


class Shift(Generator):
    """Latents as samples, moved a little."""

    def __init__(self, spec, *, latent_dim: int = 64):
        super().__init__(spec, latent_dim=latent_dim)
        self.shift = nn.Parameter(torch.full((spec.numel,), 0.1))

    def forward(self, latents, labels=None):
        return (latents + self.shift).view(-1, *self.spec.shape)


def given():
    torch.manual_seed(0)
    return Shift(SPEC).double(), Patches(SPEC).double(), torch.randn(2, 5, 64).double()


def parts_of(generator, discriminator, loss, *penalties):
    create = zoo().registry.create
    made = {name: create("regularizer", name) for name in penalties}
    return Parts(generator, discriminator, create("loss", loss), made, {})


@pytest.mark.parametrize("side", ["discriminator", "generator"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_that_of_each_judge_s_patches_averaged_over_judges(loss, side):
    generator, discriminator, (data, latents) = given()
    create = zoo().registry.create

    class Given(Step):
        """The logits of one judge as they are."""

        real_logits = fake_logits = None

    real = discriminator(data.view(5, 1, 8, 8))
    fake = discriminator(generator(latents))
    values = []
    for k in range(2):
        one = Given(side, generator, discriminator, data, latents)
        one.real_logits, one.fake_logits = real[k].flatten(1), fake[k].flatten(1)
        values.append(getattr(create("loss", loss), side)(one))
    compute = losses(parts_of(generator, discriminator, loss), side)
    pictures = data.view(5, 1, 8, 8)
    total, _, _, judged = compute(Batch(pictures), latents, torch.zeros(()), ())
    assert total.item() == pytest.approx(sum(values).item() / 2, rel=1e-12)
    if side == "discriminator":
        for verdict, logits in zip(judged[:2], (real, fake), strict=True):
            wanted = (logits[0].mean((1, 2, 3)) + logits[1].mean((1, 2, 3))) / 2
            assert torch.allclose(verdict, wanted) and verdict.shape == (5,)


@pytest.mark.parametrize("way", ["double_backward", "forward_over_reverse"])
@pytest.mark.parametrize("name", PENALTIES)
def test_a_gradient_penalty_climbs_the_mean_of_each_sample(name, way):
    generator, discriminator, (data, latents) = given()
    penalty = zoo().registry.create("regularizer", name)
    step = Step("discriminator", generator, discriminator, data.view(5, 1, 8, 8), latents)
    torch.manual_seed(4)
    total, values = step.penalise([(name, penalty)], way)
    torch.manual_seed(4)
    again = Step("discriminator", generator, discriminator, data.view(5, 1, 8, 8), latents)
    point = penalty.point(again).detach().requires_grad_()
    height = mean_of(as_judges(discriminator(point)))
    slope = torch.autograd.grad(height.sum(), point, create_graph=True)[0]
    wanted = penalty.of(slope)
    assert values[name].item() == pytest.approx(wanted.item(), rel=1e-9)
    found = torch.autograd.grad(total, list(discriminator.parameters()), materialize_grads=True)
    plain = torch.autograd.grad(
        penalty.weight * wanted, list(discriminator.parameters()), materialize_grads=True
    )
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-12)
    assert torch.equal(step.real_logits, joined(discriminator(data.view(5, 1, 8, 8))))


def joined(logits):
    return torch.cat([one.flatten(1) for one in logits], 1)


def test_the_net_is_called_once_for_all_judges():
    generator, discriminator, (data, latents) = given()
    calls = []
    discriminator.register_forward_hook(lambda *_: calls.append("forward"))
    plain = discriminator.features
    discriminator.features = lambda samples: calls.append(len(samples)) or plain(samples)
    step = Step("generator", generator, discriminator, data.view(5, 1, 8, 8), latents)
    shapes = [(one.real_logits.shape, one.fake_logits.shape) for one in step.judges]
    assert shapes == [((5, 16), (5, 16)), ((5, 4), (5, 4))] and calls == [5, 5]
    assert step.real_logits.shape == (5, 20)


def compiled_case(loss):
    """One loss that sees real and fake apart, one of their pairs; the others are slow."""
    return pytest.param(loss, marks=[] if loss in ("nonsat", "rpgan") else [pytest.mark.slow])


@pytest.mark.parametrize("loss", list(map(compiled_case, LOSSES)))
def test_compiles_as_one_graph_and_agrees(loss):
    """The slopes, which no loss knows of, beside one of them."""
    generator, discriminator, (data, latents) = given()
    slopes = ("r1", "gp") if loss == "nonsat" else ()
    parts = parts_of(generator, discriminator, loss, *slopes)
    for side in ("discriminator", "generator"):
        found = []
        plain = losses(parts, side)
        due = slopes if side == "discriminator" else ()
        for compute in (plain, compiled(plain, "aot_eager")):
            torch.manual_seed(3)
            total = compute(Batch(data.view(5, 1, 8, 8)), latents, torch.zeros(()), due)[0]
            weights = list(parts.net(side).parameters())
            found.append(torch.autograd.grad(total, weights, materialize_grads=True))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


STREAM = torch.Generator().manual_seed(0)
FEW = Dataset(torch.randint(0, 256, (32, 1, 16, 16), generator=STREAM, dtype=torch.uint8))
REGISTRY = Registry(
    [
        *zoo().registry.components(),
        Component("dataset", "few", lambda: FEW, "tests", "tests", "0"),
        Component("discriminator", "pixels", Patch, "tests", "tests", "0"),
        Component("discriminator", "patches", Patches, "tests", "tests", "0"),
    ]
)


def assembled(disc, **more):
    tree = {
        "gen": {"name": "dcgan", "width": 4, "latent_dim": 4},
        "disc": {"name": disc},
        "data": {"name": "few"},
        "train": {"images": 32, "batch_size": 8, "device": "cpu", "engine": "eager"},
        "samples": {"count": 4},
        "log": {"images": 8},
    }
    whole = configuration.merge(configuration.defaults(), tree)
    return assemble(configuration.check(configuration.merge(whole, more)), REGISTRY)


@pytest.mark.parametrize("disc", ["pixels", "patches"])
def test_trains_with_health_and_every_penalty(disc):
    reg = {name: {} for name in PENALTIES} | {"sn": {}, "noise": {}}
    pipeline = assembled(disc, loss={"name": "rpgan"}, reg=reg)
    before = copy.deepcopy(pipeline.parts.discriminator.state_dict())
    training = Training(pipeline)
    lines = []
    training.tell = lines.append
    training.run()
    assert training.images == 32
    after = pipeline.parts.discriminator.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(changed) >= 4 and all(v.isfinite().all() for v in after.values())


def test_logits_that_are_none_are_a_line():
    class Wrong(Patches):
        def score(self, features, labels=None):
            return [*super().score(features), "high"]

    registry = Registry(
        [*REGISTRY.components(), Component("discriminator", "wrong", Wrong, "tests", "tests", "0")]
    )
    tree = {
        "gen": {"name": "dcgan", "width": 4},
        "disc": {"name": "wrong"},
        "data": {"name": "few"},
        "train": {"batch_size": 8, "device": "cpu"},
    }
    config = configuration.check(configuration.merge(configuration.defaults(), tree))
    with pytest.raises(BrokenPlugin, match="gives a str, not a tensor"):
        assemble(config, registry)


@pytest.mark.parametrize("disc", [Patch, Patches])
def test_the_kit_takes_them(disc):
    component = Component("discriminator", "pixels", disc, "tests", "tests", "0")
    specs = [Spec((1, 16, 16), 3), Spec((3, 16, 24), 3)]
    bad = [f for f in findings(component, specs=specs) if f.outcome == "does not hold"]
    assert {f.check for f in bad} <= {"described"}, bad
