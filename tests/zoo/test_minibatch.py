"""Minibatch discrimination and dropout of the small discriminators: the paper's equation, what a
logit then depends on, and how an update with them compiles.
"""

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.nn import MinibatchDiscrimination

NETS = ("mlp", "dcgan")


def net(name, **options):
    torch.manual_seed(0)
    return zoo().registry.create("discriminator", name, Spec((1, 8, 8)), width=6, **options)


def test_it_is_salimans_equation():
    torch.manual_seed(1)
    layer = MinibatchDiscrimination(4, 3, size=2).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    found = layer(x)
    kernels = (x @ layer.project.weight.T).view(5, 3, 2)  # M: [n, B, C]
    for i in range(5):
        for b in range(3):
            wanted = sum(
                (-(kernels[i, b] - kernels[j, b]).abs().sum()).exp().item() for j in range(5)
            )
            assert found[i, 4 + b].item() == pytest.approx(wanted, rel=1e-12)
    assert torch.equal(found[:, :4], x)
    assert torch.autograd.gradcheck(layer, x.requires_grad_())


def test_equal_samples_are_as_close_as_can_be():
    layer = MinibatchDiscrimination(4, 3).double()
    same = torch.randn(1, 4, dtype=torch.float64).expand(6, 4)
    assert torch.equal(layer(same)[:, 4:], torch.full((6, 3), 6.0, dtype=torch.float64))
    assert (layer(100 * torch.randn(6, 4, dtype=torch.float64))[:, 4:] < 6).all()


@pytest.mark.parametrize("name", NETS)
def test_it_adds_its_parameters_and_mixes_the_batch(name):
    options = {"norm": "none"} if name == "dcgan" else {}
    plain, comparing = net(name, **options), net(name, minibatch=7, **options)
    features = plain.features(torch.zeros(1, 1, 8, 8)).shape[1]
    counts = [sum(p.numel() for p in each.parameters()) for each in (plain, comparing)]
    assert counts[1] - counts[0] == features * 7 * 5 + 7  # T, and one weight more for each
    assert plain.per_sample and not comparing.per_sample
    assert comparing.adapts["per_sample"]["minibatch"] == 0
    x = torch.rand(4, 1, 8, 8)
    others = torch.cat([x[:1], 3 * x[1:]])
    assert torch.allclose(plain(x)[0], plain(others)[0])
    with torch.no_grad():
        for parameter in comparing.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    assert not torch.allclose(comparing(x)[0], comparing(others)[0])


@pytest.mark.parametrize("name", NETS)
def test_dropout_is_of_the_pass_and_keeps_the_mean(name):
    options = {"norm": "none"} if name == "dcgan" else {"depth": 1}
    plain, dropping = net(name, **options), net(name, dropout=0.4, **options)
    assert [p.shape for p in plain.parameters()] == [p.shape for p in dropping.parameters()]
    x = torch.rand(2, 1, 8, 8)
    assert not torch.equal(dropping(x), dropping(x))
    torch.manual_seed(3)
    first = dropping(x)
    torch.manual_seed(3)
    assert torch.equal(first, dropping(x))
    features = dropping.features(x.expand(2, 1, 8, 8))
    share = (features == 0).float().mean().item()
    assert 0 < share < 1 and plain.features(x).ne(0).all()
    zeros = torch.stack([dropping.features(x) == 0 for _ in range(200)]).float().mean().item()
    assert zeros == pytest.approx(0.4, abs=0.05)


def test_a_slope_penalty_takes_it_away_unless_one_insists():
    def assembled(**disc):
        tree = configuration.defaults()
        layer = {"disc": {"width": 4, **disc}, "gen": {"width": 4}, "reg": {"r1": {}}}
        tree = configuration.merge(tree, layer)
        return assemble(configuration.check(tree), zoo().registry)

    assert assembled().parts.discriminator.per_sample
    kept = assembled(minibatch=3)
    assert not kept.parts.discriminator.per_sample
    assert any("as you insist" in note for note in kept.notes)


@pytest.mark.parametrize("name", NETS)
def test_an_update_compiles_as_one_graph(name):
    judge = net(name, dropout=0.2, minibatch=3)

    def total(x):
        return judge(x).square().sum()

    x = torch.rand(4, 1, 8, 8)
    compiled = torch.compile(total, fullgraph=True, dynamic=False, backend="aot_eager")
    found = []
    for function in (total, compiled):
        judge.zero_grad()
        torch.manual_seed(4)
        function(x).backward()
        found.append([p.grad.clone() for p in judge.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
