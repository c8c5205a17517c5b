"""Small updates compute on one thread, and nothing of it is left behind."""

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.engine.threads import small
from ganzoo.training.loop import Training

BATCH = 32
TRAIN = {
    "images": 2 * BATCH,
    "batch_size": BATCH,
    "device": "cpu",
    "precision": "fp32",
    "engine": "eager",
}


def built(width):
    sections = {
        "data": {"name": "digits"},
        "gen": {"name": "dcgan", "width": width},
        "disc": {"name": "dcgan", "width": width},
        "train": TRAIN,
    }
    config = configuration.check(configuration.merge(configuration.defaults(), sections))
    return assemble(config, zoo().registry)


def threads_of_a_training(width):
    """The numbers of threads that its updates were done with."""
    seen = set()
    Training(built(width), tick=lambda images: seen.add(torch.get_num_threads())).run()
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
    assert threads_of_a_training(width=4) == {1}


def test_larger_updates_take_what_there_is(two):
    assert threads_of_a_training(width=64) == {2}


def test_the_environment_decides(two, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_of_a_training(width=4) == {2}


def test_threads_are_put_back_after_a_failure(two):
    pipeline = built(width=4)
    with pytest.raises(ZeroDivisionError):
        Training(pipeline, tick=lambda images: 1 // 0).run()


def test_parts_that_read_values_keep_the_threads(two):
    parts = built(width=4).parts
    assert small(parts, built(width=4).spec, BATCH)
    parts.generator.register_forward_pre_hook(lambda net, given: float(given[0].sum()))
    parts.peaks.clear()
    assert not small(parts, built(width=4).spec, BATCH)
