"""Packs whose classes stand beside their samples."""

import pytest
import torch

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.errors import Incompatible
from ganzoo.training.loop import Training


@pytest.mark.parametrize("shape", [(2, 4, 6), (2, 8)])
def test_a_pack_holds_each_sample_and_its_class(shape):
    spec = Spec(shape, classes=3)
    pack = ganzoo.create("augmentation", "pac", spec, m=2, labels=True)
    assert pack.respec(spec).shape == (2 * (2 + 3), *shape[1:])
    samples, labels = torch.randn(4, *shape), torch.tensor([2, 0, 1, 1])
    found = pack(samples, labels)
    assert found.shape == (2, 10, *shape[1:])
    apart = found.reshape(4, 5, *shape[1:])
    assert torch.equal(apart[:, :2], samples)
    told = apart[:, 2:].flatten(2)
    assert torch.equal(told.argmax(1), labels[:, None].expand(-1, told.shape[2]))
    assert torch.equal(told.sum(1), torch.ones_like(told[:, 0]))


def test_without_classes_a_pack_is_the_samples():
    spec = Spec((1, 4, 4))
    pack = ganzoo.create("augmentation", "pac", spec, labels=True)
    assert not pack.conditional and pack.respec(spec).shape == (2, 4, 4)
    assert pack(torch.zeros(4, 1, 4, 4)).shape == (2, 2, 4, 4)


def training(**layers):
    tree = configuration.defaults()
    tiny = {
        "data": {"resolution": 8},
        "gen": {"width": 8, "labels": True},
        "disc": {"name": "dcgan", "width": 8, "norm": "none"},
        "loss": {"name": "rpgan"},
        "reg": {"r1": {}, "gp": {}},
        "aug": {"pac": {"m": 2, "labels": True}},
        "train": {"images": 24, "batch_size": 8, "device": "cpu"},
    }
    for layer in (tiny, layers):
        tree = configuration.merge(tree, layer)
    return Training(assemble(configuration.check(tree), zoo().registry))


def test_classes_reach_a_discriminator_that_reads_none_with_slopes():
    run = training()
    parts = run.pipeline.parts
    assert parts.discriminator.spec.shape == (2 * (1 + 10), 8, 8)
    assert not parts.discriminator.conditional and run.pipeline.spec.classes == 10
    run.run()
    assert run.images == 24
    pack = parts.augmentations["pac"]
    samples = torch.zeros(4, 1, 8, 8)
    logits = [
        parts.discriminator(pack(samples, torch.tensor(labels)))
        for labels in ([0, 1, 2, 3], [3, 2, 1, 0])
    ]
    assert not torch.allclose(*logits), "it tells classes apart"


def test_a_discriminator_that_reads_the_label_of_each_is_refused():
    with pytest.raises(Incompatible, match="makes one of several samples"):
        training(disc={"name": "dcgan", "width": 8, "norm": "none", "labels": True})
