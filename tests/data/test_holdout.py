"""Data that a training does not see: chosen by content, so that nothing moves when data are added,
and never shown.
"""

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Column, Dataset
from ganzoo.data import from_torch, holdout
from ganzoo.data.contents import marks
from ganzoo.data.loader import Feed
from ganzoo.data.order import Order
from ganzoo.errors import BadConfig, Incompatible
from ganzoo.training.loop import feed_of


def bytes_of(count, seed=0, size=3):
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, size, size), generator=stream, dtype=torch.uint8)


def contents(dataset):
    rows = dataset.gather(torch.arange(len(dataset))).samples
    return {row.numpy().tobytes() for row in rows}


def test_marks_are_of_contents_alone_and_even():
    samples = bytes_of(4000)
    found = marks(samples)
    assert torch.equal(marks(samples.flip(0)), found.flip(0))
    assert torch.equal(marks(samples[:, :, ::2])[0], marks(samples[:1, :, ::2].clone())[0])
    shares = torch.histc((found.double() / 2.0**64 + 0.5), bins=10, min=0, max=1) / 4000
    assert (shares - 0.1).abs().max() < 0.02
    points = torch.tensor([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])
    one, same, other = marks(points).tolist()
    assert one == same != other


def test_no_sample_moves_when_others_are_added_and_equal_ones_stay_together():
    few, more = bytes_of(500), bytes_of(700, seed=1)
    seen, held = holdout.split(Dataset(few), 0.2)
    assert len(seen) + len(held) == 500 and 70 < len(held) < 130
    mixed = torch.cat([more, few, few[:100]])[torch.randperm(1300)]
    seen_then, held_then = holdout.split(Dataset(mixed), 0.2)
    assert contents(seen) <= contents(seen_then) and contents(held) <= contents(held_then)
    assert not contents(seen_then) & contents(held_then)
    smaller = holdout.split(Dataset(few), 0.1)[1]
    assert contents(smaller) < contents(held), "a smaller share is a part of a larger one"


def test_a_part_gives_what_belongs_to_its_samples():
    labels, image = torch.arange(200) % 7, torch.arange(200).float()[:, None]
    data = Dataset(bytes_of(200), labels, [*"abcdefg"], given={"image": image})
    for side in holdout.split(data, 0.3):
        batch = side.gather(torch.tensor([3, 0, 3]))
        where = side.chosen[[3, 0, 3]]
        assert torch.equal(batch.samples, data.samples[where])
        assert torch.equal(batch.labels, labels[where])
        assert torch.equal(batch.given["image"], image[where])
        assert side.spec == data.spec
        assert side.size == data.size * len(side) // 200
        assert side.fingerprint()["count"] == len(side)
        assert torch.equal(
            side.to(torch.device("cpu")).gather(torch.arange(2)).labels, labels[side.chosen[:2]]
        )
    seen, held = holdout.split(data, 0.3)
    assert seen.fingerprint() != held.fingerprint()
    assert seen.fingerprint() == holdout.split(data, 0.3)[0].fingerprint()
    assert "are held out" in seen.notes[-1]


def test_lazy_data_are_held_out_as_those_in_memory():
    samples = bytes_of(120)
    lazy = from_torch(list(samples), threads=1)
    sides = holdout.split(lazy, 0.25)
    for side, other in zip(sides, holdout.split(Dataset(samples), 0.25), strict=True):
        assert torch.equal(side.chosen, other.chosen) and side.size is None
        assert contents(side) == contents(other)
    order = Order(len(sides[0]), 10, 0)
    feed = Feed(sides[0], order, torch.device("cpu"))
    try:
        batches = [feed.next().samples for _ in range(len(sides[0]) // 10)]
    finally:
        feed.close()
    assert {row.numpy().tobytes() for row in torch.cat(batches)} <= contents(sides[0])


@pytest.mark.parametrize("share", [1e-12, 1 - 1e-12])
def test_a_side_without_samples_is_refused(share):
    with pytest.raises(Incompatible, match=r"data.holdout = .*leaves"):
        holdout.split(Dataset(bytes_of(50)), share)


def test_a_training_never_sees_what_is_held_out():
    tree = configuration.merge(
        configuration.defaults(),
        {
            "data": {"name": "ring", "holdout": 0.1},
            "gen": {"name": "mlp", "width": 8},
            "disc": {"width": 8},
            "train": {"images": 640, "batch_size": 64, "device": "cpu"},
        },
    )
    pipeline = assemble(configuration.check(tree), zoo().registry)
    whole = assemble(
        configuration.check(configuration.merge(tree, {"data": {"holdout": 0.0}})), zoo().registry
    )
    assert whole.held is None
    assert len(pipeline.dataset) + len(pipeline.held) == len(whole.dataset)
    feed, seen = feed_of(pipeline), set()
    for _ in range(len(pipeline.dataset) // 64):
        seen |= {row.numpy().tobytes() for row in feed.next().samples}
    assert len(seen) > 0.99 * len(pipeline.dataset) - 64
    assert not seen & contents(pipeline.held)


@pytest.mark.parametrize("share", [-0.1, 1.0, "much"])
def test_a_share_that_is_none_is_refused(share):
    tree = configuration.merge(configuration.defaults(), {"data": {"holdout": share}})
    with pytest.raises(BadConfig, match=r"data\.holdout"):
        configuration.check(tree)


@pytest.mark.parametrize(
    "whole",
    [
        Dataset(torch.randint(0, 3, (40, 5)), alphabet=("", "a", "b")),
        Dataset(torch.randn(40, 2), columns=(Column("one"), Column("two", scale=3.0))),
        Dataset(torch.randint(0, 256, (40, 1, 3, 4, 4), dtype=torch.uint8)),
    ],
    ids=lambda data: data.spec.modality,
)
def test_a_part_means_what_the_whole_means(whole):
    seen, held = holdout.split(whole, 0.3)
    for part in (seen, held):
        assert part.spec == whole.spec
        chosen = whole.gather(part.chosen).samples
        assert torch.equal(part.gather(torch.arange(len(part))).samples, chosen)
        moved = part.to(torch.device("meta"))
        assert moved.spec == whole.spec
        assert len(moved) == len(part)
        assert moved.samples.dtype == whole.samples.dtype
