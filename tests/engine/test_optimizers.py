"""Optimizers: each moves weights as PyTorch's plain loop does, and its rate can become a tensor."""

import copy

import pytest
import torch
from torch import nn

from ganzoo.components.loading import zoo
from ganzoo.errors import BadOption

PLAIN = {
    "adam": (
        torch.optim.Adam,
        {"lr": 0.003, "betas": (0.4, 0.9), "eps": 1e-6, "weight_decay": 0.1},
    ),
    "adamw": (
        torch.optim.AdamW,
        {"lr": 0.003, "betas": (0.4, 0.9), "eps": 1e-6, "weight_decay": 0.1},
    ),
    "rmsprop": (
        torch.optim.RMSprop,
        {"lr": 0.003, "alpha": 0.8, "eps": 1e-6, "momentum": 0.3, "weight_decay": 0.1},
    ),
    "sgd": (torch.optim.SGD, {"lr": 0.003, "momentum": 0.7, "weight_decay": 0.1}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.003, "eps": 1e-6, "weight_decay": 0.1}),
    "adadelta": (torch.optim.Adadelta, {"lr": 0.3, "rho": 0.8, "eps": 1e-5, "weight_decay": 0.1}),
}


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


def descend(model, optimizer, steps=5):
    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("rate", ["number", "tensor"])
@pytest.mark.parametrize("name", PLAIN)
def test_steps_equal_the_plain_loop(name, rate):
    kind, options = PLAIN[name]
    mine, theirs = net(), net()
    optimizer = zoo().registry.create("optimizer", name, mine.parameters(), **options)
    if rate == "tensor":
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
    wanted = descend(theirs, kind(theirs.parameters(), foreach=False, **options))
    assert (wanted - torch.cat([p.detach().flatten() for p in net().parameters()])).norm() > 1e-3
    assert torch.allclose(descend(mine, optimizer), wanted, atol=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_state_survives_a_round_trip(name):
    first, second = net(), net()
    create = zoo().registry.create
    one, two = (
        create("optimizer", name, m.parameters(), **PLAIN[name][1]) for m in (first, second)
    )
    descend(first, one)
    second.load_state_dict(first.state_dict())
    two.load_state_dict(copy.deepcopy(one.state_dict()))  # what a file would hold
    assert torch.equal(descend(first, one), descend(second, two))


def test_defaults_that_gans_need():
    group = zoo().registry.create("optimizer", "adam", net().parameters()).param_groups[0]
    assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
    assert group["fused"]


@pytest.mark.parametrize(
    "given", [{"lr": 0}, {"lr": -1e-4}, {"betas": [0.5, 1.0]}, {"momentum": 0.9}]
)
def test_impossible_options_are_refused(given):
    with pytest.raises(BadOption):
        zoo().registry.create("optimizer", "adam", net().parameters(), **given)
