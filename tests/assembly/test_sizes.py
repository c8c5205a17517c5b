"""What a net and its samples will take is counted before
it takes memory, for a person's own command and for files.
"""

import contextlib
import shutil
from typing import ClassVar

import pytest
import torch
from fuzzing import little_memory
from hostile import two_runs
from torch._subclasses.fake_tensor import FakeTensor

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly import dry_run, memory
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Generator, Metric, Regularizer, Spec
from ganzoo.data import resize
from ganzoo.engine import sizes
from ganzoo.engine.simulation import peak_of
from ganzoo.errors import DeviceError, UsageError
from ganzoo.generate import generator_file
from ganzoo.io.device_memory import insisted

GIB = 1 << 30


@pytest.fixture(autouse=True)
def four_gibibytes(monkeypatch):
    """The same refusals on every machine."""
    monkeypatch.setenv("GANZOO_MEMORY", "4G")


@contextlib.contextmanager
def refused(kind, match):
    """One line of ours within 1 GiB."""
    with little_memory(), pytest.raises(kind, match=match) as caught:
        yield
    assert str(caught.value).isprintable() and "allocate" not in str(caught.value)


def assembled(registry=None, **tree):
    tree = {"data": {"name": "ring"}, "gen": {"name": "mlp"}} | tree
    config = configuration.check(configuration.merge(configuration.defaults(), tree))
    return assemble(config, registry or zoo().registry)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"gen": {"name": "mlp", "width": 30_000}}, "gen.width = 30000"),
        ({"gen": {"name": "mlp", "latent_dim": 10**9}}, "gen.latent_dim = 1000000000"),
        ({"disc": {"width": 30_000}}, "disc.width = 30000"),
        ({"gen": {"name": "mlp", "width": 10**15}}, "gen"),
    ],
    ids=str,
)
def test_nets_too_large_to_train_are_counted_not_built(tree, says):
    with refused(DeviceError, says):
        assembled(**tree)


@pytest.mark.parametrize("side", ["gen", "disc"])
def test_a_billion_layers_are_given_up(side, monkeypatch):
    monkeypatch.delenv("GANZOO_MEMORY")
    monkeypatch.setattr(sizes, "PIECES", 5000)  # the same loop, ended sooner
    with refused(DeviceError, f"{side}.depth = 1000000000: .*5,000 modules"):
        assembled(**{side: {"name": "mlp", "depth": 10**9}})


def test_samples_too_large_to_draw_are_counted(monkeypatch):
    monkeypatch.setenv("GANZOO_MEMORY", "100M")
    with refused(DeviceError, r"samples.count = 4096.*take at most: samples.count = "):
        assembled(
            data={"name": "digits", "resolution": 64},
            gen={"name": "dcgan", "width": 1},
            disc={"width": 1},
            train={"batch_size": 2},
            samples={"count": 4096},
        )


def test_two_samples_that_do_not_fit_are_not_tried(monkeypatch):
    monkeypatch.setattr(dry_run, "light", lambda *_: False)
    monkeypatch.setattr(dry_run, "simulated_call", lambda net, call: (None, 5 * GIB))
    with refused(DeviceError, "gen: .*5.0 GiB, and 4.0 GiB are free for two samples"):
        assembled()


def test_the_peak_of_a_call_is_what_its_tensors_take():
    net = torch.nn.Sequential(torch.nn.Linear(10, 1000, bias=False), torch.nn.ReLU(inplace=True))
    with torch.no_grad():
        assert peak_of(net, lambda net: net(torch.zeros(50, 10))) == 4 * (
            50 * 10 + 50 * 1000 + 10 * 1000
        )
    assert (
        peak_of(net, lambda net: net(torch.zeros(2**30, 10))) > 4 * 10**12
    )  # nothing was allocated


class Reads(Regularizer):
    """Reads values, so that it cannot be simulated;
    `seen` are the sizes of the batches that it was given.
    """

    seen: ClassVar[list[int]] = []

    def penalty(self, step):
        mean = step.fake_logits.square().mean()
        positive = float(mean.detach()) >= 0
        self.seen.append(len(step.fake_logits))
        return mean if positive else -mean


class Sees(Regularizer):
    """`seen` are the sizes of the batches that it was given, and whether they had storage."""

    seen: ClassVar[list[tuple[int, bool]]] = []

    def penalty(self, step):
        self.seen.append((len(step.fake_logits), not isinstance(step.fake_logits, FakeTensor)))
        return step.fake_logits.square().mean()


@pytest.mark.parametrize(
    ("batch", "seen"), [(16, [(16, True)]), (1200, [(1200, False), (4, True)])], ids=str
)
def test_what_is_light_is_done_and_what_is_not_is_simulated(batch, seen):
    """An update of 1,200 samples of 64 numbers takes a few samples."""
    sees = Component("regularizer", "sees", Sees, "tests", "tests", "1")
    Sees.seen.clear()
    assembled(
        Registry([*zoo().registry.components(), sees]),
        data={"name": "digits", "resolution": 8},
        gen={"name": "dcgan", "width": 4},
        disc={"width": 4},
        reg={"sees": {}},
        train={"batch_size": batch},
    )
    assert Sees.seen == seen


class NeedsAll(Reads):
    """Cannot do with a part of a batch either."""

    def penalty(self, step):
        if len(step.fake_logits) < 1000:
            raise ValueError("too few")
        return super().penalty(step)


@pytest.mark.parametrize("part", [Reads, NeedsAll])
def test_a_part_that_reads_values_is_not_tried_on_a_batch_that_does_not_fit(part, monkeypatch):
    reads = Component("regularizer", "reads", part, "tests", "tests", "1")
    registry = Registry([*zoo().registry.components(), reads])
    tree = {
        "data": {"name": "digits"},
        "gen": {"name": "dcgan", "width": 4},
        "disc": {"width": 4},
        "reg": {"reads": {}},
        "train": {"batch_size": 1500},
    }
    config = configuration.check(configuration.merge(configuration.defaults(), tree))
    part.seen.clear()
    monkeypatch.setenv("GANZOO_MEMORY", "40M")
    with refused(DeviceError, "train.batch_size = 1500: .* 0.0 GiB are free for an update"):
        assemble(config, registry)
    assert 1500 not in part.seen
    monkeypatch.setenv("GANZOO_MEMORY", "4G")
    memory.check_fits(assemble(config, registry))
    assert 1500 in part.seen


def test_samples_that_a_metric_asks_for_are_counted():
    class Mean(Metric):
        """A figure."""

    mean = Component("metric", "mean", Mean, "tests", "tests", "1")
    registry = Registry([*zoo().registry.components(), mean])
    with refused(DeviceError, "metric.mean.count = 1000000000: .*take at most: metric.mean.count"):
        assembled(registry, metric={"mean": {"count": 10**9}})


def test_data_enlarged_beyond_memory_are_not(monkeypatch):
    monkeypatch.setenv("GANZOO_MEMORY", "1G")
    with refused(DeviceError, "data.resolution = '2048x2048': .* GiB are free"):
        assembled(data={"name": "digits", "resolution": 2048}, gen={"name": "dcgan", "width": 1})


def test_enlarging_takes_little_beside_the_result():
    with little_memory():  # at 1,024 pictures at once: 8 GiB of numbers
        found = resize(torch.zeros(40, 3, 8, 8, dtype=torch.uint8), (1024, 2048))
    assert found.shape == (40, 3, 1024, 2048)


class Reader(Generator):
    """Cannot be built without numbers.

    latent_dim: numbers in one latent vector
    table: numbers in a weight
    layers: how many layers
    """

    def __init__(self, spec: Spec, *, latent_dim: int = 4, table: int = 1, layers: int = 1) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        assert float(torch.ones(1)) == 1  # fails on the meta device
        self.table = torch.nn.Parameter(torch.zeros(table))
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(latent_dim, spec.numel) for _ in range(layers)
        )

    def forward(self, latents, labels=None):
        return sum(layer(latents) for layer in self.layers).tanh().view(-1, *self.spec.shape)


@pytest.mark.parametrize("option", ["table", "layers"])
def test_a_net_that_reads_values_is_counted_while_it_is_built(option, monkeypatch):
    monkeypatch.setenv("GANZOO_MEMORY", "300M")
    component = Component("generator", "reader", Reader, "tests", "tests", "1")

    def build(value):
        options = {option: value}
        make = lambda: component.build((Spec((1, 512, 512)),), options, "gen")  # noqa: E731
        return sizes.build(make, "gen", options)

    assert len(build(1).layers) == 1
    with refused(DeviceError, f"gen.{option} = 2147483647"):
        build(2**31 - 1)


def small_file_of_large_samples(path):
    """A dcgan of one channel a layer that draws 8192x8192: some kilobytes."""
    shape, options = (1, 8192, 8192), {"width": 1, "latent_dim": 1}
    net = ganzoo.create("generator", "dcgan", Spec(shape), **options)
    known = generator_file.read_header(two_runs() / "dcgan" / "generator.safetensors").model_dump()
    header = generator_file.Header.model_validate(
        known | {"shape": list(shape), "options": options}
    )
    path.write_bytes(generator_file.generator_bytes(header, net.state_dict()))
    return path


def test_a_small_file_of_large_samples(tmp_path, cli):
    path = small_file_of_large_samples(tmp_path / "large.safetensors")
    assert path.stat().st_size < 50_000
    loaded = ganzoo.load(path)
    with refused(DeviceError, "count = 64: .* GiB are free; take at most: count = "):
        loaded.sample(64)
    done = cli("generate", path, "--out", tmp_path / "x.png")
    assert done.code == 1 and done.err.startswith("Error: --count 64: ") and done.out == ""
    assert not (tmp_path / "x.png").exists()
    places = ("--out", tmp_path / "drawn", "--interpolate", tmp_path / "x.gif")
    done = cli("generate", path, "--count", 1, *places)
    assert done.code == 1 and done.err.startswith("Error: --interpolate 80: ")


def test_a_file_larger_than_memory_is_not_read(tmp_path, monkeypatch):
    path = shutil.copy(two_runs() / "dcgan" / "generator.safetensors", tmp_path)
    monkeypatch.setenv("GANZOO_MEMORY", "1k")
    with refused(DeviceError, "reading it takes"):
        ganzoo.load(path)


def test_only_the_environment_insists(tmp_path, monkeypatch):
    """A person says how much memory there is; whatever a file says counts for nothing."""
    with refused(UsageError, "no setting"):
        configuration.check(
            configuration.merge(configuration.defaults(), {"train": {"memory": 10**12}})
        )
    path = small_file_of_large_samples(tmp_path / "large.safetensors")
    monkeypatch.setenv("GANZOO_MEMORY", "900G")
    ganzoo.load(path).check_room(64)  # nothing is drawn
    for text, size in (("64G", 64 * GIB), ("1.5g", 3 * GIB // 2), ("7", 7)):
        monkeypatch.setenv("GANZOO_MEMORY", text)
        assert insisted() == size
    for text in ("x", "-1", "1e9", "64 apples", "\x1b[2J"):
        monkeypatch.setenv("GANZOO_MEMORY", text)
        with refused(UsageError, "GANZOO_MEMORY"):
            insisted()
    monkeypatch.delenv("GANZOO_MEMORY")
    assert insisted() is None


def test_counting_changes_no_weights(monkeypatch):
    """The nets are those that a machine with unknown memory builds."""
    one = assembled().parts.generator.state_dict()
    monkeypatch.setattr(sizes, "build", lambda make, section, options: make())
    other = assembled().parts.generator.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_nothing_is_counted_afterwards():
    with pytest.raises(sizes.TooLarge), sizes.tally(10, GIB):
        torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(30)))
    torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(30)))
