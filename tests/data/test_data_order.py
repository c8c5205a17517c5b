"""The order in which samples are shown."""

import pytest
import torch

from ganzoo.data import Order
from ganzoo.errors import BadRun, Incompatible


def take(order: Order, batches: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    drawn = [order.next() for _ in range(batches)]
    flips = None if drawn[0][1] is None else torch.cat([f for _, f in drawn])
    return torch.cat([i for i, _ in drawn]), flips


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (10, 10), (7, 5), (1, 1), (64, 16)])
def test_each_index_once_an_epoch_across_borders(n: int, batch: int) -> None:
    indices, flips = take(Order(n, batch, seed=3), 5 * n)
    assert flips is None and indices.dtype == torch.int64 and len(indices) == 5 * n * batch
    for epoch in indices.view(-1, n):
        assert epoch.sort().values.tolist() == list(range(n))


def test_every_batch_is_full_and_epochs_differ() -> None:
    order = Order(100, 30, seed=0)
    assert all(len(order.next()[0]) == 30 for _ in range(20))
    epochs = take(Order(100, 50, seed=0), 8)[0].view(4, 100)
    assert len({tuple(e.tolist()) for e in epochs}) == 4


def test_the_seed_decides_and_batches_and_flips_do_not() -> None:
    base = take(Order(50, 10, seed=1, flip=True), 20)
    again = take(Order(50, 10, seed=1, flip=True), 20)
    assert torch.equal(base[0], again[0]) and torch.equal(base[1], again[1])
    assert torch.equal(take(Order(50, 25, seed=1), 8)[0], base[0])
    assert not torch.equal(take(Order(50, 10, seed=2), 20)[0], base[0])


def test_flips_are_fair_and_differ_between_epochs() -> None:
    indices, flips = take(Order(1000, 100, seed=5, flip=True), 100)
    assert flips.dtype == torch.bool and abs(flips.float().mean() - 0.5) < 0.02
    of_sample = torch.stack(
        [f[i.argsort()] for i, f in zip(indices.view(10, -1), flips.view(10, -1), strict=True)]
    )
    assert ((of_sample.sum(0) > 0) & (of_sample.sum(0) < 10)).float().mean() > 0.98


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 9, 10, 17])
def test_resumes_at_any_cut(cut: int) -> None:
    whole = Order(23, 6, seed=9, flip=True)
    indices, flips = take(whole, 40)
    first = Order(23, 6, seed=9, flip=True)
    for _ in range(cut):
        first.next()
    state = first.state_dict()
    assert set(state) == {"epoch", "position"} and all(type(v) is int for v in state.values())
    assert state["epoch"] * 23 + state["position"] == cut * 6
    second = Order(23, 6, seed=9, flip=True)
    second.next()
    second.load_state_dict(state)
    rest, turned = take(second, 40 - cut)
    assert torch.equal(rest, indices[cut * 6 :]) and torch.equal(turned, flips[cut * 6 :])
    assert second.state_dict() == whole.state_dict()


def test_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(
        Incompatible, match=r"train\.batch_size = 11: larger than the data, which has 10 samples"
    ):
        Order(10, 11, seed=0)
    with pytest.raises(Incompatible, match=r"train\.batch_size = 0: give 1 or more"):
        Order(10, 0, seed=0)


@pytest.mark.parametrize(
    "state",
    [{}, {"epoch": 0, "position": 23}, {"epoch": -1, "position": 0}, {"epoch": 1, "position": "2"}],
)
def test_a_state_that_does_not_fit_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(BadRun, match="data position"):
        Order(23, 6, seed=0).load_state_dict(state)
