"""Batches are the same wherever the samples are kept,
and a resumed feed gives the batch that would have come.
"""

import statistics
import threading
import time
from dataclasses import replace

import pytest
import torch

from ganzoo.contracts import Dataset
from ganzoo.data import Order
from ganzoo.data.loader import Feed, budget_bytes
from ganzoo.spec import as_samples

CPU = torch.device("cpu")


def data(n=50, side=4):
    generator = torch.Generator().manual_seed(0)
    samples = torch.randint(0, 256, (n, 1, side, side), dtype=torch.uint8, generator=generator)
    return Dataset(samples, torch.arange(n) % 3, ["a", "b", "c"])


def feed(resident, n=50, batch=8):
    return Feed(data(n), Order(n, batch, 1, flip=True), CPU, resident)


def test_streamed_batches_are_the_resident_ones():
    one, other = feed("gpu"), feed("host")
    assert one.resident and not other.resident
    for _ in range(20):  # past two epoch borders
        (a, labels_a, flips_a, _), (b, labels_b, flips_b, _) = one.next(), other.next()
        assert torch.equal(a, b) and torch.equal(labels_a, labels_b)
        assert torch.equal(flips_a, flips_b) and a.dtype == torch.uint8
    other.close()


def test_batches_are_scaled_and_mirrored_within_the_update():
    """What nets see of a batch: byte b is b / 127.5 - 1,
    and the columns of a mirrored sample run backwards.
    """
    stored, _, flips, _ = feed("gpu").next()
    seen = as_samples(stored, flips)
    assert seen.dtype == torch.float32 and 0 < flips.sum() < len(flips)
    assert torch.equal(
        as_samples(torch.tensor([0, 255], dtype=torch.uint8)), torch.tensor([-1.0, 1])
    )
    for sample, bytes_of_it, turned in zip(seen, stored.tolist(), flips, strict=True):
        rows = [row[::-1] if turned else row for row in bytes_of_it[0]]
        assert torch.allclose(sample[0], torch.tensor(rows) / 127.5 - 1, atol=1e-6)


def test_the_thread_that_gathers_has_no_helpers(monkeypatch):
    found, gather = [], Feed._gather

    def heard(self):
        found.append((threading.current_thread().name, torch.get_num_threads()))
        return gather(self)

    monkeypatch.setattr(Feed, "_gather", heard)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    streamed = feed("host")
    streamed.next()
    streamed.close()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert set(found) == {("ganzoo-feed", 1)}


@pytest.mark.parametrize("resident", ["gpu", "host"])
def test_position_is_that_of_the_last_batch_given(resident):
    first = feed(resident)
    for _ in range(9):
        first.next()
    if resident == "host":
        time.sleep(0.1)  # the thread has read ahead by now
    state = first.state_dict()
    expected = [first.next()[0] for _ in range(9)]
    again = feed(resident)
    again.next()
    again.load_state_dict(state)
    assert all(torch.equal(again.next()[0], batch) for batch in expected)
    first.close()
    again.close()


@pytest.mark.parametrize("resident", ["gpu", "host"])
def test_samples_of_their_own_come_in_their_own_order(resident):
    """Unpaired images: as many of the other set, after an
    order of that set, which a resumed feed goes on with.
    """
    source = Dataset(torch.arange(30.0).view(30, 1).repeat(1, 2))
    both = replace(data(), others={"other": source})

    def fed():
        return Feed(both, Order(50, 8, 1), CPU, resident, others={"other": Order(30, 8, 2)})

    order, one = Order(30, 8, 2), fed()
    for _ in range(6):
        assert torch.equal(one.next().given["other"], source.samples[order.next()[0]])
    state = one.state_dict()
    one.close()
    again = fed()
    again.load_state_dict(state)
    for _ in range(3):
        assert torch.equal(again.next().given["other"], source.samples[order.next()[0]])
    again.close()


def test_budget_decides():
    size = data().samples.numel()
    order = Order(50, 8, 1, flip=False)
    assert Feed(data(), order, CPU, "auto", size).resident
    assert not Feed(data(), order, CPU, "auto", size - 1).resident
    assert Feed(data(), order, CPU, "auto", budget_bytes(0, CPU)).resident
    assert Feed(data(), order, CPU).resident, "without a budget"
    assert budget_bytes(3, CPU) == 3 << 20


def test_samples_lie_where_they_are_gathered():
    there = torch.device("meta")  # any device that is not the host
    for resident, where in (("gpu", "meta"), ("host", "cpu")):
        order = Order(50, 8, 1, flip=True)
        found = Feed(data(), order, there, resident)
        held = found.dataset
        assert {held.samples.device.type, held.labels.device.type, order.device.type} == {where}


def test_a_stream_does_not_keep_its_process_alive():
    before, found = set(threading.enumerate()), feed("host")
    found.next()
    (reading,) = set(threading.enumerate()) - before
    assert reading.daemon
    for _ in range(2):  # as often as one likes
        found.close()
        assert not reading.is_alive()


def test_an_error_in_the_stream_reaches_the_training():
    broken = feed("host")
    broken.dataset.samples = broken.dataset.samples[:10]  # as if the memory map had shrunk
    with pytest.raises(IndexError):
        for _ in range(20):
            broken.next()
    broken.close()


@pytest.mark.slow
@pytest.mark.alone
def test_streaming_keeps_up(tmp_path):
    """Data four times the budget trains at 90 % or more of
    the resident speed (dcgan 32x32, batch 64, memory-mapped).
    """
    from ganzoo import config as configuration
    from ganzoo.assembly.assembling import assemble
    from ganzoo.components.loading import zoo
    from ganzoo.training.loop import Training

    n = 6000
    store = torch.from_file(
        str(tmp_path / "store"), shared=True, size=n * 32 * 32, dtype=torch.uint8
    )
    store.random_(0, 256)
    speeds = {"gpu": [], "auto": []}
    tree = {
        "gen": {"width": 16},
        "disc": {"width": 16},
        "data": {"resolution": 32},
        "train": {"images": 64 * 12},
    }
    pipeline = assemble(
        configuration.check(configuration.merge(configuration.defaults(), tree)), zoo().registry
    )
    pipeline.dataset = Dataset(store.view(n, 1, 32, 32))
    for _ in range(5):  # interleaved, so that a busy machine slows both
        for resident in speeds:
            training = Training(pipeline)
            training.feed = Feed(
                pipeline.dataset, Order(n, 64, 0, flip=False), CPU, resident, store.numel() // 4
            )
            assert training.feed.resident == (resident == "gpu")
            began = time.perf_counter()
            training.run()
            speeds[resident].append(training.images / (time.perf_counter() - began))
    resident, streamed = statistics.median(speeds["gpu"]), statistics.median(speeds["auto"])
    print(f"resident {resident:.0f}, streamed {streamed:.0f} images/s")
    assert streamed >= 0.9 * resident
