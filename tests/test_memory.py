"""The memory estimate holds against what an update really allocates; too large a batch is refused, with one that fits."""

import re

import pytest
import torch

from ganzoo import config as configuration
from ganzoo import memory
from ganzoo.assembly import assemble
from ganzoo.engine import SIDES, only
from ganzoo.errors import DeviceError
from ganzoo.plugins import zoo
from ganzoo.rehearsal import Peak
from ganzoo.update import terms


def pipeline(*regs, batch=16, resolution=32, device="cpu"):
    tree = {
        "data": {"resolution": resolution},
        "train": {"batch_size": batch, "device": device},
        "reg": {name: {} for name in regs},
    }
    tree |= {"gen": {"width": 16}, "disc": {"width": 16}}
    return assemble(configuration.check(configuration.merge(configuration.defaults(), tree)), zoo().registry)


def really(built):
    """The most that one update's storages take at once, on real tensors."""
    peaks = []
    for side in SIDES:
        net = built.parts.net(side)
        data = torch.rand(built.config.train.batch_size, *built.spec.shape)
        latents = built.parts.generator.draw_latents(len(data))
        other = built.parts.net("generator" if side == "discriminator" else "discriminator")
        with Peak() as counter, only(net, other):
            terms(built.parts, side)(data, None, latents, torch.zeros(()), built.parts.due(side, 0))[0].backward()
        net.zero_grad()
        peaks.append(counter.peak)
    return max(peaks)


@pytest.mark.parametrize("regs", [(), ("gp",), ("r1", "r2"), ("sn", "noise")], ids=str)
@pytest.mark.parametrize("batch", [8, 64])
def test_estimate_is_within_a_fifth(regs, batch):
    built = pipeline(*regs, batch=batch)
    assert memory.estimate(built)["update"] == pytest.approx(really(built), rel=0.2)


def test_estimate_changes_nothing():
    built = pipeline("sn")
    before = {name: t.clone() for name, t in built.state_dict()["discriminator"].items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    memory.estimate(built)
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(t, before[name]) for name, t in built.state_dict()["discriminator"].items())


def test_too_large_a_batch_is_refused_with_one_that_fits():
    built = pipeline("gp", batch=64)
    found = memory.estimate(built)
    memory.check_fits(built, found["total"])
    free = found["total"] - found["update"] // 2
    with pytest.raises(DeviceError, match=r"--batch-size 64: needs about .* the largest batch that fits is about \d+") as caught:
        memory.check_fits(built, free)
    fits = int(re.search(r"about (\d+)$", str(caught.value))[1])
    assert 24 <= fits < 64
    assert memory.estimate(pipeline("gp", batch=fits))["total"] <= free * 1.02
    with pytest.raises(DeviceError, match="no batch fits"):
        memory.check_fits(built, 1000)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("regs", [(), ("gp",), ("r1", "r2")], ids=str)
def test_estimate_on_gpu(regs):
    from ganzoo.training import Training

    built = pipeline(*regs, batch=256, resolution=64, device="cuda")
    estimate = memory.estimate(built)["total"]
    torch.cuda.reset_peak_memory_stats()
    training = Training(built)
    training.goal = 256 * 8
    training.run()
    assert estimate == pytest.approx(torch.cuda.max_memory_allocated(), rel=0.2)
