"""Generator files from strangers: each attack ends in one printable
line, quickly, in little memory, and touches nothing else.
"""

import os
import pickle
import struct
import sys
from pathlib import Path

import pytest
import torch
from hostile import BAD, forge, opened, refused, two_runs, written
from mutators import Raw, nested

import ganzoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Generator, Spec
from ganzoo.errors import BadFile, GanzooError
from ganzoo.generate import generator_file

# Generator files.


def test_a_forged_but_harmless_file_loads(tmp_path):
    assert ganzoo.load(forge(tmp_path)).sample(2).shape == (2, 1, 8, 8)
    assert ganzoo.load(forge(tmp_path, "dcgan")).sample(2).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("net", ["mlp", "dcgan"])
@pytest.mark.parametrize(
    "options",
    [{"width": n} for n in (10**5, 10**9, 10**30, -1, 2.5, "x", None, [1], True)]
    + [
        {"latent_dim": 10**12},
        {"where": "x"},
        {"self": 1},
        {"spec": 1},
        {"no_such": 1},
        {BAD: BAD},
        {"width": nested(60)},
    ],
    ids=lambda options: str(options)[:40],
)
def test_absurd_options_build_nothing(tmp_path, net, options):
    if options == {"width": True}:
        options = {"width": "true"}  # Python's True is the integer 1
    with refused(BadFile):
        ganzoo.load(forge(tmp_path, net, options))


def test_a_billion_layers_are_not_built(tmp_path):
    with refused(BadFile, "larger net than the file holds"):
        ganzoo.load(forge(tmp_path, tuned={"depth": 10**9}))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [3, 2**24, 2**24]},
        {"shape": [1, 2**20, 2**20]},  # a small convolutional net could draw it
        {"shape": [1, 8, 8, 8]},
        {"shape": []},
        {"shape": [0]},
        {"shape": [-1, 8, 8]},
        {"shape": [1, 9, 8]},
        {"shape": "8x8"},
        {"scores": {"fid": Raw("NaN")}},
        {"scores": {"fid": Raw("1e999")}},
        {"scores": {"fid": "low"}},
        {"classes": 2**60},
        {"classes": 3, "class_names": ["a"]},
        {"class_names": ["x" * 2000], "classes": 1},
        {"training": Raw("[" * 5000 + "]" * 5000)},
        {"training": Raw('{"a": 1, "a": 2}')},
        {"options": []},
        {"format": 1},
        {"format": 3},
        {"format": None},
        {"component": "os:system"},
        {"component": "../../etc/passwd"},
        {"component": BAD},
        {"plugin": "a/b"},
        {"distribution": "--index-url=http://x"},
        {"distribution": "x; rm -rf /"},
        {"version": BAD},
        {"version": "x" * 5000},
        {"extra": 1},
    ],
    ids=lambda changes: str(changes)[:50],
)
@pytest.mark.parametrize("net", ["mlp", "dcgan"])
def test_the_schema_holds(tmp_path, net, changes):
    with refused(BadFile):
        ganzoo.load(forge(tmp_path, net, **changes))


def test_text_that_steers_a_terminal_is_cleaned(tmp_path):
    header = ganzoo.load(forge(tmp_path, classes=1, class_names=[BAD], scores={BAD: 1.0})).header
    assert header.class_names[0].isprintable() and all(name.isprintable() for name in header.scores)


def test_a_missing_plugin_is_named_and_not_imported(tmp_path, monkeypatch):
    trap = tmp_path / "site"
    trap.mkdir()
    (trap / "evil_plugin.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(trap)
    with refused(BadFile, "pip install evil-plugin .*trust"):
        ganzoo.load(
            forge(
                tmp_path, distribution="evil-plugin", plugin="evil_plugin", component="evil_plugin"
            )
        )
    with refused(BadFile, "pip install"):
        ganzoo.load(forge(tmp_path, plugin="evil_plugin"))
    assert "evil_plugin" not in sys.modules and not (tmp_path / "ran").exists()


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "generator.safetensors"
    for write in (
        lambda: path.write_bytes(pickle.dumps(Trap(tmp_path / "ran"))),
        lambda: torch.save(Trap(tmp_path / "ran"), path),
    ):
        write()
        with refused(BadFile):
            ganzoo.load(path)
    assert not (tmp_path / "ran").exists()


def test_tensors_must_be_those_of_the_net(tmp_path):
    source = two_runs() / "mlp" / "generator.safetensors"
    first = "draw.bias"

    def case(change, extra=b""):
        fields, _, weights = opened(source)
        change(fields)
        with refused(BadFile):
            ganzoo.load(written(tmp_path / "changed.safetensors", fields, weights + extra))

    def end(fields):
        return max(f["data_offsets"][1] for name, f in fields.items() if name != "__metadata__")

    for dtype in ("I32", "F8_E8M0", "F4", "C64", "F64", "NONE", None, 7):
        case(lambda fields, dtype=dtype: fields[first].update(dtype=dtype))
    for shape in ([2**40, 2**40], [-4], [], [True], "4", [64, 1], [10**30], [1] * 64, None):
        case(lambda fields, shape=shape: fields[first].update(shape=shape))
    for offsets in ([0, 2**63], [-8, 8], [0], "x", None, [2**70, 2**71]):
        case(lambda fields, offsets=offsets: fields[first].update(data_offsets=offsets))
    case(lambda fields: fields.pop(first))
    case(lambda fields: fields.update({"new\n": fields.pop(first)}))
    case(
        lambda fields: fields.update(
            spare={"dtype": "U8", "shape": [8], "data_offsets": [end(fields), end(fields) + 8]}
        ),
        bytes(8),
    )
    case(lambda fields: None, b"more")
    case(lambda fields: fields.update({first: 3}))
    case(lambda fields: fields.update(__metadata__=3))


def test_sizes_are_checked_before_anything_is_read(tmp_path):
    source = two_runs() / "mlp" / "generator.safetensors"
    path = tmp_path / "large.safetensors"
    path.write_bytes(source.read_bytes())
    os.truncate(path, 1 << 40)  # a terabyte that takes no room on the disk
    with refused(BadFile, "bytes"):
        ganzoo.load(path)
    path.write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    os.truncate(path, 1 << 41)
    with refused(BadFile, "header of"):
        ganzoo.load(path)
    path.write_bytes(struct.pack("<Q", 1 << 20) + b"[" * (1 << 20))
    with refused(BadFile):
        ganzoo.load(path)
    os.mkfifo(tmp_path / "pipe")
    with refused(GanzooError):
        ganzoo.load(tmp_path / "pipe")


class Stubborn(Generator):
    """Cannot be built without numbers.

    latent_dim: numbers in one latent vector
    layers: how many
    """

    def __init__(self, spec: Spec, *, latent_dim: int = 4, layers: int = 1) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        assert float(torch.ones(1)) == 1  # fails on the meta device
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(latent_dim, spec.numel) for _ in range(layers)
        )

    def forward(self, latents, labels=None):
        return sum(layer(latents) for layer in self.layers).tanh().view(-1, *self.spec.shape)


class Hoarder(Generator):
    """Makes a large buffer that is not in its file.

    latent_dim: numbers in one latent vector
    table: numbers in the buffer
    """

    def __init__(self, spec: Spec, *, latent_dim: int = 4, table: int = 1) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.register_buffer("table", torch.zeros(table), persistent=False)
        self.layer = torch.nn.Linear(latent_dim, spec.numel)

    def forward(self, latents, labels=None):
        return self.layer(latents).tanh().view(-1, *self.spec.shape)


@pytest.mark.parametrize(("net", "option"), [(Stubborn, "layers"), (Hoarder, "table")])
def test_other_peoples_nets_are_held_to_their_files(tmp_path, net, option):
    registry = Registry([Component("generator", "foreign", net, "tests", "tests", "1")])
    names = {"component": "foreign", "plugin": "tests", "distribution": "tests"}
    weights = net(Spec((1, 8, 8))).state_dict()

    def file(value):
        _, header, _ = opened(forge(tmp_path, **names))
        header["options"] = {option: value}
        content = generator_file.generator_bytes(
            generator_file.Header.model_validate(header), weights
        )
        (tmp_path / "foreign.safetensors").write_bytes(content)
        return tmp_path / "foreign.safetensors"

    assert ganzoo.load(file(1), registry).sample(3).shape == (3, 1, 8, 8)
    with refused(BadFile):
        ganzoo.load(file(2**31), registry)
    torch.nn.Sequential(
        *(torch.nn.Linear(300, 300) for _ in range(300))
    )  # nothing is counted any more
