"""Random numbers by sample: each rank's are its rows of what one process draws."""

import pytest
import torch
from torch.nn import functional as F

from ganzoo.distributed.draws import WholeDraws

RANKS, OWN = 3, 4  # and samples of each
WHOLE = RANKS * OWN


def rows(whole, rank, size=OWN):
    return whole[rank * size :][:size]


DRAWS = {
    "rand": lambda n: torch.rand(n, 2),
    "rand, a tuple": lambda n: torch.rand((n, 2)),
    "randn, by name": lambda n: torch.randn(size=(n, 2), dtype=torch.float64),
    "randint": lambda n: torch.randint(0, 100, (n, 2)),
    "randint, one bound": lambda n: torch.randint(100, (n,)),
    "rand_like": lambda n: torch.rand_like(torch.zeros(n, 2)),
    "randn_like": lambda n: torch.randn_like(torch.zeros(n, 2)),
    "normal_": lambda n: torch.empty(n, 2).normal_(1.0, 2.0),
    "uniform_": lambda n: torch.empty(n, 2).uniform_(-1, 1),
    "dropout": lambda n: F.dropout(torch.ones(n, 50), 0.5),
    "dropout2d": lambda n: F.dropout2d(torch.ones(n, 50, 2, 2), 0.5),
}


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_ranks_draw_what_one_process_draws(name):
    torch.manual_seed(1)
    whole, after = DRAWS[name](WHOLE), torch.rand(5)
    for rank in range(RANKS):
        torch.manual_seed(1)
        with WholeDraws(rank, RANKS, OWN):
            assert torch.equal(DRAWS[name](OWN), rows(whole, rank))
            # The generator has come as far, so what follows is the same, too; five are no samples.
            assert torch.equal(torch.rand(5), after)


def test_chances_of_each_sample():
    chances = torch.linspace(0, 1, WHOLE)[:, None].expand(-1, 2000).contiguous()
    for rank in range(RANKS):
        torch.manual_seed(1)
        with WholeDraws(rank, RANKS, OWN):
            drawn = torch.bernoulli(rows(chances, rank))
        assert set(drawn.unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(drawn.mean(1), rows(chances, rank)[:, 0], atol=0.05, rtol=0)


def test_rows_that_lie_behind_each_other_and_packs():
    torch.manual_seed(1)
    twice = torch.rand(2 * WHOLE, 3)  # of real samples, then of generated ones
    torch.manual_seed(1)
    packs = torch.rand(WHOLE // 2, 3)
    for rank in range(RANKS):
        torch.manual_seed(1)
        with WholeDraws(rank, RANKS, OWN):
            own = torch.rand(2 * OWN, 3)
        torch.testing.assert_close(own[:OWN], rows(twice[:WHOLE], rank))
        torch.testing.assert_close(own[OWN:], rows(twice[WHOLE:], rank))
        torch.manual_seed(1)
        with WholeDraws(rank, RANKS, OWN):
            torch.testing.assert_close(torch.rand(OWN // 2, 3), rows(packs, rank, OWN // 2))


def test_what_is_no_sample_is_drawn_alike_on_all_ranks():
    for draw in (lambda: torch.rand(()), lambda: torch.randn(1, 7), lambda: torch.rand(9)):
        torch.manual_seed(2)
        one = draw()
        for rank in range(RANKS):
            torch.manual_seed(2)
            with WholeDraws(rank, RANKS, OWN):
                assert torch.equal(draw(), one)
