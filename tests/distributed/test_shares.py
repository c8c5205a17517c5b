"""Shares of a batch: together they are the batch, whatever the number of ranks."""

from collections import Counter

import pytest
import torch
from torch import nn

from ganzoo import nn as layers
from ganzoo.data import Order
from ganzoo.data.loader import Feed
from ganzoo.distributed.ranks import Ranks
from ganzoo.engine.engine import in_parts
from ganzoo.nn import whole_norms
from ganzoo.nn.whole_norms import share_batch_norms
from ganzoo.spec import Batch, Dataset

COUNT, BATCH = 48, 12


def feed(rank, ranks, parts=1):
    data = Dataset(torch.arange(COUNT, dtype=torch.float32)[:, None])
    order = Order(COUNT, BATCH, 3)
    share = Ranks(rank, ranks).share
    return Feed(data, order, torch.device("cpu"), share=lambda whole: share(whole, parts))


def test_an_epoch_on_one_then_four_then_two_ranks_shows_every_sample_once():
    seen, state = Counter(), None
    for ranks, batches in ((1, 1), (4, 2), (2, 1)):
        feeds = [feed(rank, ranks) for rank in range(ranks)]
        for each in feeds:
            if state is not None:
                each.load_state_dict(state)
        for _ in range(batches):
            for each in feeds:
                samples = each.next().samples
                assert len(samples) == BATCH // ranks
                seen.update(samples.flatten().int().tolist())
        (state,) = {str(each.state_dict()): each.state_dict() for each in feeds}.values()
    assert seen == Counter(range(COUNT))


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_part_of_the_batch_is_spread_over_all_ranks(ranks):
    whole = feed(0, 1).next()
    latents = torch.arange(BATCH)[:, None]
    expected = [part[0].samples for part in in_parts((whole, latents), 2)]
    found = []
    for rank in range(ranks):
        own = feed(rank, ranks, parts=2).next()
        found.append(in_parts((own, Ranks(rank, ranks).share(latents, 2)), 2))
    for number, part in enumerate(expected):
        joined = torch.cat([each[number][0].samples for each in found])
        assert torch.equal(joined, part)


def test_a_rank_alone_changes_nothing():
    x = torch.randn(6, 3, requires_grad=True)
    assert layers.whole(x) is x and layers.own(x) is x and layers.whole_mean(x) is x
    assert layers.ranks() == 1
    alone = Ranks()
    assert alone.share(x, 3) is x
    assert alone.agree(3, 5) == [3, 5] and alone.tell({"a": 1}) == {"a": 1}


class Scaled(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, Scaled])
def test_batch_norms_that_are_shared_are_the_same_alone(kind):
    x = torch.randn(5, 4) if kind is nn.BatchNorm1d else torch.randn(5, 4, 3, 2)
    one, other = nn.Sequential(kind(4)), nn.Sequential(kind(4))
    share_batch_norms(other)
    assert type(other[0]).__name__ == kind.__name__ and isinstance(other[0], kind)
    for training in (True, False):
        one.train(training)
        other.train(training)
        assert torch.equal(one(x), other(x))
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3, 2)])
def test_a_shared_batch_norm_is_that_of_the_whole_batch_to_its_second_derivative(
    monkeypatch, shape
):
    """Both ranks have the same share here, so that one can stand for the other."""
    monkeypatch.setattr(whole_norms, "ranks", lambda: 2)
    monkeypatch.setattr(whole_norms, "whole", lambda share: torch.cat([share, share]))
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    ours, theirs = nn.Sequential(nn.BatchNorm2d(4)), nn.Sequential(nn.BatchNorm2d(4))
    theirs[0].__class__ = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    for net in (ours, theirs):
        nn.init.normal_(net.double()[0].weight, generator=torch.Generator().manual_seed(0))
    share_batch_norms(ours)
    found = []
    for net, samples in ((ours, x), (theirs, torch.cat([x, x]))):
        values = net(samples)[: len(x)]
        slope = torch.autograd.grad(values.pow(3).sum(), x, create_graph=True)[0]
        curve = torch.autograd.grad(slope.pow(3).sum(), [x, net[0].weight, net[0].bias])
        found.append([values, slope, *curve, *net.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_shared_batch_can_be_made_of_its_parts():
    batch = Batch(torch.arange(8.0)[:, None], torch.arange(8), None, {"a": torch.arange(8)})
    shares = [batch.each(Ranks(rank, 4).share) for rank in range(4)]
    assert torch.equal(torch.cat([each.samples for each in shares]), batch.samples)
    assert torch.equal(torch.cat([each.given["a"] for each in shares]), batch.given["a"])
