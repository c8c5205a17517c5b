"""On a GPU: the engines agree, recorded updates go on after a resume,
data stream through pinned memory, bf16 and every optimizer train.
tests/engine/test_capture.py holds the logic of recordings without one.
"""

import contextlib
import itertools
import statistics

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Tracker
from ganzoo.engine import devices
from ganzoo.training.loop import Training

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
REGISTRY = zoo().registry
FALLING = {"from": 10.0, "to": 0.1, "shape": "cosine"}
SMALL = {
    "data": {"resolution": 16, "flip": True},
    "gen": {"width": 16},
    "disc": {"width": 16},
    "train": {"images": 32 * 24, "batch_size": 32, "device": "cuda", "precision": "fp32"},
    "average": {"half_life": 200},
    "log": {"images": 64},
    "optim": {"gen": {"schedule": "cosine"}, "disc": {"schedule": "linear"}},
}
CASES = {
    "plain": {},
    "gp": {"reg": {"gp": {}}},
    "lazy": {
        "reg": {"r1": {"every": 4, "weight": FALLING}, "r2": {"every": 3}},
        "loss": {"name": "rpgan"},
    },
    "state": {"reg": {"sn": {"side": "both"}, "noise": {}}},
    "clip": {"reg": {"clip": {}}, "loss": {"name": "wgan"}, "train": {"n_critic": 2}},
}


@pytest.fixture
def deterministic(monkeypatch):
    """The switches of train.deterministic, set back afterwards."""
    import torch._inductor.config as inductor

    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    benchmark = torch.backends.cudnn.benchmark
    with (
        inductor.patch(deterministic=False)
        if hasattr(inductor, "deterministic")
        else contextlib.nullcontext()
    ):
        yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark


def training(case, tell=print, **train):
    layer = configuration.merge(configuration.merge(SMALL, case), {"train": train})
    pipeline = assemble(
        configuration.check(configuration.merge(configuration.defaults(), layer)), REGISTRY
    )
    return Training(pipeline, tell=tell)


def losses(run):
    """What `log.jsonl` would hold of losses, a row of both for each line."""
    lines = []

    class Listener(Tracker):
        def log(self, record):
            lines.append([record[side]["total"] for side in ("discriminator", "generator")])

    run.listeners.append(Listener())
    run.run()
    return torch.tensor(lines, dtype=torch.float64)


def saved(run, at):
    """The state of a training after `at` images, as a file would give it."""
    found = {}

    def tick(images):
        if images == at:
            for group, content in run.state_dict().items():
                own = {
                    k: v.detach().cpu().clone().contiguous() if torch.is_tensor(v) else v
                    for k, v in content.items()
                }
                found[group] = own

    run.tick = tick
    return found


@pytest.mark.parametrize("case", CASES)
def test_engines_agree(case):
    """The first log lines, which cover the first updates:
    later ones part by the chaos of a GAN, not by the engine.
    """
    found = {}
    for engine in ("eager", "compiled", "captured"):
        run = training(CASES[case], engine=engine)
        found[engine] = losses(run)[:2]
        assert run.engine.mode == engine
    if case in (
        "plain",
        "lazy",
        "clip",
    ):  # inductor draws other random numbers within an update than eager does
        torch.testing.assert_close(found["compiled"], found["eager"], rtol=5e-3, atol=1e-3)
    torch.testing.assert_close(found["captured"], found["compiled"], rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_captured_resumes_bit_for_bit(case, deterministic):
    whole = training(CASES[case], engine="captured", deterministic=True)
    step = 32 * whole.config.train.n_critic
    state = saved(whole, 8 * step)
    whole.run()
    resumed = training(CASES[case], engine="captured", deterministic=True)
    torch.cuda.manual_seed(99)  # whatever the next process would start with
    resumed.load_state_dict(state)
    resumed.run()
    assert whole.engine.mode == resumed.engine.mode == "captured"
    ends = whole.state_dict(), resumed.state_dict()
    for group, content in ends[0].items():
        for name, value in content.items():
            assert not torch.is_tensor(value) or torch.equal(value, ends[1][group][name]), (
                group,
                name,
            )


def test_resume_within_noise_without_deterministic_mode():
    """The losses of a resumed run against the whole one: no further
    off than two whole runs of one seed are from each other.
    """
    runs = [training(CASES["gp"], engine="captured") for _ in range(3)]
    state = saved(runs[0], 32 * 12)
    whole, again = losses(runs[0]), losses(runs[1])
    runs[2].load_state_dict(state)
    resumed = losses(runs[2])
    noise = (whole - again).abs().max()
    print(
        f"two whole runs differ by {noise:.2g}, a resumed one by "
        f"{(whole[-len(resumed) :] - resumed).abs().max():.2g}"
    )
    torch.testing.assert_close(
        resumed, whole[-len(resumed) :], rtol=1e-2, atol=max(1e-2, 4 * float(noise))
    )


def test_bf16_and_tf32_are_near_fp32():
    found = {
        name: losses(training(CASES["gp"], engine="captured", precision=name))[0]
        for name in ("fp32", "tf32", "bf16")
    }
    torch.testing.assert_close(found["tf32"], found["fp32"], rtol=2e-2, atol=1e-2)
    torch.testing.assert_close(found["bf16"], found["fp32"], rtol=1e-1, atol=5e-2)


@pytest.mark.parametrize("name", [c.name for c in REGISTRY.components("optimizer")])
def test_every_optimizer_trains(name):
    """Captured, or one line on why not; never with a state that stands still."""
    said = []
    case = {"optim": {"gen": {"name": name}, "disc": {"name": name}}}
    run = training(case, said.append, engine="captured")
    assert torch.isfinite(losses(run)).all()
    fallen = [line for line in said if "engine captured does not take" in line]
    assert len(fallen) == (run.engine.mode != "captured"), said
    eager = training(case, engine="eager")
    eager.run()
    for side, optimizer in run.engine.optimizers.items():
        for one, other in zip(
            optimizer.state.values(), eager.engine.optimizers[side].state.values(), strict=True
        ):
            assert "step" not in one or float(one["step"]) == float(other["step"])


def test_random_numbers_after_a_recording_that_failed():
    """What follows a recording that was broken off
    draws random numbers as if there had been none.
    """

    class Reading(torch.optim.SGD):
        def step(self, closure=None):
            if float(self.param_groups[0]["params"][0].grad.sum()) < 1e9:
                super().step()

    said = []
    run = training({"reg": {"gp": {}, "noise": {}}}, said.append, engine="captured")
    for side, optimizer in run.engine.optimizers.items():
        run.engine.captured[side].optimizer = run.engine.optimizers[side] = Reading(
            optimizer.param_groups[0]["params"], lr=0.01
        )
    assert torch.isfinite(losses(run)).all()
    assert run.engine.mode == "compiled" and any("does not take" in line for line in said)
    torch.randn(8, device="cuda")


def test_streamed_data_are_the_resident_ones(deterministic):
    found = [
        losses(training({"data": {"resident": where}}, engine="captured", deterministic=True))
        for where in ("gpu", "host")
    ]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_the_host_does_not_wait_for_the_device():
    """Between two log lines nothing in the loop makes the host
    wait: indices, latents and schedules are made on the device.
    """
    run = training({"log": {"images": 10**6}}, engine="captured")
    seen = []

    def tick(images):
        if images == 32 * 8:  # past recording
            torch.cuda.set_sync_debug_mode("error")
        if images == 32 * 20:
            torch.cuda.set_sync_debug_mode("default")
            seen.append(images)

    run.tick = tick
    try:
        run.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert seen


def test_captured_is_faster_than_eager():
    medians = {}
    for engine in ("eager", "captured"):
        run = training({}, engine=engine)
        ends = []

        def tick(images, ends=ends):
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            ends.append(event)

        run.tick = tick
        run.run()
        torch.cuda.synchronize()
        medians[engine] = statistics.median(
            a.elapsed_time(b) for a, b in itertools.pairwise(ends[8:])
        )
    print(medians)
    assert medians["captured"] < 0.6 * medians["eager"]


def test_precision_by_itself_is_bf16():
    assert devices.choose_precision("auto", torch.device("cuda")) in ("bf16", "tf32")
    assert devices.choose_engine("auto", torch.device("cuda"))[0] == "captured"
