"""The generator against a discriminator some steps ahead, and through these steps."""

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Discriminator, Generator, Spec, Step
from ganzoo.engine.losses import losses
from ganzoo.errors import Incompatible
from ganzoo.nn import MomentNorm
from ganzoo.spec import Batch

REGISTRY = zoo().registry
SPEC = Spec((2,))


class Judge(Discriminator):
    def __init__(self, spec):
        super().__init__(spec)
        self.inner, self.outer = nn.Linear(2, 3), nn.Linear(3, 1)

    def features(self, samples):
        return self.inner(samples).tanh()

    def score(self, features, labels=None):
        return self.outer(features).squeeze(1)


class Maker(Generator):
    def __init__(self, spec):
        super().__init__(spec, latent_dim=3)
        self.draw = nn.Linear(3, 2)

    def forward(self, latents, labels=None):
        return self.draw(latents).tanh()


def unrolled(**options):
    return REGISTRY.create("regularizer", "unrolled", **options)


def step_for(seed=0, **more):
    torch.manual_seed(seed)
    maker, judge = Maker(SPEC).double(), Judge(SPEC).double()
    data, latents = torch.randn(5, 2).double(), torch.randn(5, 3).double()
    return Step("generator", maker, judge, data, latents, **more)


def by_hand(step, steps, rate):
    """Gradients of the saturating game's generator, with every layer written out."""
    fake = step.generator(step.latents)
    weights = [p.detach().clone().requires_grad_() for p in step.discriminator.parameters()]

    def logits(x, weights):
        a, b, c, d = weights
        return ((x @ a.T + b).tanh() @ c.T + d).squeeze(1)

    for _ in range(steps):
        lost = softplus(-logits(step.data, weights)).mean() + softplus(logits(fake, weights)).mean()
        slopes = torch.autograd.grad(lost, weights, create_graph=True)
        weights = [w - rate * s for w, s in zip(weights, slopes, strict=True)]
    return torch.autograd.grad(
        softplus(-logits(fake, weights)).mean(), list(step.generator.parameters())
    )


@pytest.mark.parametrize("steps", [1, 3])
def test_it_is_that_of_steps_written_out(steps):
    step, loss = step_for(), REGISTRY.create("loss", "nonsat")
    part = unrolled(steps=steps, rate=0.7)
    part.prepare(step.generator, step.discriminator)
    step.discriminator.requires_grad_(False)  # as the engine has it
    ahead = part.for_loss(step, loss)
    parameters = list(step.generator.parameters())
    found = torch.autograd.grad(loss.generator(ahead), parameters, retain_graph=True)
    for one, other in zip(found, by_hand(step, steps, 0.7), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)
    plain = torch.autograd.grad(loss.generator(step), parameters)
    assert all(torch.dist(a, b) > 1e-3 * b.norm() for a, b in zip(found, plain, strict=True))


def test_the_gradient_goes_through_the_steps():
    """Without the second derivative it would be another one."""
    step, loss = step_for(), REGISTRY.create("loss", "nonsat")
    part = unrolled(steps=2, rate=0.7)
    part.prepare(step.generator, step.discriminator)
    ahead = part.for_loss(step, loss)
    weights = {name: w.detach() for name, w in ahead.discriminator.weights.items()}
    still = step.against(type(ahead.discriminator)(step.discriminator, weights))
    parameters = list(step.generator.parameters())
    one, other = (
        torch.autograd.grad(loss.generator(s), parameters, retain_graph=True)
        for s in (ahead, still)
    )
    assert loss.generator(ahead) == loss.generator(still)
    assert torch.dist(one[0], other[0]) > 1e-3 * other[0].norm()


def test_frozen_weights_stay():
    step, loss = step_for(), REGISTRY.create("loss", "nonsat")
    step.discriminator.inner.requires_grad_(False)
    part = unrolled()
    part.prepare(step.generator, step.discriminator)
    step.discriminator.requires_grad_(False)
    weights = part.for_loss(step, loss).discriminator.weights
    assert weights["inner.weight"] is step.discriminator.inner.weight
    assert torch.dist(weights["outer.weight"], step.discriminator.outer.weight) > 1e-3


def test_samples_are_seen_once():
    """Noise of a view is the same in every step, as the batch is."""
    calls = []

    def view(samples, step):
        calls.append(samples)
        return samples + torch.randn_like(samples)

    step, loss = step_for(views=[view]), REGISTRY.create("loss", "nonsat")
    loss.generator(unrolled().for_loss(step, loss))
    assert len(calls) == 2


def test_a_loss_that_reads_more_than_logits_is_refused():
    step = step_for()
    with pytest.raises(Incompatible, match="the loss reads its 'classify', too"):
        unrolled().for_loss(step, REGISTRY.create("loss", "multihinge"))


def pipeline(**sections):
    layer = {"gen": {"width": 4}, "disc": {"width": 4}, "reg": {"unrolled": {"steps": 1}}}
    layer |= {"data": {"resolution": 8}, "train": {"batch_size": 4}}
    tree = configuration.merge(configuration.merge(configuration.defaults(), layer), sections)
    return assemble(configuration.check(tree), REGISTRY)


def test_an_update_compiles_as_one_graph():
    """With norms whose gradient can be differentiated once more."""
    built = pipeline(loss={"name": "rpgan"})
    norms = [m for m in built.parts.discriminator.modules() if isinstance(m, MomentNorm)]
    assert all(m.dims == "batch" and not m.native for m in norms)
    function = losses(built.parts, "generator")
    compiled = torch.compile(function, fullgraph=True, dynamic=False, backend="aot_eager")
    torch.manual_seed(1)
    batch = Batch(torch.rand(4, 1, 8, 8) * 2 - 1)
    latents, found = built.parts.draw_latents(4), []
    built.parts.discriminator.requires_grad_(False)
    for run in (function, compiled):
        built.parts.generator.zero_grad()
        torch.manual_seed(2)
        total, _, _, _ = run(batch, latents, torch.tensor(0.0), ("unrolled",))
        total.backward()
        found.append([p.grad.clone() for p in built.parts.generator.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
