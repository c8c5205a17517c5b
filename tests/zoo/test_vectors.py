"""Nets of all families read a vector that the data give, beside a class or instead."""

import json

import numpy as np
import pytest
import torch
from helpers.narrow import options
from PIL import Image

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.training.loop import Training

LENGTH, N = 3, 4
NETS = [
    c
    for kind in ("generator", "discriminator")
    for c in ganzoo.list_components(kind)
    if "vector" in getattr(c.load(), "may_read", ())
]
FAMILIES = sorted({c.name for c in NETS if c.kind == "generator"})


def built(component, classes=0, length=LENGTH, labels=True):
    given = {"vector": Spec((length,))} if length else {}
    spec = Spec((3, 16, 16), classes, given)
    torch.manual_seed(0)
    return component.load()(spec, **options(component) | {"labels": labels}).eval()


def answers(net, vector, labels=None):
    """What a net says of equal samples or latents that come with a vector."""
    torch.manual_seed(1)
    told = {} if vector is None else {"vector": vector}
    if hasattr(net, "draw_latents"):
        return net(net.draw_latents(N), labels, **told)
    logits = net.score(net.features(torch.randn(N, 3, 16, 16), **told), labels)
    return logits if isinstance(logits, torch.Tensor) else torch.cat([x.flatten() for x in logits])


def waken(net):
    """Weights that begin at zero hide what is read."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.2)
    return net


@pytest.mark.parametrize("classes", [0, 5])
@pytest.mark.parametrize("component", NETS, ids=lambda c: f"{c.kind}-{c.name}")
def test_each_number_of_the_vector_is_read(component, classes):
    net = waken(built(component, classes))
    assert net.reads == ("vector",) and net.conditional == (classes > 0)
    labels = torch.arange(N) % classes if classes else None
    vector = torch.zeros(N, LENGTH, requires_grad=True)
    found = answers(net, vector, labels)
    (slope,) = torch.autograd.grad(found.square().sum(), vector)
    assert (slope.abs().sum(0) > 0).all()
    moved = answers(net, torch.eye(N, LENGTH), labels)
    assert not torch.allclose(found[:LENGTH], moved[:LENGTH])
    if getattr(net, "per_sample", True):
        torch.testing.assert_close(found[LENGTH:], moved[LENGTH:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("component", NETS, ids=lambda c: f"{c.kind}-{c.name}")
def test_without_a_vector_nets_are_what_they_were(component):
    plain = built(component, length=0)
    untold = built(component, labels=False)
    assert plain.reads == untold.reads == ()
    count = sum(p.numel() for p in plain.parameters())
    assert count == sum(p.numel() for p in untold.parameters())
    assert count < sum(p.numel() for p in built(component).parameters())
    assert torch.equal(answers(plain, None), answers(untold, None))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Sixteen pictures whose brightness is their vector."""
    folder = tmp_path_factory.mktemp("told")
    stream = np.random.default_rng(0)
    told = {}
    for number in range(16):
        level = number / 16
        noise = stream.integers(0, 64, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise + np.uint8(level * 190)).save(folder / f"{number:02d}.png")
        told[f"{number:02d}.png"] = [level, 1 - level]
    (folder / "labels.json").write_text(json.dumps({"labels": [[k, v] for k, v in told.items()]}))
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_families_train_on_vectors(pictures, family):
    """With buffers that are moved by what was told, and the slope of the path from w."""
    sections = {"gen": "generator", "disc": "discriminator"}
    parts = {c.kind: c for c in NETS if c.name == family}
    nets = {
        section: {"name": family, "labels": True, **options(parts[kind])}
        for section, kind in sections.items()
    }
    path = {"reg": {"pathlen": {"every": 1}}} if family == "stylegan2" else {}
    tree = {
        **nets,
        **path,
        "data": {"name": str(pictures)},
        "train": {"images": 16, "batch_size": 8, "device": "cpu", "engine": "eager"},
    }
    config = configuration.check(configuration.merge(configuration.defaults(), tree))
    pipeline = assemble(config, zoo().registry)
    assert pipeline.parts.generator.reads == pipeline.parts.discriminator.reads == ("vector",)
    before = [p.detach().clone() for p in pipeline.parts.generator.parameters()]
    Training(pipeline).run()
    after = [*pipeline.parts.generator.parameters()]
    assert all(torch.isfinite(p).all() for p in after)
    assert any(not torch.equal(p, q) for p, q in zip(before, after, strict=True))
