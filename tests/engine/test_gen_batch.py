"""A batch of its own size for the generator's updates."""

import copy

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly import memory
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Batch
from ganzoo.errors import Incompatible
from ganzoo.training.loop import Training, sized

TINY = {
    "data": {"name": "ring"},
    "gen": {"name": "mlp", "width": 8},
    "disc": {"name": "mlp", "width": 8},
    "loss": {"name": "hinge"},
    "optim": {"gen": {"name": "sgd"}, "disc": {"name": "sgd"}},
    "train": {"images": 8, "batch_size": 8, "device": "cpu"},
}


def training(gen_batch, **layers):
    tree = configuration.defaults()
    for layer in (TINY, {"train": {"gen_batch": gen_batch}}, layers):
        tree = configuration.merge(tree, layer)
    return Training(assemble(configuration.check(tree), zoo().registry))


@pytest.mark.parametrize("size", [3, 20])
def test_the_generator_learns_from_so_many_latents(size):
    run = training(size)
    before = copy.deepcopy(run.pipeline.parts.generator)
    seen = {}
    update = run.engine.update

    def watched(side, batch, latents, *rest):
        seen[side] = len(batch.samples), latents
        return update(side, batch, latents, *rest)

    run.engine.update = watched
    run.run()
    assert seen["discriminator"][0] == len(seen["discriminator"][1]) == 8
    assert seen["generator"][0] == len(seen["generator"][1]) == size
    loss = -run.pipeline.parts.discriminator(before(seen["generator"][1])).mean()
    slopes = torch.autograd.grad(loss, [*before.parameters()])
    after = run.pipeline.parts.generator.parameters()
    for old, slope, new in zip(before.parameters(), slopes, after, strict=True):
        assert torch.allclose(new, old - 0.01 * slope, atol=1e-6)


def test_what_comes_with_samples_is_cut_and_repeated_with_them():
    batch = Batch(torch.arange(3), torch.arange(3) + 10, None, {"image": torch.arange(3) + 20})
    more = sized(batch, 5)
    assert more.samples.tolist() == [0, 1, 2, 0, 1] and more.labels.tolist()[3:] == [10, 11]
    assert more.given["image"].tolist() == [20, 21, 22, 20, 21] and more.flips is None
    assert sized(batch, 2).samples.tolist() == [0, 1] and sized(batch, 3) is batch


@pytest.mark.parametrize("loss", ["rpgan", "rahinge"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_losses_that_compare_both_sides_take_it(loss, accumulate):
    run = training(12, loss={"name": loss}, train={"accumulate": accumulate})
    run.run()
    assert run.images == 8


def test_the_memory_is_that_of_the_larger_update():
    one, other = (memory.estimate(training(size).pipeline)["update"] for size in (8, 800))
    assert other > 5 * one


def test_parts_must_divide_both_batches():
    with pytest.raises(Incompatible, match="does not divide the batch of 6") as caught:
        training(6, train={"accumulate": 4})
    assert caught.value.change == {"train.gen_batch": 4}
