"""Runs that go wrong: not-finite losses are named and never
saved; with rollback the run goes on from the last good state.
"""

import json

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Regularizer
from ganzoo.errors import GanzooError
from ganzoo.io import checkpoints as checkpoint
from ganzoo.training import rollback as recovery
from ganzoo.training.loop import Training
from ganzoo.training.meters import NotFinite


class Poison(Regularizer):
    """Undefined from the n-th update on, as often as told."""

    def __init__(self, after, times):
        super().__init__(weight=1.0)
        self.after, self.times, self.calls = after, times, 0

    def penalty(self, step):
        self.calls += 1
        if self.calls > self.after and self.times > 0:
            self.times -= 1
            self.calls = 0
            return step.fake_logits.mean() * float("nan")
        return step.fake_logits.mean() * 0


def training(folder, on_nan="stop", after=40, times=1):
    tree = {
        "gen": {"name": "mlp", "width": 8},
        "disc": {"width": 8},
        "data": {"resolution": 8},
        "train": {"images": 16 * 120, "batch_size": 16, "on_nan": on_nan},
        "checkpoint": {"images": 320},
        "log": {"images": 64},
    }
    pipeline = assemble(
        configuration.check(configuration.merge(configuration.defaults(), tree)), zoo().registry
    )
    pipeline.parts.regularizers["poison"] = Poison(after, times)
    return Training(pipeline, folder)


def finite(state):
    return all(
        torch.isfinite(t).all()
        for t in [*state["generator"].values(), *state["discriminator"].values()]
    )


def test_stops_before_bad_weights_are_saved(tmp_path):
    sick = training(tmp_path)
    with pytest.raises(NotFinite, match="discriminator's loss term 'poison' is not finite") as why:
        recovery.run(sick, print)
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last == {"images": sick.images, "event": "not finite", "reason": str(why.value)}
    state, manifest = checkpoint.newest(tmp_path, print)
    assert manifest["images"] == 640 and finite(state)


def test_a_log_that_cannot_be_written_does_not_hide_what_went_wrong(tmp_path, monkeypatch):
    def full(folder, line):
        raise GanzooError("No space left on device")

    monkeypatch.setattr(recovery.logbook, "append", full)
    sick = training(tmp_path, after=0)
    with pytest.raises(NotFinite, match="poison"):
        recovery.run(sick, print)


def test_rollback_goes_on_with_half_the_rates(tmp_path):
    said = []
    sick = training(tmp_path, "rollback")
    recovery.run(sick, said.append)
    assert sick.images == 1920 and sick.rollbacks == 1 and finite(sick.state_dict())
    assert len(said) == 1 and "rollback 1 of 3" in said[0]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    event = next(i for i, line in enumerate(lines) if line.get("event") == "rollback")
    assert lines[event]["images"] == 640 and "poison" in lines[event]["reason"]
    assert lines[event + 1]["lr_generator"] == pytest.approx(lines[event - 1]["lr_generator"] / 2)
    assert checkpoint.newest(tmp_path, print)[0]["counters"]["rollbacks"] == 1


def test_rollbacks_are_limited(tmp_path):
    sick = training(tmp_path, "rollback", times=99)
    with pytest.raises(NotFinite, match="after 3 rollbacks"):
        recovery.run(sick, print)
    assert finite(checkpoint.newest(tmp_path, print)[0])


def test_no_checkpoint_to_go_back_to(tmp_path):
    with pytest.raises(NotFinite, match="no checkpoint to go back to"):
        recovery.run(training(tmp_path, "rollback", after=4, times=99), print)


def test_deleted_run_folder_is_one_line(tmp_path):
    import shutil

    folder = tmp_path / "run"
    folder.mkdir()
    doomed = training(folder, times=0)
    doomed.tick = lambda images: shutil.rmtree(folder, ignore_errors=True) if images > 400 else None
    with pytest.raises(GanzooError, match="cannot be written: No such file") as caught:
        doomed.run()
    assert "\n" not in str(caught.value)


def test_full_disk_is_one_line_and_the_old_checkpoint_stays(tmp_path, monkeypatch):
    run = training(tmp_path, times=0)
    real = checkpoint.write_bytes
    written = []

    def full(path, content, *rest):
        written.append(path)
        if len(written) > 8:  # within the second checkpoint
            raise GanzooError(f"{path}: cannot be written: No space left on device")
        real(path, content, *rest)

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    with pytest.raises(GanzooError, match="No space left"):
        run.run()
    monkeypatch.undo()
    state, manifest = checkpoint.newest(tmp_path, print)
    assert manifest["images"] == 320 and finite(state)


@pytest.mark.parametrize("damage", ["group", "text", "shape"])
def test_a_foreign_state_is_one_line(tmp_path, damage):
    from ganzoo.errors import BadFile

    run = training(tmp_path, times=0)
    state = run.state_dict()
    if damage == "group":
        del state["optim_generator"]
    elif damage == "text":
        state["counters"]["images"] = "many"
    else:
        state["generator"] = {name: t[:1] for name, t in state["generator"].items()}
    with pytest.raises(BadFile, match="does not fit this run") as caught:
        training(tmp_path, times=0).load_state_dict(state)
    assert "\n" not in str(caught.value) and "versions that made it" in str(caught.value)
