"""What a net holds frozen (requires_grad False) stays as it is, whatever is laid on the net."""

import pytest
import torch
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components import loading as plugins
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Discriminator, Generator
from ganzoo.training.loop import Training


class Backed(Discriminator):
    """Judges by features of a layer that was learnt elsewhere."""

    def __init__(self, spec):
        super().__init__(spec)
        self.back = nn.Linear(spec.numel, 16).requires_grad_(False)
        self.judge = nn.Linear(16, 1)

    def features(self, samples):
        return self.back(samples.flatten(1)).relu()

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class Finished(Generator):
    """Draws through a last layer that was learnt elsewhere."""

    partner = "backed"

    def __init__(self, spec):
        super().__init__(spec, latent_dim=4)
        self.inner = nn.Linear(4, 16)
        self.back = nn.Linear(16, spec.numel).requires_grad_(False)

    def forward(self, latents, labels=None):
        return self.back(self.inner(latents).relu()).view(-1, *self.spec.shape)


@pytest.fixture(scope="module")
def registry():
    mine = [("generator", "finished", Finished), ("discriminator", "backed", Backed)]
    return Registry(
        [
            *plugins.zoo().registry.components(),
            *(Component(kind, name, part, "own", "tests", "0") for kind, name, part in mine),
        ]
    )


LAID = {
    "as it is": {},
    "drawn anew": {"gen": {"init": "orthogonal"}, "disc": {"init": "xavier"}},
    "clipped": {"reg": {"clip": {"bound": 0.001, "side": "both"}}},
    "decayed": {"reg": {"l1": {"weight": 1.0, "side": "both"}, "l2": {"side": "both"}}},
    "bounded": {"reg": {"sn": {"side": "both"}, "gp": {}}},
}


def trained(registry, laid):
    tree = configuration.merge(
        configuration.defaults(),
        {
            "gen": {"name": "finished"},
            "data": {"name": "ring"},
            "train": {"images": 96, "batch_size": 32, "device": "cpu", "engine": "eager"},
            "average": {"half_life": 10},
        },
    )
    pipeline = assemble(configuration.check(configuration.merge(tree, laid)), registry)
    training = Training(pipeline)
    training.run()
    return pipeline


@pytest.mark.parametrize("laid", LAID)
def test_frozen_weights_keep_their_values_and_stay_frozen(laid, registry):
    # With "auto" and without a regularizer, a net keeps the weights that it is built with.
    start, end = (trained(registry, LAID[name]).parts for name in ("as it is", laid))
    for side in ("generator", "discriminator"):
        was, now = start.net(side), end.net(side)
        for name in ("weight", "bias"):
            parameter = getattr(now.back, name)
            assert isinstance(parameter, nn.Parameter) and not parameter.requires_grad
            assert torch.equal(parameter, getattr(was.back, name))
        for p in now.parameters():
            assert p.requires_grad != any(p is q for q in now.back.parameters())


def test_the_average_holds_them_too(registry):
    pipeline = trained(registry, {})
    live, averaged = pipeline.parts.generator.back, pipeline.average.net.back
    assert torch.equal(live.weight, averaged.weight) and torch.equal(live.bias, averaged.bias)


def test_optimizers_are_given_what_is_trained_only(registry):
    pipeline = trained(registry, {})
    for side, optimizer in pipeline.optimizers.items():
        given = [p for group in optimizer.param_groups for p in group["params"]]
        assert all(p.requires_grad for p in given)
        assert len(given) == len(
            [p for p in pipeline.parts.net(side).parameters() if p.requires_grad]
        )
