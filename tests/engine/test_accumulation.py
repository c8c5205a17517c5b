"""Batches that are computed in parts: equal to the whole batch where samples are judged one by one,
in every engine, with what parts keep between updates.
"""

import pytest
import torch
from recorded import check_close

from ganzoo import config as configuration
from ganzoo.assembly import memory
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.errors import Incompatible
from ganzoo.training.loop import Training

TINY = {
    "data": {"resolution": 8},
    "gen": {"name": "mlp", "width": 16},
    "disc": {"name": "mlp", "width": 16},
    "loss": {"name": "hinge"},
    "reg": {"r1": {"every": 2}, "lecam": {}},
    "optim": {"gen": {"eps": 1e-3}, "disc": {"eps": 1e-3}},
    "train": {"images": 12 * 8, "batch_size": 12, "device": "cpu", "precision": "fp32"},
    "log": {"images": 12},
}


def training(accumulate, engine="eager", **layers):
    tree = configuration.defaults()
    for layer in (TINY, {"train": {"accumulate": accumulate}}, layers):
        tree = configuration.merge(tree, layer)
    pipeline = assemble(configuration.check(tree), zoo().registry)
    pipeline.engine = engine
    return Training(pipeline)


def trained(*given, **layers):
    run = training(*given, **layers)
    torch.manual_seed(3)
    lines = []
    run.listeners.append(Told(lines))
    run.run()
    return run.state_dict(), lines


class Told:
    """Keeps log lines."""

    def __init__(self, lines):
        self.lines = lines

    def __getattr__(self, name):
        return lambda *given: self.lines.append(given[0]) if name == "log" else None


def test_a_training_computes_its_updates_in_as_many_parts_as_asked():
    run, sizes = training(3, reg={"r1": False}), []
    layer = next(m for m in run.pipeline.parts.discriminator.modules() if hasattr(m, "weight"))
    layer.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    run.run()
    assert set(sizes) == {12 // 3}


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_parts_make_the_gradient_of_the_whole(parts):
    """No norm, no pairing, no random number: a batch in parts is the batch."""
    (whole, said), (again, told) = trained(1), trained(parts)
    check_close(whole, again)
    assert len(said) == len(told) == 8
    for one, other in zip(said, told, strict=True):
        assert other["discriminator"]["total"] == pytest.approx(
            one["discriminator"]["total"], rel=1e-3
        )
        assert other["D(real)"] == pytest.approx(one["D(real)"], rel=1e-3, abs=1e-5)


def test_recorded_updates_are_computed_in_parts(cuda):
    eager, captured = trained(3)[0], training(3, "captured")
    torch.manual_seed(3)
    captured.run()
    assert captured.engine.mode == "captured" and cuda.recordings
    check_close(eager, captured.state_dict())


def test_an_update_in_parts_holds_less():
    whole, parts = (
        memory.estimate(training(count, train={"batch_size": 96}).pipeline)["update"]
        for count in (1, 4)
    )
    assert parts < 0.5 * whole


def test_a_batch_without_such_parts_is_one_line():
    with pytest.raises(Incompatible, match="does not divide the batch of 12") as error:
        training(5)
    assert error.value.change == {"train.batch_size": 10}
