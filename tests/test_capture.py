"""Recorded updates train as eager ones do: schedules go on, random numbers come anew, lazy penalties have their own recording, and
a resumed or rolled-back training goes on with them. The recordings are those of `recorded`; tests/test_cuda.py has a GPU's.
"""

import pytest
import recorded
import torch

from ganzoo import capture
from ganzoo import config as configuration
from ganzoo.assembly import assemble
from ganzoo.contracts import Regularizer
from ganzoo.engine import SIDES
from ganzoo.plugins import zoo
from ganzoo.training import Training

REGISTRY = zoo().registry
TINY = {
    "data": {"resolution": 8, "flip": True},
    "gen": {"width": 8},
    "disc": {"width": 8, "norm": "layer"},
    "train": {"images": 8 * 12, "batch_size": 8},
    "average": {"half_life": 100},
    "log": {"images": 16},
}
SCHEDULES = {"optim": {"gen": {"schedule": "cosine"}, "disc": {"schedule": "linear"}}}
CASES = {
    "plain": {},
    "schedules": SCHEDULES,
    "lazy": {
        "reg": {"r1": {"every": 4, "final": 0.1}, "r2": {"every": 3}},
        "loss": {"name": "rpgan"},
    },
    "random": {"reg": {"gp": {}, "noise": {}}},
    "state": {"reg": {"sn": {"side": "both"}, "smooth": {}}},
    "constraint": {"reg": {"clip": {}}, "loss": {"name": "wgan"}, "train": {"n_critic": 2}},
    "clipped": {"optim": {"gen": {"clip_norm": 0.5}, "disc": {"clip_value": 0.01}}},
    "momentum": {"optim": {"gen": {"name": "sgd", "momentum": 0.9}, "disc": {"name": "adamw"}}},
    "bf16": {"train": {"precision": "bf16"}, "reg": {"r1": {}}},
}


@pytest.fixture
def cuda(monkeypatch):
    """Recordings without a GPU, of updates that are not compiled (how they compile, other tests hold)."""
    stand_in = recorded.Cuda()
    monkeypatch.setattr(capture, "cuda", stand_in)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(
        capture.Recorder,
        "_forget_recording",
        lambda self, random_state: torch.set_rng_state(random_state),
    )
    return stand_in


def training(case, engine, tell=print):
    layer = configuration.merge(TINY, case)
    pipeline = assemble(
        configuration.check(configuration.merge(configuration.defaults(), layer)), REGISTRY
    )
    pipeline.engine, pipeline.parts.way = engine, "dual"
    for net in (pipeline.parts.generator, pipeline.parts.discriminator):
        net.to(memory_format=torch.channels_last)  # as on a GPU
    return Training(pipeline, tell=tell)


def check_close(one, other):
    for group, content in one.items():
        for name, value in content.items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                torch.testing.assert_close(
                    value,
                    other[group][name],
                    rtol=1e-4,
                    atol=1e-6,
                    msg=lambda m, n=name: f"{n}: {m}",
                )
            elif isinstance(value, torch.Tensor):
                assert torch.equal(value, other[group][name]), (group, name)


@pytest.mark.parametrize("case", CASES)
def test_captured_trains_as_eager(case, cuda):
    eager, captured = training(CASES[case], "eager"), training(CASES[case], "captured")
    for run in (eager, captured):
        torch.manual_seed(5)  # one random state for both: the streams are made with the training
        run.run()
    assert captured.engine.mode == "captured"
    variants = {side: len(captured.engine.captured[side].graphs) for side in SIDES}
    assert cuda.recordings == sum(variants.values())
    for side in (
        SIDES
    ):  # one for each set of due regularizers, and another where the gradient's norm is asked for
        due = {captured.pipeline.parts.due(side, number) for number in range(12)}
        recorded_for = captured.engine.captured[side].graphs
        assert {sets for sets, _ in recorded_for} == due
        assert case == "constraint" or {measured for _, measured in recorded_for} == {
            False,
            True,
        }  # there each one is logged
    check_close(eager.state_dict(), captured.state_dict())


def saved(run, at):
    """The state of a training after `at` images, as a file would give it: no tensor is shared, all are contiguous."""
    found = {}

    def tick(images):
        if images == at:
            for group, content in run.state_dict().items():
                own = {
                    k: v.detach().clone().contiguous() if isinstance(v, torch.Tensor) else v
                    for k, v in content.items()
                }
                found[group] = own

    run.tick = tick
    run.run()
    return found


def check_equal(one, other):
    for group, content in one.items():
        for name, value in content.items():
            assert not isinstance(value, torch.Tensor) or torch.equal(value, other[group][name]), (
                group,
                name,
            )


RESUMED = ("schedules", "lazy", "random", "state", "momentum")


@pytest.mark.parametrize("case", RESUMED)
def test_captured_resumes_bit_for_bit(case, cuda):
    whole = training(CASES[case], "captured")
    state = saved(whole, 40)
    resumed = training(CASES[case], "captured")
    resumed.load_state_dict(state)
    resumed.run()
    assert resumed.engine.mode == "captured"
    check_equal(whole.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("case", RESUMED)
def test_recordings_go_on_after_a_state_is_put_back(case, cuda):
    """As a rollback does: the graphs that were recorded before it train on, in the tensors that they know."""
    run = training(CASES[case], "captured")
    state = saved(run, 40)
    end, recordings = run.state_dict(), cuda.recordings
    end = {
        group: {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in content.items()}
        for group, content in end.items()
    }
    run.tick = lambda images: None
    run.load_state_dict(state)
    run.run()
    assert cuda.recordings == recordings
    check_equal(end, run.state_dict())


class Counting(torch.optim.SGD):
    """Its own decay of the rate, by a count that it keeps in Python: fine in a loop, and standing still in a recording."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                count = self.state[parameter].setdefault("count", 0) + 1
                self.state[parameter]["count"] = count
                parameter.data.add_(parameter.grad, alpha=-0.01 / count)


class Reading(torch.optim.SGD):
    """Looks at a value on the device in every step, which cannot be recorded."""

    def step(self, closure=None):
        if float(self.param_groups[0]["params"][0].grad.sum()) < 1e9:
            super().step()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Counting, "Counting keeps 'count' on the host"), (Reading, "not permitted")],
)
def test_an_optimizer_that_needs_the_host_is_told_and_trains_on(kind, reason, cuda):
    told, runs = [], {}
    for engine in ("eager", "captured"):
        run = runs[engine] = training({}, engine, tell=told.append)
        for side, optimizer in run.engine.optimizers.items():
            run.engine.optimizers[side] = kind(optimizer.param_groups[0]["params"], lr=0.01)
        run.engine.__init__(
            run.engine.parts,
            run.engine.optimizers,
            run.engine.clips,
            engine,
            run.progress,
            told.append,
        )
        torch.manual_seed(5)
        run.run()
    assert runs["captured"].engine.mode == "compiled"
    assert [
        line
        for line in told
        if "engine captured does not take" in line and reason in line and "using compiled" in line
    ]
    check_close(runs["eager"].pipeline.state_dict(), runs["captured"].pipeline.state_dict())


class Host(Regularizer):
    """A weight that falls with the updates, counted in Python: fine in a loop, and standing still in a recording."""

    def __init__(self):
        super().__init__(weight=1.0)
        self.count = 0

    def penalty(self, step):
        self.count += 1
        return step.fake_logits.square().mean() / self.count


class Replaced(Regularizer):
    """A running mean whose buffer is another tensor after every update."""

    def __init__(self):
        super().__init__(weight=1.0)
        self.register_buffer("mean", torch.zeros(()))

    def penalty(self, step):
        self.mean = 0.9 * self.mean + 0.1 * step.fake_logits.detach().mean()
        return (step.fake_logits.mean() - self.mean).square()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Host, "reg.own: count changes in an update and is no buffer"),
        (Replaced, "reg.own: mean is replaced in an update"),
    ],
)
def test_a_part_that_needs_the_host_is_told_and_trains_on(kind, reason, cuda):
    told, runs = [], {}
    for engine in ("eager", "captured"):
        first = training({}, engine, tell=told.append)
        first.pipeline.parts.regularizers = {"own": kind()}
        run = runs[engine] = Training(first.pipeline, tell=told.append)
        torch.manual_seed(5)
        run.run()
    assert runs["captured"].engine.mode == "compiled"
    assert [line for line in told if reason in line and "using compiled" in line]
    check_close(runs["eager"].pipeline.state_dict(), runs["captured"].pipeline.state_dict())
    own = [run.pipeline.parts.regularizers["own"] for run in runs.values()]
    assert kind is Replaced or own[0].count == own[1].count
