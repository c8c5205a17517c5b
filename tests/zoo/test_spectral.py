"""Spectral norm: what it holds, what it leaves alone, and its gradient."""

import copy

import pytest
import torch
from torch import nn

from ganzoo.components.loading import zoo


def create(name, **options):
    return zoo().registry.create("regularizer", name, **options)


def largest(module):
    weight = module.weight.detach()
    return torch.linalg.matrix_norm(
        (weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight).flatten(1), 2
    )


def body():
    torch.manual_seed(5)
    layers = [
        nn.Conv2d(3, 8, 4, 2, 1),
        nn.ConvTranspose2d(8, 5, (4, 3)),
        nn.BatchNorm2d(5),
        nn.Flatten(),
        nn.Linear(5 * 7 * 6, 4),
    ]
    return nn.Sequential(*layers)


def test_spectral_norm_is_one_after_training():
    net, sn = body(), create("sn", side="both")
    sn.prepare(nn.Identity(), net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        net(torch.randn(8, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        sn.after_update(net)
    for module in (net[0], net[1], net[4]):
        assert largest(module).item() == pytest.approx(1.0, abs=0.02)
        assert module.parametrizations.weight.original.grad.norm() > 0
    assert type(net[2].weight) is nn.Parameter  # scales of norms are no matrices


def test_spectral_norm_of_held_vectors_is_pure_and_has_the_exact_gradient():
    net, sn = nn.Linear(7, 5).double(), create("sn")
    sn.prepare(nn.Identity(), net)
    for _ in range(300):
        sn.after_update(net)
    before = copy.deepcopy(net.state_dict())
    pull = torch.randn(5, 7, dtype=torch.float64)
    original = net.parametrizations.weight.original
    found = torch.autograd.grad((net.weight * pull).sum(), original)[0]
    leaf = original.detach().clone().requires_grad_()
    wanted = torch.autograd.grad((leaf / torch.linalg.matrix_norm(leaf, 2) * pull).sum(), leaf)[0]
    assert torch.allclose(found, wanted, atol=1e-9)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_spectral_norm_sides_and_copies():
    generator, discriminator = body(), body()
    create("sn", side="generator").prepare(generator, discriminator)
    assert largest(generator[0]).item() == pytest.approx(1.0, abs=0.05) and len(
        discriminator.state_dict()
    ) == len(body().state_dict())
    other = copy.deepcopy(
        generator
    )  # what a running average holds: averaged vectors are shorter than one
    with torch.no_grad():
        other[0].parametrizations.weight[0].u.mul_(0.5)
    assert torch.allclose(other[0].weight, generator[0].weight)
    fresh = body()
    create("sn", side="generator").prepare(fresh, discriminator)
    fresh.load_state_dict(generator.state_dict())
    assert torch.equal(fresh[4].weight, generator[4].weight)


def test_weights_that_begin_at_zero_stay_finite_and_are_followed_once_they_move():
    layer = torch.nn.Linear(4, 3)
    torch.nn.init.zeros_(layer.weight)
    penalty = zoo().registry.create("regularizer", "sn")
    penalty.prepare(torch.nn.Linear(1, 1), layer)
    assert torch.equal(layer.weight, torch.zeros(3, 4))
    layer(torch.ones(2, 4)).sum().backward()
    original = layer.parametrizations.weight.original
    assert original.grad.isfinite().all() and original.grad.any()
    with torch.no_grad():
        original.copy_(torch.randn(3, 4))
    for _ in range(50):
        penalty.after_update(layer)
    assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, rel=1e-4)
