"""Small updates compute on one thread, and nothing of it is left behind."""

import threading
import time
from pathlib import Path

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.engine.threads import SLOWER, Products, small
from ganzoo.io.background_writer import Writer
from ganzoo.training.loop import Training

BATCH = 32
TRAIN = {
    "images": 2 * BATCH,
    "batch_size": BATCH,
    "device": "cpu",
    "precision": "fp32",
    "engine": "eager",
}


def built(width, batch=BATCH, net="dcgan", data="digits"):
    sections = {
        "data": {"name": data},
        "gen": {"name": net, "width": width},
        "disc": {"name": net, "width": width},
        "train": TRAIN | {"batch_size": batch},
    }
    config = configuration.check(configuration.merge(configuration.defaults(), sections))
    return assemble(config, zoo().registry)


def threads_of_a_training(width, batch=BATCH):
    """The numbers of threads that its updates were done with."""
    seen = set()
    Training(built(width, batch), tick=lambda images: seen.add(torch.get_num_threads())).run()
    return seen


@pytest.fixture
def two(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2  # put back by whatever ran
    torch.set_num_threads(before)


def test_small_updates_take_one_thread(two):
    assert threads_of_a_training(width=4, batch=2) == {1}


def test_larger_updates_take_what_there_is(two):
    assert threads_of_a_training(width=64) == {2}


def test_the_environment_decides(two, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_of_a_training(width=4, batch=2) == {2}


def test_threads_are_put_back_after_a_failure(two):
    pipeline = built(width=4, batch=2)
    with pytest.raises(ZeroDivisionError):
        Training(pipeline, tick=lambda images: 1 // 0).run()


def small_points(width, batch):
    pipeline = built(width, batch, net="mlp", data="ring")
    return small(pipeline.parts, pipeline.spec, batch)


def test_a_product_decides_not_how_many_samples_there_are():
    """Where two threads were measured to be worth it."""
    assert small_points(64, 256) and small_points(128, 256)
    assert not small_points(128, 512) and not small_points(256, 256)


def test_a_convolution_takes_longer_than_its_operations_say():
    few, more = (built(width=4, batch=count) for count in (2, 64))
    assert small(few.parts, few.spec, 2)
    assert not small(more.parts, more.spec, 64)


def test_products_are_counted():
    with Products() as products:
        torch.ones(3, 4) @ torch.ones(4, 5)
        assert products.mean == 2 * 3 * 4 * 5
        torch.nn.functional.conv2d(torch.ones(1, 2, 6, 6), torch.ones(3, 2, 3, 3))
    convolution = 2 * (4 * 4) * 3 * (2 * 3 * 3)
    assert products.mean == (2 * 3 * 4 * 5 + SLOWER * convolution) / 2


def test_parts_that_fail_keep_the_threads():
    pipeline = built(width=4, batch=2)
    pipeline.parts.generator.register_forward_pre_hook(lambda net, given: 1 // 0)
    assert not small(pipeline.parts, pipeline.spec, 2)


def threads_that_a_side_thread_has(submit):
    """What PyTorch says there, in what it computes with, and how many more threads live after."""
    tasks, before = Path("/proc/self/task"), 0
    if tasks.is_dir():
        torch.ones(1 << 20).exp()  # this thread's own helpers are there already
        before = len([*tasks.iterdir()])
    found = []

    def job():
        torch.ones(1 << 20).exp()
        found.append(torch.get_num_threads())
        found.append(1)
        until = time.monotonic() + 5  # a thread that was joined is listed for a moment still
        while tasks.is_dir() and time.monotonic() < until:
            found[1] = len([*tasks.iterdir()]) - before
            if found[1] <= 1:
                break
            time.sleep(0.01)

    submit(job)
    return tuple(found)


def test_the_writer_has_no_helpers_of_its_own(two):
    """libgomp lets no thread wait awake when there are more than processors."""
    writer = Writer()

    def submit(job):
        writer.submit(job)
        writer.wait()

    assert threads_that_a_side_thread_has(submit) == (1, 1)
    writer.close()


def test_other_threads_keep_what_they_had(two):
    writer = Writer()
    writer.submit(lambda: None)
    writer.close()
    found = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [torch.get_num_threads()] == [2]
