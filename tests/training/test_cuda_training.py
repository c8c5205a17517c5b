"""On a GPU: trainings as a person has them (bf16, 64x64, a run folder and its
writer), every kind of part in recordings, going on in new processes and on
other devices, memory that runs out at every stage, and a host that never waits.
"""

import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from ideas import IDEAS, registry_of
from ideas import pipeline as with_idea

from ganzoo import config as configuration
from ganzoo.assembly import memory
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Dataset, Regularizer, Tracker
from ganzoo.data.loader import Feed
from ganzoo.engine import capture
from ganzoo.engine.engine import SIDES
from ganzoo.io import checkpoints as checkpoint
from ganzoo.io.transfer import Transfer
from ganzoo.training import rollback as recovery
from ganzoo.training import run_folder as runs
from ganzoo.training.loop import Training
from ganzoo.training.spacing import Spacing

DEVICE, ENGINE = "cuda", "captured"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
REGISTRY = zoo().registry
FALLING = {"from": 10.0, "to": 0.1, "shape": "cosine"}
SMALL = {
    "data": {"resolution": 16, "flip": True},
    "gen": {"name": "dcgan", "width": 16},
    "disc": {"width": 16},
    "loss": {"name": "nonsat"},
    "train": {"images": 32 * 24, "batch_size": 32, "device": DEVICE, "precision": "fp32"},
    "average": {"half_life": 200},
    "log": {"images": 64},
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return registry_of(tmp_path_factory.mktemp("site"))


@pytest.fixture(autouse=True)
def as_it_was():
    """The process's switches, and what is held of the GPU."""
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def configured(*layers):
    tree = configuration.merge(configuration.defaults(), SMALL)
    for layer in layers:
        tree = configuration.merge(tree, layer)
    return configuration.check(tree)


def training(*layers, tell=print, folder=None):
    return Training(assemble(configured(*layers), REGISTRY), folder, tell=tell)


class Lines(Tracker):
    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)


def trained(run):
    """The log lines of a run that goes to its end."""
    heard = Lines()
    run.listeners.append(heard)
    run.run()
    for line in heard.lines:
        for side in SIDES:
            assert all(abs(value) < 1e6 for value in line[side].values()), line
    return heard.lines


# The default path.


@pytest.mark.parametrize("batch", [64, 1024])
def test_the_default_path_in_a_run_folder(batch, tmp_path):
    """No falling back; lines, pictures and checkpoints are
    written beside, and what is saved is what was trained.
    """
    said = []
    config = configuration.check(
        configuration.merge(
            configuration.defaults(),
            {
                "gen": {"name": "dcgan", "width": 64},
                "disc": {"width": 64},
                "loss": {"name": "nonsat"},
                "data": {"resolution": 64},
                "train": {"images": batch * 60, "batch_size": batch, "device": DEVICE},
                "checkpoint": {"images": batch * 8},
                "samples": {"images": batch * 8},
                "log": {"images": batch * 4},
            },
        )
    )
    pipeline = assemble(config, REGISTRY)
    runs.describe(tmp_path, pipeline, "a test")
    run = Training(pipeline, tmp_path, tell=said.append)
    run.checkpoints, run.pictures = Spacing(0.0), Spacing(0.0)
    lines = trained(run)
    assert run.engine.mode == ENGINE and not [line for line in said if "does not take" in line]
    assert pipeline.parts.precision == ("bf16" if torch.cuda.is_bf16_supported() else "tf32")
    assert len(lines) == 15 and all("health" in line for line in lines)
    assert len(list((tmp_path / "samples").glob("*.png"))) >= 7
    state, _ = checkpoint.newest(tmp_path, print)
    live = run.state_dict()
    for group, content in live.items():
        for name, value in content.items():
            if torch.is_tensor(value):
                assert torch.equal(state[group][name], value.cpu()), (group, name)


def test_a_rollback_goes_on_with_the_graphs_that_there_are(tmp_path):
    """A weight that is spoilt in the middle: the run goes
    back to its checkpoint, at half the rates, and ends.
    """
    config = configured({"train": {"on_nan": "rollback"}, "checkpoint": {"images": 128}})
    pipeline = assemble(config, REGISTRY)
    runs.describe(tmp_path, pipeline, "a test")
    run, spoilt = Training(pipeline, tmp_path), []
    run.checkpoints = Spacing(0.0)

    def tick(images):
        if images == 320 and not spoilt:
            spoilt.append(sum(len(c.graphs) for c in run.engine.captured.values()))
            with torch.no_grad():
                next(pipeline.parts.generator.parameters()).fill_(float("nan"))

    run.tick = tick
    recovery.run(run, print)
    assert run.rollbacks == 1 and run.images >= config.train.images and run.engine.mode == ENGINE
    assert sum(len(c.graphs) for c in run.engine.captured.values()) == spoilt[0]


# Parts of every kind.

PARTS = {
    "clipping": {"optim": {"gen": {"clip_norm": 0.5}, "disc": {"clip_value": 0.01}}},
    "critics and lazy penalties": {
        "train": {"n_critic": 3},
        "reg": {"r1": {"every": 4}, "gp": {"every": 3}},
    },
    "everything": {
        "reg": {
            "r1": {"every": 2, "weight": FALLING},
            "r2": {},
            "noise": {},
            "sn": {"side": "both"},
        },
        "loss": {"name": "rpgan"},
    },
}


@pytest.mark.parametrize("case", PARTS)
def test_parts_in_recordings(case):
    """The first lines are those of the compiled engine."""
    found = {}
    for engine in ("compiled", ENGINE):
        run = training(PARTS[case], {"train": {"engine": engine}})
        found[engine] = trained(run)[:2]
        assert run.engine.mode == engine
    for one, other in zip(found["compiled"], found[ENGINE], strict=True):
        for side in SIDES:
            assert one[side] == pytest.approx(other[side], rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("idea", IDEAS)
def test_parts_of_third_parties_in_recordings(idea, registry):
    """Labels, augmentations that adapt, packing, penalties
    of their own: recorded, or one line on why not.
    """
    said = []
    run = Training(
        with_idea(registry, IDEAS[idea], train={"device": DEVICE, "engine": ENGINE}),
        tell=said.append,
    )
    run.goal = 8 * 40
    trained(run)
    fallen = [line for line in said if "does not take" in line]
    assert bool(fallen) == (run.engine.mode != ENGINE), said


def test_random_numbers_are_those_of_the_compiled_engine():
    """PyTorch counts how many random numbers a recording draws and
    moves on by as many in each replay; so do compiled updates.
    """
    states = {}
    for engine in ("compiled", ENGINE):
        run = training({"reg": {"gp": {}, "noise": {}}, "train": {"engine": engine}})
        trained(run)
        assert run.engine.mode == engine
        states[engine] = run.streams.state_dict()
    for name, value in states["compiled"].items():
        assert torch.equal(value, states[ENGINE][name]), f"philox: {name}"


def test_many_variants_in_any_order_against_memory_of_their_own(monkeypatch):
    """Recordings share their memory because they never
    overlap: with memory for each, the numbers are the same.
    """
    layer = {
        "reg": {"r1": {"every": 2}, "r2": {"every": 3}, "gp": {"every": 5}},
        "loss": {"name": "rpgan"},
        "train": {"deterministic": True},
    }
    numbers = [random.Random(0).randrange(30) for _ in range(120)]
    ends = {}
    for shared in (True, False):
        with monkeypatch.context() as patched:
            run = training(layer)
            if not shared:
                record = capture.Recorder.record

                def alone(self, function, record=record):
                    self.pool = torch.cuda.graph_pool_handle()
                    return record(self, function)

                patched.setattr(capture.Recorder, "record", alone)
            stream = torch.Generator(DEVICE).manual_seed(3)
            batch = run.feed.next()
            for n in numbers:
                for side in SIDES:
                    latents = run.pipeline.parts.generator.draw_latents(32, stream)
                    run.engine.update(side, batch, latents, n, n % 4 == 0)
            assert run.engine.mode == ENGINE
            assert sum(len(c.graphs) for c in run.engine.captured.values()) > 10
            ends[shared] = run.pipeline.state_dict()
    for group, content in ends[True].items():
        for name, value in content.items():
            assert torch.equal(value, ends[False][group][name]), (group, name)


# Going on elsewhere.

HALF = """
import sys, torch
from pathlib import Path
from ganzoo import checkpoint, runs
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.training.loop import Training
folder = Path(sys.argv[1])
config, _ = runs.open_run(folder)
pipeline = assemble(config, zoo().registry)
torch.randn(1000, device=pipeline.device)
run = Training(pipeline, folder)
found = checkpoint.newest(folder, print)
if found:
    run.load_state_dict(found[0])
stop = int(sys.argv[2])
def tick(images):
    if images == stop:
        run.save()
        run.writer.wait()
        sys.exit(0)
run.tick = tick
run.run()
assert run.engine.mode == run.pipeline.engine
"""


def in_new_process(folder, stop):
    """Train in a process of its own, until so many images."""
    done = subprocess.run(
        [sys.executable, "-c", HALF, str(folder), str(stop)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def described(folder, **train):
    folder.mkdir()
    layer = {"train": train, "reg": {"gp": {}}, "checkpoint": {"images": 0, "minutes": 0}}
    config = configured(layer)
    runs.describe(folder, assemble(config, REGISTRY), "a test")
    return config


def test_resume_in_a_new_process_bit_for_bit(tmp_path):
    config = described(tmp_path / "whole", deterministic=True)
    described(tmp_path / "cut", deterministic=True)
    in_new_process(tmp_path / "whole", -1)
    in_new_process(tmp_path / "cut", 32 * 9)
    in_new_process(tmp_path / "cut", -1)
    one, other = (checkpoint.newest(tmp_path / name, print)[0] for name in ("whole", "cut"))
    assert one["counters"]["images"] >= config.train.images
    for group, content in one.items():
        for name, value in content.items():
            if torch.is_tensor(value):
                assert torch.equal(value, other[group][name]), (group, name)


def test_resume_between_devices(tmp_path):
    """From the GPU to the CPU and back: the weights are those
    that were saved, and the training goes on, with a note.
    """
    folder = tmp_path / "run"
    described(folder)
    in_new_process(folder, 32 * 9)
    state, _ = checkpoint.newest(folder, print)
    for device in ("cpu", DEVICE):
        told = []
        run = training({"reg": {"gp": {}}, "train": {"device": device}}, tell=told.append)
        run.load_state_dict(state)
        assert bool(told) == (device == "cpu")
        for name, value in run.pipeline.state_dict()["generator"].items():
            assert torch.equal(value.cpu(), state["generator"][name])
        run.goal = run.images + 32 * 3
        trained(run)
        state = {
            group: {k: v.cpu() if torch.is_tensor(v) else v for k, v in content.items()}
            for group, content in run.state_dict().items()
        }
        if device == "cpu":
            back = training({"reg": {"gp": {}}}, tell=told.append)
            back.load_state_dict(state)
            assert len([line for line in told if "another sort of device" in line]) == 2


# Memory.


class Hungry(Regularizer):
    """Takes what is left of the GPU's memory at one stage."""

    def __init__(self, when):
        super().__init__(weight=1.0)
        self.when = when

    def penalty(self, step):
        if self.when():
            torch.empty(1 << 50, dtype=torch.uint8, device=step.latents.device)
        return step.fake_logits.square().mean()


def hungry(when, engine, said):
    pipeline = assemble(configured({"train": {"engine": "eager"}}), REGISTRY)
    pipeline.engine, pipeline.parts.regularizers = engine, {"own": Hungry(when)}
    run = Training(pipeline, tell=said.append)
    run.engine.losses = dict(run.engine.plain)  # the compiler would look into the part
    return run


@pytest.mark.parametrize("stage", ["warming up", "recording"])
def test_a_full_gpu_goes_on_without_recordings(stage):
    said = []

    def full():
        recording = torch.cuda.is_current_stream_capturing()
        return run.engine.mode == ENGINE and recording == (stage == "recording")

    run = hungry(full, ENGINE, said)
    trained(run)
    assert run.engine.mode == "compiled"
    assert [line for line in said if "out of memory" in line and "using compiled" in line]


def test_a_full_gpu_in_training_is_one_line():
    said, calls = [], []

    def full():
        calls.append(1)
        return len(calls) > 6

    run = hungry(full, "eager", said)
    with pytest.raises(torch.OutOfMemoryError):
        run.run()
    assert "batch" in memory.after_failure(run.pipeline)


def test_a_recording_that_broke_off_gives_its_memory_back():
    """What the card holds afterwards is no more than before,
    and what is allocated comes from its ordinary memory.
    """

    def held():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    class Breaking(Regularizer):
        def penalty(self, step):
            if torch.cuda.is_current_stream_capturing():
                torch.empty(1 << 28, dtype=torch.uint8, device=step.latents.device).zero_()
                raise ValueError("not while recording")
            return step.fake_logits.square().mean()

    said = []
    pipeline = assemble(configured({"train": {"engine": "eager"}}), REGISTRY)
    pipeline.engine, pipeline.parts.regularizers = ENGINE, {"own": Breaking(weight=1.0)}
    run = Training(pipeline, tell=said.append)
    run.engine.losses = dict(run.engine.plain)
    before = held()
    batch = run.feed.next()
    latents = pipeline.parts.generator.draw_latents(32, run.streams.latents)
    run.engine.update("discriminator", batch, latents, 0)
    assert run.engine.mode == "compiled" and "not while recording" in said[-1]
    assert held() - before < 1 << 27  # not the quarter of a gibibyte that was taken in between
    probe = torch.empty(1 << 28, dtype=torch.uint8, device=DEVICE)
    del probe
    assert held() - before < 1 << 27


@pytest.mark.parametrize("batch", [64, 1024])
def test_what_is_asked_for_is_enough(batch):
    layer = {"gen": {"width": 64}, "disc": {"width": 64}, "data": {"resolution": 64}}
    run = training(layer, {"train": {"batch_size": batch, "precision": "auto"}})
    needed = memory.needed(run.pipeline, memory.estimate(run.pipeline))
    torch.cuda.reset_peak_memory_stats()
    run.goal = batch * 8
    trained(run)
    print(f"needed over reserved: {needed / torch.cuda.max_memory_reserved():.2f}")
    assert needed >= torch.cuda.max_memory_reserved()


# The host.


@pytest.mark.parametrize("resident", ["gpu", "host"])
def test_the_host_does_not_wait_past_epochs_and_lines(resident):
    """Log lines, the end of an epoch and streaming included:
    between the recordings and the end nothing makes the host wait.
    """
    layer = {"data": {"resident": resident}, "log": {"images": 64}, "samples": {"images": 10**6}}
    run = training(layer, {"train": {"images": 32 * 90}})
    run.pipeline.dataset = Dataset(run.pipeline.dataset.samples[:500].clone())
    run.feed.order.n = 500
    run.feed = Feed(run.pipeline.dataset, run.feed.order, torch.device(DEVICE), resident)
    checked = []

    def tick(images):
        if images == 32 * 30:  # past every recording, and past the first epochs
            torch.cuda.set_sync_debug_mode("error")
        if images == 32 * 80:
            torch.cuda.set_sync_debug_mode("default")
            checked.append(images)

    run.tick = tick
    try:
        lines = trained(run)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert checked and len(lines) > 20


def test_checkpoints_are_read_beside_the_updates():
    """The writer's thread has the state while the
    card still works on what it was given after it.
    """
    big = torch.randn(4096, 4096, device=DEVICE)
    state = torch.arange(1 << 20, device=DEVICE, dtype=torch.float32)
    moved = Transfer({"state": state}, torch.device(DEVICE))
    for _ in range(200):  # about a second of work in the queue
        big = big @ big * 1e-3
    state.zero_()
    last, found = torch.cuda.Event(), {}
    last.record()
    thread = threading.Thread(target=lambda: found.update(moved.fetch()))
    thread.start()
    thread.join(5)
    assert not last.query() and found["state"].is_pinned()
    assert torch.equal(found["state"], torch.arange(1 << 20, dtype=torch.float32))
    torch.cuda.synchronize()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_training_on_the_second_card_leaves_the_first_alone():
    code = (
        "from ganzoo.library import train; import torch; "
        "train(gen='dcgan', data={'resolution': 16, 'resident': 'host'}, device='cuda:1', "
        "images=320); "
        "assert torch.cuda.memory_reserved(0) == 0"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_first_minutes_are_one_command(tmp_path):
    """The quick steps of benchmarks.gpu_first, as they are typed."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmarks.gpu_first", "--out", str(tmp_path)]
    subprocess.run([*command, "--only", "01"], cwd=root, check=False)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["01-machine"]["found"]["checks"] == {"compiles": True}
