"""What goes on beside the updates of a GPU: copies to the host, batches
on their way to it, lines and files apart in time. The GPU is a stand-in
that writes down what it is told; tests/engine/test_cuda.py has a real one.
"""

import contextlib
import threading
import time
from collections import deque
from types import SimpleNamespace

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Dataset, Tracker
from ganzoo.data import Order
from ganzoo.data import loader as feed_module
from ganzoo.data import order as order_module
from ganzoo.data.loader import AHEAD, Batch, Ring
from ganzoo.io import transfer
from ganzoo.io.background_writer import PENDING, Writer
from ganzoo.io.transfer import Transfer
from ganzoo.training import spacing
from ganzoo.training.loop import Training
from ganzoo.training.spacing import Spacing

CUDA = torch.device("cuda")


class Event:
    """Done once `finish` was called; a wait is written down."""

    def __init__(self, name, said):
        self.name, self.said, self.done = name, said, threading.Event()

    def query(self):
        return self.done.is_set()

    def synchronize(self):
        self.said.append(f"wait for {self.name}")
        assert self.done.wait(5), f"{self.name} never came"


class Card:
    """What ganzoo.io.transfer uses of torch.cuda."""

    def __init__(self):
        self.said, self.current = [], "main"

    def device(self, device):
        return contextlib.nullcontext()

    def current_stream(self, device):
        return Line("main", self)

    def Stream(self, device):  # noqa: N802  (as torch.cuda's)
        return Line("side", self)

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream.name
        yield
        self.current = before


class Line:
    def __init__(self, name, card):
        self.name, self.card = name, card

    def record_event(self):
        event = Event(f"the event of {self.name}", self.card.said)
        event.done.set()
        return event

    def wait_event(self, event):
        self.card.said.append(f"{self.name} behind {event.name}")


def test_a_state_is_read_on_a_stream_of_its_own(monkeypatch):
    card = Card()
    monkeypatch.setattr(transfer, "cuda", card)

    def sent(tensor):
        card.said.append(f"copied on {card.current}")
        return tensor.clone()

    monkeypatch.setattr(transfer, "_sent", sent)
    live = torch.arange(4.0)
    found = Transfer({"a": live, "b": live * 2}, CUDA)
    live.zero_()  # the next update
    assert card.said == []  # the thread of the training has told the card nothing to wait for
    fetched = found.fetch()
    assert card.said == [
        "side behind the event of main",
        "copied on side",
        "copied on side",
        "wait for the event of side",
    ]
    assert fetched["a"].tolist() == [0, 1, 2, 3] and fetched["b"].tolist() == [0, 2, 4, 6]


def test_on_a_cpu_a_state_is_copied():
    live = torch.arange(4.0)
    found = Transfer({"a": live}, torch.device("cpu"))
    live.zero_()
    assert found.fetch()["a"].tolist() == [0, 1, 2, 3]


def test_a_place_of_the_ring_is_filled_again_when_it_was_read(monkeypatch):
    monkeypatch.setattr(feed_module, "pinned_like", lambda t: None if t is None else t.clone())
    said = []
    events = [Event(f"copy {n}", said) for n in range(3)]
    batches = [Batch(torch.full((2,), n), torch.tensor([n]), None) for n in range(4)]
    ring = Ring(batches[0], 3)
    for batch, event in zip(batches, events, strict=False):
        _, place = ring.fill(batch)
        ring.sent(place, event)
    assert said == [] and [p.samples[0].item() for p in ring.places] == [0, 1, 2]
    filler = threading.Thread(target=ring.fill, args=(batches[3],), daemon=True)
    filler.start()
    time.sleep(0.05)
    assert said == ["wait for copy 0"] and ring.places[0].samples.tolist() == [0, 0]
    events[0].done.set()
    filler.join(5)
    assert ring.places[0].samples.tolist() == [3, 3] and ring.places[0].labels.tolist() == [3]


def test_a_stream_through_the_ring_gives_the_same_batches(monkeypatch):
    """With events that come late: the device's queue is long,
    and nothing that it has yet to read may be overwritten.
    """
    monkeypatch.setattr(feed_module, "pinned_like", lambda t: None if t is None else t.clone())
    samples = torch.randint(0, 256, (50, 1, 4, 4), dtype=torch.uint8)
    data = Dataset(samples, torch.arange(50) % 3, ["a", "b", "c"])
    plain, ringed = (
        feed_module.Feed(data, Order(50, 8, 1, flip=True), torch.device("cpu"), where)
        for where in ("gpu", "host")
    )
    monkeypatch.setattr(feed_module, "PINNED", ("cpu",))
    unread = deque()

    def sent(stream, place):
        unread.append(Event("a copy", []))
        stream.ring.sent(place, unread[-1])
        if len(unread) > 2:  # the device is two batches behind
            unread.popleft().done.set()

    monkeypatch.setattr(feed_module._Stream, "sent", sent)
    for _ in range(30):
        for a, b in zip(plain.next()[:3], ringed.next()[:3], strict=True):
            assert torch.equal(a, b)
    assert len(ringed._stream.ring.places) == AHEAD + 2
    for event in unread:
        event.done.set()
    ringed.close()


def test_a_batch_that_was_sent_is_marked_on_its_devices_stream(monkeypatch):
    asked, marked = [], []
    there = SimpleNamespace(record_event=lambda: "an event")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: asked.append(device) or there)
    stream = object.__new__(feed_module._Stream)
    stream.feed = SimpleNamespace(device=torch.device("cuda:1"))
    stream.ring = SimpleNamespace(sent=lambda *given: marked.append(given))
    stream.sent(3)
    assert asked == [torch.device("cuda:1")] and marked == [(3, "an event")]
    stream.ring = None  # nothing is pinned, and nothing asked of CUDA
    stream.sent(0)
    assert len(asked) == 1


def test_an_epochs_order_is_drawn_ahead(monkeypatch):
    """In another thread, and it is the same order."""
    plain = Order(23, 6, seed=9, flip=True)
    wanted = [plain.next() for _ in range(40)]
    monkeypatch.setattr(order_module, "LARGE", 1)
    drawn, original = [], Order._draw

    def draw(self, epoch):
        drawn.append((epoch, threading.current_thread() is threading.main_thread()))
        return original(self, epoch)

    monkeypatch.setattr(Order, "_draw", draw)
    ahead = Order(23, 6, seed=9, flip=True)
    for indices, flips in wanted:
        found = ahead.next()
        assert torch.equal(found[0], indices) and torch.equal(found[1], flips)
    ahead._ahead.result()
    assert sorted(drawn) == [(0, True), *((epoch, False) for epoch in range(1, 12))]
    state = {"epoch": 4, "position": 3}
    plain.load_state_dict(state)
    ahead.load_state_dict(state)
    for one, other in ((plain.next(), ahead.next()) for _ in range(20)):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_what_comes_too_often_is_made_up_for(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(spacing.time, "monotonic", lambda: clock[0])
    paced = Spacing(30.0)
    found = []
    for clock[0], due in ((0, True), (1, True), (10, False), (29, True), (30, False), (31, False)):
        found.append(paced.due(due))
    assert found == [True, False, False, False, True, False]
    assert all(Spacing(0.0).due(True) for _ in range(3)) and not Spacing(0.0).due(False)


TINY = {
    "data": {"resolution": 8},
    "gen": {"width": 8},
    "disc": {"width": 8},
    "train": {"images": 16 * 12, "batch_size": 16},
    "log": {"images": 32},
}


class Lines(Tracker):
    def __init__(self):
        self.images = []

    def log(self, line):
        self.images.append(line["images"])


@pytest.fixture
def tiny():
    tree = configuration.merge(configuration.defaults(), TINY)
    return Training(assemble(configuration.check(tree), zoo().registry))


def test_a_line_is_written_when_its_values_are_here(tiny, monkeypatch):
    """Nobody waits for it; the order is kept, and at the end all are written."""
    lines, arrived = Lines(), set()
    tiny.listeners.append(lines)
    seen = {}
    monkeypatch.setattr(
        "ganzoo.training.meters.Reading.arrived", lambda reading: id(reading) in arrived
    )

    def tick(images):
        if images == 96:  # the first two lines' values come
            arrived.update(id(reading) for reading, _ in list(tiny._lines)[:2])
        seen[images] = list(lines.images)

    tiny.tick = tick
    tiny.run()
    assert seen[96] == [] and seen[112] == [32, 64] and seen[192] == [32, 64]
    assert lines.images == [32, 64, 96, 128, 160, 192]


def test_a_run_on_a_fast_device_keeps_its_files_apart(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny, "folder", tmp_path)
    monkeypatch.setattr(tiny.gallery, "folder", tmp_path)
    saved, drawn = [], []
    monkeypatch.setattr(tiny, "save", lambda: saved.append(tiny.images))
    monkeypatch.setattr(tiny.gallery, "_picture", lambda name, samples: drawn.append(tiny.images))
    tiny.config.checkpoint.__dict__["images"] = tiny.config.samples.__dict__["images"] = 16
    tiny.checkpoints, tiny.pictures = Spacing(1000.0), Spacing(1000.0)
    tiny.run()
    assert saved == [16, 192] and drawn.count(192) == 1 and len(drawn) <= 4


# The thread that writes: one job at a time, in order, and what they raise comes back.

hangs = pytest.mark.timeout(30)  # where something is wrong


@pytest.fixture
def writer():
    found = Writer()
    yield found
    found.close()


@hangs
def test_jobs_run_one_at_a_time_in_order(writer):
    at_once, most, done = [], [], []

    def job(number):
        at_once.append(number)
        most.append(len(at_once))
        threading.Event().wait(0.02)
        at_once.remove(number)
        done.append(number)

    for number in range(PENDING):
        writer.submit(lambda number=number: job(number))
    writer.wait()
    assert done == list(range(PENDING)) and set(most) == {1}
    assert not writer._jobs, "what is done is forgotten"


@hangs
def test_a_job_too_many_waits_until_one_is_done(writer):
    gate = threading.Event()
    for _ in range(PENDING):
        writer.submit(lambda: gate.wait(10))  # these hold copies of the state
    late = threading.Thread(target=writer.submit, args=[lambda: None])
    late.start()
    late.join(0.1)
    waited = late.is_alive()
    gate.set()
    late.join(10)
    assert waited and not late.is_alive()


@hangs
def test_an_error_comes_back_at_the_next_call(writer):
    """To the one who submits when the job is done, else to the one who waits; only once."""

    def fail():
        raise OSError("no space left")

    for call in (lambda: writer.submit(lambda: None), writer.wait):
        writer.submit(fail)
        writer.settle()  # says nothing
        with pytest.raises(OSError, match="no space left"):
            call()
        writer.wait()


@hangs
def test_settling_waits_for_running_jobs(writer):
    done = []
    writer.submit(lambda: (threading.Event().wait(0.05), done.append(1)))
    writer.settle()
    assert done == [1] and len(writer._jobs) == 1, "its result is still to be had"


@hangs
def test_closing_finishes_what_is_queued_whatever_it_raises():
    writer, done = Writer(), []
    writer.submit(lambda: done.append(threading.current_thread().name))
    writer.submit(lambda: 1 / 0)
    writer.submit(lambda: done.append(2))
    writer.close()
    assert len(done) == 2 and done[0].startswith("ganzoo-writer")
    assert writer._jobs == []
    with pytest.raises(RuntimeError, match="shutdown"):
        writer.submit(lambda: None)
