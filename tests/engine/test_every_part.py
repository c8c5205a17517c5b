"""Every loss and regularizer in a training: recorded updates go as eager ones do, and a resumed run
goes on bit for bit.
"""

import copy

import fitting
import pytest
import torch
from recorded import check_close

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.training.loop import Training

REGISTRY = zoo().registry
# An eps far above rounding: Adam would make a step of it where a gradient is nearly zero.
TINY = {
    "data": {"resolution": 8},
    "gen": {"width": 8},
    "disc": {"width": 8},
    "optim": {"gen": {"eps": 1e-4}, "disc": {"eps": 1e-4}},
    "train": {"images": 8 * 12, "batch_size": 8, "device": "cpu"},
    "log": {"images": 16},
}
LAZY = {  # so that updates in which a part that keeps something acts, and others, are both there
    "pathlen": {"every": 2},
    "lecam": {"every": 2, "start": 2, "decay": 0.5},
    "topk": {"until": 0.3},
    **{name: {"sigma": 0.1} for name in ("approx-r1", "approx-r2")},  # less magnifies rounding
}


def training(gen, loss, regs, engine="eager"):
    layer = fitting.layer(REGISTRY, gen, loss, regs)
    layer["reg"] |= {name: LAZY[name] for name in regs if name in LAZY}
    tree = configuration.defaults()
    for later in (layer, TINY):  # a name takes away the options of the one before
        tree = configuration.merge(tree, later)
    pipeline = assemble(configuration.check(tree), REGISTRY)
    pipeline.engine = engine
    return Training(pipeline)


def state(run):
    """Every tensor of a training's state."""
    return {
        f"{group}.{name}": value.clone()
        for group, content in run.state_dict().items()
        for name, value in content.items()
        if isinstance(value, torch.Tensor)
    }


def recorded_case(case):
    """What is recorded knows nothing of the net: the larger ones are for slow tests."""
    marks = [] if case[0] in fitting.SMALL else [pytest.mark.slow]
    return pytest.param(*case, marks=marks)


COVERING = list(fitting.covering(REGISTRY))


@pytest.mark.parametrize(("gen", "loss", "regs"), list(map(recorded_case, COVERING)), ids=str)
def test_captured_trains_as_eager(gen, loss, regs, cuda):
    eager, captured = (training(gen, loss, regs, engine) for engine in ("eager", "captured"))
    for run in (eager, captured):
        run.goal = 8 * 6  # later, rounding has turned a rectifier somewhere
        torch.manual_seed(5)
        run.run()
    assert captured.engine.mode == "captured" and cuda.recordings
    check_close(eager.state_dict(), captured.state_dict())


@pytest.mark.parametrize(("gen", "loss", "regs"), COVERING, ids=str)
def test_a_resumed_run_is_equal_bit_for_bit(gen, loss, regs):
    whole = training(gen, loss, regs)
    whole.goal = 8 * 5
    whole.run()
    saved = copy.deepcopy(whole.state_dict())
    whole.goal = 8 * 12
    whole.run()
    resumed = training(gen, loss, regs)
    resumed.load_state_dict(saved)
    resumed.run()
    end = state(whole)
    assert all(torch.equal(value, end[name]) for name, value in state(resumed).items())
    kept = [k for k in end if "logit_means" in k or "pathlen" in k]
    assert len(kept) == 5 * ("lecam" in regs) + 2 * ("pathlen" in regs)
