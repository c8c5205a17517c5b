"""What a log line holds, and what a training does for it:
signs of health only where they are read, values written once.
"""

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Tracker
from ganzoo.training import loop as training_module
from ganzoo.training.loop import Training
from ganzoo.training.meters import record

TINY = {
    "data": {"resolution": 8},
    "gen": {"width": 8},
    "disc": {"width": 8},
    "train": {"images": 16 * 60, "batch_size": 16},
    "checkpoint": {"images": 0},
    "log": {"images": 480},
}


def training(**sections):
    tree = configuration.merge(configuration.merge(configuration.defaults(), TINY), sections)
    return Training(assemble(configuration.check(tree), zoo().registry))


class Lines(Tracker):
    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)


def test_signs_are_taken_in_the_updates_before_a_line():
    run, lines, measured = training(), Lines(), []
    run.listeners.append(lines)
    update = run.engine.update

    def watched(side, *given, **named):
        report = update(side, *given, **named)
        if side == "discriminator":
            measured.append("rank" in report.names)
            assert (report.gradient is None) == (not measured[-1])
        return report

    run.engine.update = watched
    run.run()
    assert measured == [*[False] * 14, *[True] * 16] * 2  # 256 images before each line
    assert len(lines.lines) == 2 and all(
        "health" in line and "rank" in line for line in lines.lines
    )


def test_a_line_without_signs_says_nothing_of_health():
    means = {"discriminator": {"total": 1.0}, "generator": {"total": 1.0}}
    assert "health" not in record(means)


def test_signs_are_those_of_the_batch():
    run = training(log={"images": 16})
    batch, latents = run.feed.next(), run.pipeline.parts.draw_latents(16)
    parts = run.pipeline.parts
    data = batch.samples / 127.5 - 1
    with torch.no_grad():
        real, fake = parts.discriminator(data), parts.discriminator(parts.generator(latents))
        drawn = parts.generator(latents)
    report = run.engine.update("discriminator", batch, latents, 0, measure=True)
    found = dict(zip(report.names, report.values.tolist(), strict=True))
    assert found["D(real)"] == pytest.approx(float(real.mean()), abs=1e-5)
    assert found["D(fake)"] == pytest.approx(float(fake.mean()), abs=1e-5)
    assert found["rank"] == pytest.approx(float((real > fake).float().mean()))
    spread = drawn.std(0, correction=0).mean() / data.std(0, correction=0).mean()
    assert found["spread"] == pytest.approx(float(spread), rel=1e-4)


@pytest.mark.parametrize(("schedule", "times"), [("constant", 2), ("linear", 2 * 60)])
def test_rates_are_written_when_they_change(schedule, times, monkeypatch):
    written = []
    original = training_module.set_learning_rate

    def write(optimizer, factor):
        written.append(factor)
        return original(optimizer, factor)

    monkeypatch.setattr(training_module, "set_learning_rate", write)
    section = {"schedule": schedule}
    run = training(optim={"gen": section, "disc": section})
    run.run()
    assert len(written) == times
    run.load_state_dict(run.state_dict())
    run.roll_back(1, "a test")
    run._set_schedules()
    assert len(written) == times + 2
    assert schedule == "linear" or written == [1, 1, 0.5, 0.5]


def test_a_rate_on_a_device_is_not_read():
    class Unread(torch.Tensor):
        def __float__(self):
            raise AssertionError("the host waits for the device")

    run = training()
    optimizer = run.pipeline.optimizers["generator"]
    (group,) = optimizer.param_groups
    group["initial_lr"] = 0.25
    group["lr"] = torch.tensor(0.25).as_subclass(Unread)
    training_module.set_learning_rate(optimizer, 0.5)
    assert group["lr"].as_subclass(torch.Tensor).tolist() == 0.125


def test_a_line_has_the_norms_of_the_weights_when_it_was_begun():
    run, lines = training(), Lines()
    run.listeners.append(lines)
    run.run()
    for side in ("discriminator", "generator"):
        squares = [
            float(p.detach().double().square().sum())
            for p in run.pipeline.parts.net(side).parameters()
        ]
        assert lines.lines[-1][side]["weights"] == pytest.approx(sum(squares) ** 0.5, rel=1e-5)
