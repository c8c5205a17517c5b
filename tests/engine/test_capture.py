"""Recorded updates train as eager ones do: schedules go on, random numbers come anew, lazy
penalties have their own recording, and a resumed or rolled-back training goes on with them. The
recordings are those of `recorded`; tests/engine/test_cuda.py has a GPU's.
"""

import threading

import pytest
import torch
from recorded import check_close

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Regularizer
from ganzoo.engine import capture
from ganzoo.engine.engine import SIDES
from ganzoo.engine.snapshot import Snapshot
from ganzoo.spec import as_samples
from ganzoo.training.loop import Training

REGISTRY = zoo().registry
FALLING = {"from": 10.0, "to": 0.1, "shape": "cosine"}
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
        "reg": {"r1": {"every": 4, "weight": FALLING}, "r2": {"every": 3}},
        "loss": {"name": "rpgan"},
    },
    "random": {"reg": {"gp": {}, "noise": {}}},
    "dropout": {"disc": {"dropout": 0.3, "minibatch": 3}},
    "state": {"reg": {"sn": {"side": "both"}, "smooth": {}}},
    "constraint": {"reg": {"clip": {}}, "loss": {"name": "wgan"}, "train": {"n_critic": 2}},
    "clipped": {"optim": {"gen": {"clip_norm": 0.5}, "disc": {"clip_value": 0.01}}},
    "momentum": {"optim": {"gen": {"name": "sgd", "momentum": 0.9}, "disc": {"name": "adamw"}}},
    "bf16": {"train": {"precision": "bf16"}, "reg": {"r1": {}}},
}


def training(case, engine, tell=print):
    layer = configuration.merge(TINY, case)
    pipeline = assemble(
        configuration.check(configuration.merge(configuration.defaults(), layer)), REGISTRY
    )
    pipeline.engine, pipeline.parts.differentiation = engine, "forward_over_reverse"
    for net in (pipeline.parts.generator, pipeline.parts.discriminator):
        net.to(memory_format=torch.channels_last)  # as on a GPU
    return Training(pipeline, tell=tell)


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
        assert {sets for sets, _, _ in recorded_for} == due
        assert case == "constraint" or {measured for _, measured, _ in recorded_for} == {
            False,
            True,
        }  # there each one is logged
    check_close(eager.state_dict(), captured.state_dict())


def saved(run, at):
    """The state of a training after `at` images, as a file
    would give it: no tensor is shared, all are contiguous.
    """
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


RESUMED = ("schedules", "lazy", "random", "dropout", "state", "momentum")


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
    """As a rollback does: the graphs that were recorded
    before it train on, in the tensors that they know.
    """
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
    """Its own decay of the rate, by a count that it keeps in
    Python: fine in a loop, and standing still in a recording.
    """

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
    [(Counting, "Counting keeps 'count' on the host"), (Reading, "synchronizing")],
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
    assert cuda.broken == 0  # found before a recording began: one that breaks off leaks its memory


class Host(Regularizer):
    """A weight that falls with the updates, counted in
    Python: fine in a loop, and standing still in a recording.
    """

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


class Failing(Regularizer):
    """A penalty with state of every sort, which lets
    a test make it fail after it has changed it.
    """

    def __init__(self, fails=lambda: None):
        super().__init__(weight=1.0)
        self.register_buffer("mean", torch.zeros(()))
        self.fails = fails

    def penalty(self, step):
        drawn = step.fake_logits + 0.1 * torch.randn_like(step.fake_logits)
        self.mean.lerp_(drawn.detach().mean(), 0.1)
        self.fails()
        return (drawn - self.mean).square().mean()


def with_part(part, engine, tell=print):
    """A training with one regularizer, made by hand."""
    built = training({}, "eager").pipeline
    built.engine, built.parts.regularizers = engine, {"own": part}
    torch.manual_seed(5)
    return Training(built, tell=tell)


def test_an_eager_update_that_fails_is_not_tried_again():
    tries, told = [], []

    def fail():
        tries.append(1)
        raise ValueError("not this way")

    run = with_part(Failing(fail), "eager", told.append)
    batch, latents = run.feed.next(), run.pipeline.parts.generator.draw_latents(8)
    with pytest.raises(ValueError, match="not this way"):
        run.engine.update("discriminator", batch, latents, 0)
    assert tries == [1] and not told


def steps(run):
    """How often each side's optimizer has stepped."""
    return {
        side: {float(entry["step"]) for entry in optimizer.state.values()}
        for side, optimizer in run.engine.optimizers.items()
    }


class Constraint(Regularizer):
    """Its action on the weights fails the first time."""

    failed = False

    def after_update(self, net):
        if not self.failed:
            type(self).failed = True
            raise ValueError("not today")


@pytest.mark.parametrize("engine", ["eager", "compiled", "captured"])
def test_an_update_that_failed_after_its_step_is_not_done_again(engine, cuda, monkeypatch):
    monkeypatch.setattr(Constraint, "failed", False)
    told = []
    run = with_part(Constraint(), engine, told.append)
    batch, latents = run.feed.next(), run.pipeline.parts.generator.draw_latents(8)
    if engine == "captured":  # it fails where everything is undone: as the recording warms up
        run.engine.update("discriminator", batch, latents, 0)
        assert run.engine.mode == "compiled" and "not today" in told[0]
    else:
        with pytest.raises(ValueError, match="not today"):
            run.engine.update("discriminator", batch, latents, 0)
        assert run.engine.mode == engine and not told
    assert steps(run)["discriminator"] == {1.0}


@pytest.mark.parametrize("when", ["forward", "backward"])
def test_what_fails_in_the_compiler_leaves_nothing_behind(when, cuda, monkeypatch):
    """State of parts, in buffers, in Python and in random
    numbers, is as in a training that was eager from the start.
    """
    eager = with_part(Failing(), "eager")
    eager.run()

    def compile(function, **_):
        def run(*arguments):
            found = function(*arguments)
            if when == "forward":
                raise RuntimeError("no such kernel")
            total = found[0] * 1
            total.register_hook(
                lambda gradient: (_ for _ in ()).throw(RuntimeError("no such kernel"))
            )
            return total, *found[1:]

        return run

    monkeypatch.setattr(torch, "compile", compile)
    told, part = [], Failing()
    part.calls, part.history = 0, []

    def count():
        part.calls += 1
        part.history.append(1)

    part.fails = count
    run = with_part(part, "compiled", told.append)
    run.run()
    assert run.engine.mode == "eager" and [line for line in told if "no such kernel" in line]
    check_equal(eager.state_dict(), run.state_dict())
    assert part.calls == len(part.history) == 12


def test_a_run_that_breaks_off_is_over_before_anything_is_put_back(cuda):
    told = []

    def fail():
        raise ValueError("not this way")

    part = Failing(fail)
    run = with_part(part, "captured", told.append)
    batch, latents = run.feed.next(), run.pipeline.parts.generator.draw_latents(8)
    with pytest.raises(ValueError, match="not this way"):
        run.engine.update("discriminator", batch, latents, 0)
    assert cuda.said == ["side waits for current", "current waits for side"]


def test_nothing_of_the_training_waits_while_waiting_is_an_error(cuda):
    """PyTorch's switch holds for all threads: what is being written is written first."""
    run = training({}, "captured")
    begun, written = threading.Event(), []

    def job():
        begun.wait()
        written.append("waits: error" in cuda.said)

    run.writer.submit(job)
    threading.Timer(0.05, begun.set).start()
    batch, latents = run.feed.next(), run.pipeline.parts.generator.draw_latents(8)
    run.engine.update("discriminator", batch, latents, 0)
    assert written == [False]
    assert cuda.said[1:] == ["waits: error", "waits: 0", "current waits for side"]
    run.writer.close()


def test_a_recording_that_breaks_off_gives_its_memory_back(cuda, monkeypatch):
    closed, told = [], []
    monkeypatch.setattr(capture, "close_pool", lambda *pool: closed.append(pool))

    def fail():
        if cuda.recording:
            raise ValueError("not while recording")

    run, eager = with_part(Failing(fail), "captured", told.append), with_part(Failing(), "eager")
    for one in (run, eager):
        torch.manual_seed(5)
        one.run()
    assert cuda.broken == 1 and closed == [(0, (0, 1))]
    assert run.engine.mode == "compiled" and "not while recording" in told[1]
    check_equal(eager.pipeline.state_dict(), run.pipeline.state_dict())


@pytest.mark.parametrize("where", ["warming up", "recording"])
def test_a_full_gpu_goes_on_without_recordings(where, cuda):
    told = []

    def fail():
        if run.engine.mode == "captured" and cuda.recording == (where == "recording"):
            raise torch.OutOfMemoryError("CUDA out of memory")

    run, eager = with_part(Failing(fail), "captured", told.append), with_part(Failing(), "eager")
    for one in (run, eager):
        torch.manual_seed(5)
        one.run()
    assert run.engine.mode == "compiled" and not run.engine.captured
    assert [line for line in told if "out of memory" in line and "using compiled" in line]
    check_equal(eager.pipeline.state_dict(), run.pipeline.state_dict())


def test_a_full_gpu_without_recordings_is_an_error(cuda):
    def fail():
        raise torch.OutOfMemoryError("CUDA out of memory")

    run = with_part(Failing(fail), "compiled")
    with pytest.raises(torch.OutOfMemoryError):
        run.run()
    assert run.engine.mode == "compiled"


def test_a_recording_takes_inputs_of_its_own_kind_only(cuda):
    """Bytes copied into an input of floats would be samples of a hundred deviations."""
    run = training({"data": {"flip": False}}, "captured")
    batch, latents = run.feed.next(), run.pipeline.parts.generator.draw_latents(8)
    run.engine.update("discriminator", batch, latents, 0)
    captured = run.engine.captured["discriminator"]
    with pytest.raises(ValueError, match=r"changed to torch\.float32"):
        captured.prepare((as_samples(batch.samples), None, None, latents), ((), False, ()))
    with pytest.raises(ValueError, match="came or went"):
        captured.prepare((batch.samples, None, None, latents), ((), False, ()))


def test_what_a_part_keeps_in_containers_is_looked_into():
    """A list, table or set may be there, and be another with the same content; not change."""
    part = torch.nn.Identity()
    part.seen, part.table, part.names = [1, 2], {"a": 1, "b": 2}, {"x"}
    before = Snapshot({"reg.own": part}, torch.device("cpu"))
    part.seen = [1, 2]
    before.check()
    for change, name in (
        (lambda: part.seen.append(3), "seen"),
        (lambda: part.seen.__setitem__(1, 5), "seen"),
        (lambda: part.table.update(b=5), "table"),
        (lambda: part.table.update(c=part.table.pop("b")), "table"),
        (lambda: part.names.add("y"), "names"),
        (lambda: setattr(part, "late", []), "late"),
    ):
        before = Snapshot({"reg.own": part}, torch.device("cpu"))
        change()
        with pytest.raises(RuntimeError, match=f"reg.own: {name} changes in an update"):
            before.check()
