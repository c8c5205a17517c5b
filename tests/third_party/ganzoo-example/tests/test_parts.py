"""Every part of this plugin keeps ganzoo's contracts, and computes what it says."""

import pytest
import torch

import ganzoo
from ganzoo.testing import check

MINE = [c for c in ganzoo.list_components() if c.distribution == "ganzoo-example"]


@pytest.mark.parametrize("component", MINE, ids=str)
def test_contract(component):
    check(component)


def test_all_parts_are_registered():
    assert [c.name for c in MINE] == ["upsample", "softhinge", "anchor"]


def test_anchor_follows_the_mean():
    class Step:
        real_logits = torch.tensor([1.0, 3.0])

    part = ganzoo.create("regularizer", "anchor", keep=0.5)
    assert part.penalty(Step).item() == 5.0 and part.mean.item() == 1.0
    assert part.penalty(Step).item() == 2.0 and part.mean.item() == 1.5
