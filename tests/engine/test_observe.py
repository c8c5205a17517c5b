"""Nets whose buffers move: in `observe`, once an update of theirs, with every engine and resume."""

import copy

import pytest
import torch
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Dataset, Discriminator, Generator
from ganzoo.errors import BrokenPlugin
from ganzoo.testing import findings
from ganzoo.training.loop import Training

STREAM = torch.Generator().manual_seed(0)
FEW = Dataset(torch.randint(0, 256, (32, 1, 8, 8), generator=STREAM, dtype=torch.uint8))


class Mapped(Generator):
    """Keeps the mean of its w, beside a batch norm."""

    def __init__(self, spec, *, latent_dim: int = 6):
        super().__init__(spec, latent_dim=latent_dim)
        self.mapping = nn.Linear(latent_dim, 8)
        self.norm, self.draw = nn.BatchNorm1d(8), nn.Linear(8, spec.numel)
        self.register_buffer("w_avg", torch.zeros(8))
        self.register_buffer("seen", torch.zeros(()))

    def observe(self, latents, labels=None):
        self.seen += len(latents)
        self.w_avg.lerp_(self.mapping(latents).mean(0), 0.1)

    def forward(self, latents, labels=None):
        samples = self.draw(self.norm(self.mapping(latents)).relu())
        return samples.tanh().view(-1, *self.spec.shape)


class Centred(Discriminator):
    """Judges samples from the mean of the real ones."""

    def __init__(self, spec):
        super().__init__(spec)
        self.judge = nn.Linear(spec.numel, 1)
        self.register_buffer("mean", torch.zeros(spec.numel))
        self.register_buffer("seen", torch.zeros(()))

    def observe(self, samples, labels=None):
        assert not torch.is_grad_enabled()
        self.seen += len(samples)
        self.mean.lerp_(samples.flatten(1).mean(0), 0.1)

    def forward(self, samples, labels=None):
        return self.judge(samples.flatten(1) - self.mean).squeeze(1)


REGISTRY = Registry(
    [
        *zoo().registry.components(),
        Component("dataset", "few", lambda: FEW, "tests", "tests", "0"),
        Component("generator", "mapped", Mapped, "tests", "tests", "0"),
        Component("discriminator", "centred", Centred, "tests", "tests", "0"),
    ]
)


def training(engine="eager", images=64, seed=0):
    tree = {
        "gen": {"name": "mapped"},
        "disc": {"name": "centred"},
        "reg": {"r1": {"every": 2}, "gp": {}},
        "data": {"name": "few"},
        "train": {
            "images": images,
            "batch_size": 8,
            "n_critic": 2,
            "device": "cpu",
            "engine": engine,
            "seed": seed,
        },
        "samples": {"count": 4},
        "log": {"images": 8},
    }
    whole = configuration.merge(configuration.defaults(), tree)
    return Training(assemble(configuration.check(whole), REGISTRY))


@pytest.mark.parametrize("engine", ["eager", "compiled"])
def test_each_net_observes_its_own_updates_once(engine):
    run = training(engine)
    run.run()
    parts = run.pipeline.parts
    assert parts.discriminator.seen == 64 and parts.generator.seen == 32
    assert parts.generator.w_avg.abs().sum() > 0 and parts.generator.norm.num_batches_tracked > 0
    assert parts.discriminator.mean.abs().sum() > 0


def test_what_moved_is_resumed_and_sampled_from():
    whole, half, rest = training(), training(), training()
    whole.run()
    half.goal = 32
    half.run()
    rest.load_state_dict(copy.deepcopy(half.state_dict()))
    rest.run()
    for side in ("generator", "discriminator"):
        a, b = (getattr(t.pipeline.parts, side).state_dict() for t in (whole, rest))
        assert all(torch.equal(a[name], b[name]) for name in a), side
    assert torch.equal(whole.pipeline.average.net.w_avg, rest.pipeline.average.net.w_avg)


class Broken(Mapped):
    """Reads in `observe` what it does not have."""

    def observe(self, latents, labels=None):
        self.w_avg.lerp_(self.maping(latents).mean(0), 0.1)


def test_one_that_fails_is_a_line_before_the_training():
    broken = Component("generator", "broken", Broken, "tests", "tests", "0")
    tree = {
        "gen": {"name": "broken"},
        "disc": {"name": "centred"},
        "data": {"name": "few"},
        "train": {"batch_size": 8, "device": "cpu"},
    }
    config = configuration.check(configuration.merge(configuration.defaults(), tree))
    with pytest.raises(BrokenPlugin, match=r"gen of tests:tests fails .*maping"):
        assemble(config, Registry([*REGISTRY.components(), broken]))


def test_the_kit_takes_one():
    mapped = next(c for c in REGISTRY.components("generator") if c.name == "mapped")
    bad = [f for f in findings(mapped, measure=False) if f.outcome == "does not hold"]
    assert {f.check for f in bad} <= {"described"}, bad
