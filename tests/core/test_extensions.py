"""The contracts carry what comes next: every idea of tests/parts
joins through the hooks alone, trains, and keeps its state.
"""

import copy
import math

import pytest
import torch
from ideas import IDEAS, TINY, Heard, pipeline, registry_of
from torch.nn.functional import cross_entropy

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.assembly.memory import estimate
from ganzoo.components.kinds import KINDS
from ganzoo.contracts import Batch, Step
from ganzoo.engine.losses import losses
from ganzoo.training.loop import Training


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return registry_of(tmp_path_factory.mktemp("site"))


def state(training):
    """Every tensor of a training's state."""
    return {
        f"{group}.{k}": v.clone()
        for group, values in training.state_dict().items()
        for k, v in values.items()
        if isinstance(v, torch.Tensor)
    }


def update(training, images=8):
    training.goal = training.images + images
    training.run()


@pytest.mark.parametrize("idea", IDEAS)
def test_idea_trains_and_goes_on_from_its_state(registry, idea):
    heard = Heard()
    one = Training(pipeline(registry, IDEAS[idea]), listeners=[heard])
    before = state(one)
    update(one, 16)
    saved, middle = copy.deepcopy(one.state_dict()), state(one)
    assert estimate(one.pipeline)["total"] > 0
    moved = [
        k
        for k in before
        if k.startswith(("generator.", "discriminator.")) and not torch.equal(before[k], middle[k])
    ]
    assert {k.split(".")[0] for k in moved} == {"generator", "discriminator"}
    for line in heard.lines:
        terms = [v for side in ("discriminator", "generator") for v in line[side].values()]
        assert len(terms) > 3 and all(map(math.isfinite, terms))
    for name in IDEAS[idea].get("reg", {}):
        if name != "noise":
            sides = [
                side for side in ("discriminator", "generator") if name in heard.lines[0][side]
            ]
            assert sides, f"{name} reports nothing"
    update(one, 16)
    other = Training(pipeline(registry, IDEAS[idea]))
    other.load_state_dict(saved)
    assert all(torch.equal(v, middle[k]) for k, v in state(other).items())
    update(other, 16)
    end = state(one)
    assert all(torch.equal(v, end[k]) for k, v in state(other).items())


def step(pipeline, side="discriminator", **more):
    """A step on the first samples of a pipeline's data."""
    parts = pipeline.parts
    data, labels = pipeline.dataset.batch(torch.arange(8))
    latents = parts.generator.draw_latents(8, torch.Generator().manual_seed(1))
    return Step(
        side,
        parts.generator,
        parts.discriminator,
        data,
        latents,
        labels,
        views=parts.views(side),
        **more,
    )


# (a) Class-conditional generator, projection discriminator.


def test_labels_reach_both_nets_and_change_what_they_say(registry):
    found = pipeline(registry, IDEAS["projection"])
    assert found.spec.classes == 3
    one, other = step(found), step(found)
    other.labels = (one.labels + 1) % 3
    assert not torch.allclose(one.drawn, other.drawn)
    assert not torch.allclose(one.real_logits, other.real_logits)
    unlabelled = one.discriminator.judge(one.real_features).squeeze(1)
    projection = (one.discriminator.classes(one.labels) * one.real_features).sum(1)
    assert torch.allclose(one.real_logits, unlabelled + projection)


def test_average_of_a_conditional_generator_draws_every_class(registry):
    """The classes in turn, and each sample is what the net gives for its own."""
    training = Training(pipeline(registry, IDEAS["projection"]))
    update(training, 8)
    net, drawn = training.pipeline.average.net, []
    net.register_forward_hook(lambda module, given, found: drawn.append((*given, found)))
    samples = training.gallery.samples()
    latents, labels, found = (torch.cat(values) for values in zip(*drawn, strict=True))
    assert labels.tolist() == [0, 1, 2, 0] and torch.equal(samples, found)
    for label in range(3):
        with torch.no_grad():
            same = net(latents, torch.full((4,), label)).isclose(samples, atol=1e-6)
        assert same.flatten(1).all(1).tolist() == (labels == label).tolist()


def test_conditional_parts_train_without_labels_when_told_to(registry):
    training = Training(pipeline(registry, IDEAS["projection"], train={"conditional": False}))
    assert training.pipeline.spec.classes == 0
    update(training, 8)
    assert training.gallery.samples().shape == (4, 1, 8, 8)


# (b) Auxiliary classifier.


def test_auxiliary_loss_is_cross_entropy_and_reaches_both_nets(registry):
    found = pipeline(registry, IDEAS["auxiliary"])
    auxiliary = found.parts.regularizers["auxiliary"]
    for side in ("discriminator", "generator"):
        at = step(found, side)
        wanted = cross_entropy(
            at.discriminator.classify(at.discriminator.features(at.fake)), at.labels
        )
        if side == "discriminator":
            wanted = wanted + cross_entropy(
                at.discriminator.classify(at.discriminator.features(at.real)), at.labels
            )
        penalty = auxiliary.penalty(at)
        assert penalty.item() == pytest.approx(wanted.item(), rel=1e-5)
        gradients = torch.autograd.grad(penalty, list(at.net.parameters()), allow_unused=True)
        assert sum(g is not None and bool(g.abs().sum() > 0) for g in gradients) >= 4


# (c) Path length.


@pytest.mark.parametrize("also", [{}, {"r1": {}}], ids=["alone", "beside r1"])
def test_path_length_has_the_gradient_of_plain_double_backward(registry, also):
    """Beside r1 the engine may take forward over reverse for the
    discriminator; LayerNorm in the generator has no right dual.
    """
    found = pipeline(
        registry,
        {"gen": {"name": "mapped"}, "reg": {"path-length": {"every": 1, "weight": 3.0}, **also}},
    )
    parts = found.parts
    net, penalty = parts.generator.double(), parts.regularizers["path-length"].double()
    penalty.mean.fill_(0.5)
    reference = copy.deepcopy(penalty)
    at = step(found, "generator")
    at.latents = at.latents.double()
    torch.manual_seed(5)
    total, _ = at.penalise([("path-length", penalty)], parts.differentiation)
    found = torch.autograd.grad(total, list(net.draw.parameters()), allow_unused=True)
    torch.manual_seed(5)
    w = net.mapping(at.latents).detach().requires_grad_()
    samples = net.synthesis(w)
    noise = torch.randn_like(samples) / math.sqrt(64)
    slope = torch.autograd.grad((samples * noise).sum(), w, create_graph=True)[0]
    reference.observe(slope.detach())
    assert (
        penalty.mean.item() == pytest.approx(reference.mean.item()) and penalty.mean.item() != 0.5
    )
    wanted_total = 3.0 * (slope.norm(dim=1) - reference.mean).square().mean()
    wanted = torch.autograd.grad(wanted_total, list(net.draw.parameters()), allow_unused=True)
    assert total.item() == pytest.approx(wanted_total.item(), rel=1e-6)
    for a, b in zip(found, wanted, strict=True):
        assert (
            (a is None or not a.any()) if b is None else torch.allclose(a, b, rtol=1e-5, atol=1e-9)
        )


# (d) Adaptive augmentation.


@pytest.mark.parametrize(("logit", "wanted"), [(1.0, [0.1, 0.2, 0.3]), (-1.0, [0.0, 0.0, 0.0])])
def test_probability_follows_the_sign_of_the_real_logits(registry, logit, wanted):
    part = pipeline(registry, {"aug": {"adaptive": {"rate": 0.1}}}).parts.augmentations["adaptive"]
    found = []
    for _ in range(3):
        part.observe(torch.full((8,), logit))
        found.append(part.p.item())
    assert found == pytest.approx(wanted)


def test_probability_is_observed_once_a_discriminator_update_and_saved(registry):
    found = pipeline(
        registry,
        {"aug": {"adaptive": {"rate": 0.25, "target": 0.0}}},
        train={"n_critic": 3, "images": 48},  # two rounds of three updates and one
    )
    part = found.parts.augmentations["adaptive"]
    calls, observe = [], part.observe
    part.observe = lambda logits: (calls.append(logits), observe(logits))
    training = Training(found)
    training.run()
    assert len(calls) == 6 and all(not logits.requires_grad for logits in calls)
    assert training.state_dict()["parts"]["aug.adaptive:p"] == part.p


# (e) Packing.


def test_discriminator_sees_packed_samples(registry):
    found = pipeline(registry, IDEAS["packing"])
    at = step(found)
    assert found.parts.discriminator.spec.shape == (
        4,
        8,
        8,
    ) and found.parts.generator.spec.shape == (1, 8, 8)
    assert at.real.shape == (2, 4, 8, 8) and at.real_logits.shape == at.fake_logits.shape == (2,)
    assert torch.equal(at.real[1, 2], at.data[6, 0])


# (f) Consistency.


def test_consistency_compares_two_views_of_one_sample(registry):
    found = pipeline(registry, {"reg": {"consistency": {"shift": 3}}})
    at, penalty = step(found), found.parts.regularizers["consistency"].penalty
    judge = found.parts.discriminator
    wanted = (judge(at.data.roll(3, -1)) - judge(at.data)).square().mean()
    assert penalty(at).item() == pytest.approx(wanted.item(), rel=1e-5) and wanted > 0


# (g) Signals, with a part of every other kind.


def test_signals_of_8000_train_from_a_recipe(registry, tmp_path):
    recipe = registry.get("recipe", "tones").recipe()
    tree = configuration.merge(
        configuration.defaults(), {k: v for k, v in recipe.items() if isinstance(v, dict)}
    )
    tree = configuration.merge(
        tree, {**TINY, "tracker": {"diary": {"path": str(tmp_path / "diary")}}}
    )
    found = assemble(configuration.check(tree), registry)
    assert found.spec.shape == (1, 8000) and found.spec.modality == "signal"
    training = Training(found, tmp_path)
    training.run()
    assert math.isfinite(training.scores["loudness.difference"])
    heard = (tmp_path / "diary").read_text().splitlines()
    assert (
        heard[0] == "start"
        and heard[-1] == "finish"
        and "log 24" in heard
        and "picture real" in heard
    )
    assert len(list((tmp_path / "samples").glob("*.png"))) >= 1
    assert found.owners["optim.gen"] == "ganzoo-parts:signals"


# All together.


@pytest.mark.slow
@pytest.mark.parametrize("idea", IDEAS)
def test_idea_compiles_as_one_graph(registry, idea):
    """By default tests/kit/test_testing.py holds it of each part by itself."""
    found = pipeline(registry, IDEAS[idea])
    data, labels = found.dataset.batch(torch.arange(8))
    labels = labels if found.spec.classes else None
    latents = found.parts.generator.draw_latents(8)
    torch._dynamo.reset()
    for side in ("discriminator", "generator"):
        values = []
        for wrap in (lambda f: f, lambda f: torch.compile(f, fullgraph=True, backend="aot_eager")):
            parts = copy.deepcopy(found.parts)
            torch.manual_seed(2)
            total = wrap(losses(parts, side))(
                Batch(data, labels), latents, torch.tensor(0.1), parts.due(side, 0)
            )[0]
            total.backward()
            values.append(
                [
                    total.detach(),
                    *(p.grad for p in parts.net(side).parameters() if p.grad is not None),
                ]
            )
        assert len(values[0]) == len(values[1]) > 1
        assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(*values, strict=True))


def test_parts_of_every_kind_come_from_the_third_party(registry):
    assert {c.kind for c in registry.components() if c.distribution == "ganzoo-parts"} == set(KINDS)
