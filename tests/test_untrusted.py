"""Files from strangers: each attack ends in one printable line, quickly, in little memory, and touches nothing else."""

import contextlib
import io
import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import NUMBERS, TEXTS, Raw, dump_json, dump_toml, little_memory, nested, watched
from PIL import Image

import ganzoo
from ganzoo import checkpoint, cli, data, files, logbook, runs
from ganzoo import config as configuration
from ganzoo.assembly import assemble
from ganzoo.contracts import Generator, Spec
from ganzoo.data import decoding, scanning, threads
from ganzoo.errors import BadData, BadFile, BadRun, GanzooError, UnknownComponent
from ganzoo.plugins import zoo
from ganzoo.registry import Component, Registry

BAD = "\x1b[2J\x9b31m\n[bold red]"  # what a terminal, or rich, would obey


@contextlib.contextmanager
def refused(kind=GanzooError, match=None):
    """One line of ours within 5 s and 1 GiB, and not because memory ran out."""
    with watched(), little_memory(), pytest.raises(kind, match=match) as caught:
        import signal

        signal.setitimer(signal.ITIMER_REAL, 5)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    text = str(caught.value)
    assert text.isprintable() and 0 < len(text) < 1100 and "allocate" not in text


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs: a fully connected and a convolutional generator."""
    root = tmp_path_factory.mktemp("runs")
    small = {"train": {"images": 32, "batch_size": 16, "device": "cpu", "engine": "eager"}, "samples": {"count": 4}}
    for name in ("mlp", "dcgan"):
        net = {
            "gen": {"name": name, "width": 4, "latent_dim": 4},
            "disc": {"width": 4},
            "data": {"name": "digits", "resolution": 8},
        }
        ganzoo.train({**small, **net}, root / name)
    return root


def opened(path):
    """(fields, ganzoo's header, data) of a generator file."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    fields = json.loads(content[8 : 8 + size])
    return fields, json.loads(fields["__metadata__"]["ganzoo"]), content[8 + size :]


def written(path, fields, weights):
    header = dump_json(fields).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + weights)
    return path


@pytest.fixture
def forge(trained, tmp_path):
    """A copy of a generator file with changes in ganzoo's header."""

    def forge(net="mlp", tuned=None, **changes):
        fields, header, weights = opened(trained / net / "generator.safetensors")
        header["options"] |= tuned or {}
        fields["__metadata__"]["ganzoo"] = dump_json(header | changes)
        return written(tmp_path / "forged.safetensors", fields, weights)

    return forge


# Generator files.


def test_a_forged_but_harmless_file_loads(forge):
    assert ganzoo.load(forge()).sample(2).shape == (2, 1, 8, 8)
    assert ganzoo.load(forge("dcgan")).sample(2).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("net", ["mlp", "dcgan"])
@pytest.mark.parametrize(
    "options",
    [{"width": n} for n in (10**5, 10**9, 10**30, -1, 2.5, "x", None, [1], True)]
    + [{"latent_dim": 10**12}, {"where": "x"}, {"self": 1}, {"spec": 1}, {"no_such": 1}, {BAD: BAD}, {"width": nested(60)}],
    ids=lambda options: str(options)[:40],
)
def test_absurd_options_build_nothing(forge, net, options):
    if options == {"width": True}:
        options = {"width": "true"}  # Python's True is the integer 1
    with refused(BadFile):
        ganzoo.load(forge(net, options))


def test_a_billion_layers_are_not_built(forge):
    with refused(BadFile, "larger net than the file holds"):
        ganzoo.load(forge(tuned={"depth": 10**9}))


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
        {"format": 2},
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
def test_the_schema_holds(forge, net, changes):
    with refused(BadFile):
        ganzoo.load(forge(net, **changes))


def test_text_that_steers_a_terminal_is_cleaned(forge):
    header = ganzoo.load(forge(classes=1, class_names=[BAD], scores={BAD: 1.0})).header
    assert header.class_names[0].isprintable() and all(name.isprintable() for name in header.scores)


def test_a_missing_plugin_is_named_and_not_imported(forge, tmp_path, monkeypatch):
    trap = tmp_path / "site"
    trap.mkdir()
    (trap / "evil_plugin.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(trap)
    with refused(BadFile, "pip install evil-plugin .*trust"):
        ganzoo.load(forge(distribution="evil-plugin", plugin="evil_plugin", component="evil_plugin"))
    with refused(BadFile, "pip install"):
        ganzoo.load(forge(plugin="evil_plugin"))
    assert "evil_plugin" not in sys.modules and not (tmp_path / "ran").exists()


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "generator.safetensors"
    for write in (lambda: path.write_bytes(pickle.dumps(Trap(tmp_path / "ran"))), lambda: torch.save(Trap(tmp_path / "ran"), path)):
        write()
        with refused(BadFile):
            ganzoo.load(path)
    assert not (tmp_path / "ran").exists()


def test_tensors_must_be_those_of_the_net(trained, tmp_path):
    source = trained / "mlp" / "generator.safetensors"
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
        lambda fields: fields.update(spare={"dtype": "U8", "shape": [8], "data_offsets": [end(fields), end(fields) + 8]}), bytes(8)
    )
    case(lambda fields: None, b"more")
    case(lambda fields: fields.update({first: 3}))
    case(lambda fields: fields.update(__metadata__=3))


def test_sizes_are_checked_before_anything_is_read(trained, tmp_path):
    source = trained / "mlp" / "generator.safetensors"
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
        self.layers = torch.nn.ModuleList(torch.nn.Linear(latent_dim, spec.numel) for _ in range(layers))

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
def test_other_peoples_nets_are_held_to_their_files(forge, tmp_path, net, option):
    registry = Registry([Component("generator", "foreign", net, "tests", "tests", "1")])
    names = {"component": "foreign", "plugin": "tests", "distribution": "tests"}
    weights = net(Spec((1, 8, 8))).state_dict()

    def file(value):
        _, header, _ = opened(forge(**names))
        header["options"] = {option: value}
        (tmp_path / "foreign.safetensors").write_bytes(files.tensor_bytes(weights, {"ganzoo": json.dumps(header)}))
        return tmp_path / "foreign.safetensors"

    assert ganzoo.load(file(1), registry).sample(3).shape == (3, 1, 8, 8)
    with refused(BadFile):
        ganzoo.load(file(2**31), registry)
    torch.nn.Sequential(*(torch.nn.Linear(300, 300) for _ in range(300)))  # nothing is counted any more


# Run files and run folders.


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 3000) + " = 1",
        "a." * 60_000 + "b = 1",
        "[" + ".".join(["a"] * 100) + "]\n" + "x = 1",
        "a = " + "[" * 100_000,
        "a = " + "{b = " * 3000 + "1" + "}" * 3000,
        "a = " + "9" * 5000,
        "[gen]\nwidth = 0x" + "f" * 9000,
        "[train]\nseed = 0x" + "f" * 9000,
        "x = 1\n" * 200_000,
        "\0",
        "[gen.name]\nx = {y = 1}",
        "[train.images]\nname = 2",
        "gen = 3",
        "optim = []",
        "int = 1",
        "str = 1",
        "[train]\nint = 1",
        "[train]\nimages = '" + "9" * 400 + "'",
        "[train]\nimages = '1e999999999'",
        "[samples]\ncount = 1000000000",
        "[checkpoint]\nminutes = nan",
        "[reg]\ngp = 3",
        "[reg.gp]\nweight = 'x'",
        '[gen]\n"\\u001b[2J\\n" = 1',
        '["\\u001b[2J\\n"]',
        "[gen]\nwhere = 1",
        "[gen]\nself = 1",
        "[gen]\nname = 'os:system'",
        "[gen]\nname = 'antigravity:x'",
        "[gen]\nname = 'antigravity/x'",
        "[optim.gen]\nname = '../../x'",
        "[optim.gen]\nname = 'builtins/eval'",
        "[data]\nname = '/etc/passwd'",
        "[data]\nname = '/dev/zero'",
        "[data]\nname = '" + "x" * 50_000 + "'",
        "[data]\nname = '~nobody-at-all/x'",
        '[data]\nname = "a\\u0000b"',
        "[data]\nresolution = '999999999x999999999'",
        "[train]\ndevice = 'cuda:99999999999999999999'",
        "[train]\ndevice = '\\n'",
        "[train]\nbatch_size = 4000000000000",
    ],
    ids=lambda text: text[:40],
)
def test_hostile_run_files(tmp_path, text):
    (tmp_path / "run.toml").write_text(text)
    with refused():
        tree = configuration.merge(configuration.defaults(), configuration.read(tmp_path / "run.toml"))
        assemble(configuration.check(tree), zoo().registry)
    assert "antigravity" not in sys.modules


def test_every_setting_with_every_type(tmp_path):
    tree = configuration.defaults()
    tried = 0
    for section, content in tree.items():
        for key in [None, *content]:
            for value in (None, True, 0, -1, 10**30, 1.5, float("nan"), float("inf"), "", "\0", BAD, [], [[]], {}, {"a": {"b": 1}}):
                layer = {section: value if key is None else {key: value}}
                with contextlib.suppress(GanzooError):
                    configuration.check(configuration.merge(tree, layer))
                tried += 1
    assert tried > 500


def test_what_a_run_says_of_itself_is_only_text(trained, tmp_path):
    class Owners:
        owners = {"gen": "ganzoo:vanilla"}  # noqa: RUF012
        versions = {"ganzoo": "0"}  # noqa: RUF012

    for value in (3, [], "x", {"ganzoo": 3}, {"ganzoo": [1]}, {"ganzoo": {"a": 1}}, {3: 4}):
        assert runs.check_versions({"versions": value, "plugins": value}, Owners) == []
    (line,) = runs.check_versions({"versions": {"ganzoo": BAD}}, Owners)
    assert line.isprintable()
    with refused(BadRun):
        runs.check_versions({"plugins": {"gen": BAD}}, Owners)


def test_links_in_a_run_folder_lead_nowhere(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "notes.txt").write_text("mine")
    (precious / "manifest.json").write_text("{}")
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / ".lock").symlink_to(precious / "notes.txt")
    with refused(BadRun):
        runs.Lock(run)
    (run / f".generator.safetensors.{os.getpid()}.tmp").symlink_to(precious / "notes.txt")
    files.write_bytes(run / "generator.safetensors", b"new")
    (run / "generator.safetensors").unlink()
    (run / "generator.safetensors").symlink_to(precious / "notes.txt")
    files.write_bytes(run / "generator.safetensors", b"new")
    (run / "checkpoints" / "000000001").symlink_to(precious)
    for images in (2, 3):
        checkpoint.save(run / "checkpoints" / f"{images:09d}", {"counters": {"images": images}}, {})
    checkpoint.prune(run, 1)
    (run / "log.jsonl").symlink_to(precious / "notes.txt")
    logbook.forget_after(run, 1)
    logbook.append(run, {"images": 1})
    assert (precious / "notes.txt").read_text() == "mine" and (precious / "manifest.json").exists()
    assert [p.name for p in checkpoint.folders(run)] == ["000000003"]


def test_a_log_of_rubbish_is_dropped(tmp_path):
    lines = [
        "",
        "[" * 100_000,
        "{}",
        '{"images": "x"}',
        '{"images": null}',
        '{"images": [1]}',
        "9" * 5000,
        "NaN",
        "\x1b[2J",
        '{"images": 1',
    ]
    content = "\n".join(lines).encode() + b"\n\xff\xfe\0\n" + b'{"images": 3}\n{"images": 9}\n'
    (tmp_path / "log.jsonl").write_bytes(content)
    logbook.forget_after(tmp_path, 5)
    assert (tmp_path / "log.jsonl").read_text() == '{"images": 3}\n'


# Checkpoints, whose sums an enemy can make anew.


@pytest.fixture
def sign(trained, tmp_path):
    """A copy of a checkpoint with its manifest changed and signed."""
    import shutil

    source = next((trained / "mlp" / "checkpoints").iterdir())

    def sign(change):
        folder = tmp_path / "run" / "checkpoints" / source.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        manifest["sha256"] = checkpoint._digest(manifest)
        (folder / "manifest.json").write_bytes(checkpoint._serialised(manifest))
        return folder

    return sign


def test_a_manifest_with_wrong_types_at_every_place(sign):
    checkpoint.load(sign(lambda manifest: None))
    values = (None, True, 0, -1, 2**70, 1.5, "", "\0", BAD, [], [[1]], {}, {"a": 1}, nested(30, 1, "a"))
    whole = json.loads((sign(lambda manifest: None) / "manifest.json").read_text())
    for key in ("format", "files", "values", "files/average.safetensors"):
        for value in values:

            def change(manifest, key=key, value=value):
                owner, _, last = key.rpartition("/")
                (manifest[owner] if owner else manifest)[last] = value

            with watched(), little_memory(), contextlib.suppress(BadFile):
                checkpoint.load(sign(change))
    for key in whole["files"]["average.safetensors"]:
        for value in values:
            with refused(BadFile):
                checkpoint.load(sign(lambda m, key=key, value=value: m["files"]["average.safetensors"].update({key: value})))


@pytest.mark.parametrize(
    "name", ["..", "../x.safetensors", "/etc/passwd", "a/b.safetensors", "x\0.safetensors", BAD, "", "x" * 5000]
)
def test_a_manifest_names_only_files_of_its_folder(sign, name):
    with refused(BadFile, "no file of a checkpoint"):
        checkpoint.load(sign(lambda manifest: manifest["files"].update({name: {"bytes": 0, "sha256": ""}})))


def test_a_checkpoint_of_endless_files(sign):
    folder = sign(lambda manifest: None)
    for target in ("/dev/zero", "/dev/random"):
        (folder / "average.safetensors").unlink()
        (folder / "average.safetensors").symlink_to(target)
        with refused(BadFile):
            checkpoint.load(folder)
    (folder / "average.safetensors").unlink()
    os.mkfifo(folder / "average.safetensors")
    with refused(BadFile):
        checkpoint.load(folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("/dev/zero")
    with refused(BadFile):
        checkpoint.load(folder)


# Zips and pictures.


def png(pixels, mode=None):
    buffer = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels, mode)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def two_threads(monkeypatch, tmp_path):
    """Each thread takes address space of its own, which the memory limit would count."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for module in (scanning, data.pictures, threads):
        monkeypatch.setattr(module, "processors", lambda: 2)


SMALL = png(np.arange(64, dtype=np.uint8).reshape(8, 8))
READERS = (data.inspect, data.load_pictures)


@pytest.mark.parametrize("read", READERS)
def test_names_that_point_elsewhere_are_labels_only(tmp_path, read):
    names = ("../up.png", "/root.png", "C:\\x.png", "a/../../x.png", BAD + ".png")
    with refused(BadData, "none of its"):
        read(zipped(tmp_path / "x.zip", dict.fromkeys(names[:4], SMALL)))
    found = read(zipped(tmp_path / "y.zip", dict.fromkeys((*names, f"{BAD}/a.png", "b/c.png"), SMALL)))
    said = json.dumps(found, ensure_ascii=False) if isinstance(found, dict) else "".join([*found.notes, *found.classes])
    assert said.isprintable()
    assert sorted(p.name for p in tmp_path.parent.iterdir() if p.suffix == ".png") == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_without_a_limit_is_refused(tmp_path, method):
    bomb = zipped(tmp_path / "x.zip", {"a.png": bytes(16 << 20)}, method)
    content = bytearray(bomb.read_bytes())
    for mark, at in ((b"PK\1\2", 24), (b"PK\3\4", 22)):  # says that it unpacks to a kilobyte
        struct.pack_into("<L", content, content.rfind(mark) + at, 1024)
    bomb.write_bytes(content)
    with refused(BadData, "deflate"):
        data.load_pictures(bomb)


@pytest.mark.parametrize("read", READERS)
def test_the_same_member_twice(tmp_path, read):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for _ in range(3):
            archive.writestr("a.png", SMALL)
    read(tmp_path / "x.zip")


@pytest.mark.parametrize("read", READERS)
def test_members_that_share_bytes(tmp_path, read):
    path = zipped(tmp_path / "x.zip", {f"{i}.png": SMALL for i in range(50)})
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<L", content, content.rfind(b"PK\5\6") + 16)
    at = start
    while content[at : at + 4] == b"PK\1\2":
        struct.pack_into("<L", content, at + 42, 0)  # all begin where the first does
        at += 46 + sum(struct.unpack_from("<HHH", content, at + 28))
    path.write_bytes(content)
    with refused(BadData, "overlap"):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_listings_that_lie(tmp_path, read):
    path = zipped(tmp_path / "x.zip", {"a.png": SMALL})
    content = path.read_bytes()
    for at, format, value in ((10, "<H", 65_535), (12, "<L", 2**32 - 1), (16, "<L", 2**32 - 1)):
        changed = bytearray(content)
        struct.pack_into(format, changed, content.rfind(b"PK\5\6") + at, value)
        path.write_bytes(changed)
        with watched(), little_memory(), contextlib.suppress(BadData):
            read(path)


@pytest.mark.parametrize("read", READERS)
def test_small_files_of_huge_pictures(tmp_path, read):
    huge = png(Image.new("1", (8192, 8192)))
    assert len(huge) < 20_000
    with refused(BadData, "bomb"):
        read(zipped(tmp_path / "x.zip", {f"{i}.png": huge for i in range(50)}))
    with refused(BadData, "Mpixel|bomb"):
        read(zipped(tmp_path / "y.zip", {"a.png": png(Image.new("1", (30_000, 30_000)))}))


@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_the_largest_picture_in_little_memory(tmp_path, mode):
    largest = png(Image.new(mode, (8192, 8192)))
    path = zipped(tmp_path / "x.zip", {"a.png": largest, "b.png": largest})
    with watched(), little_memory():
        assert data.load_pictures(path, resolution=(16, 16)).samples.shape[2:] == (16, 16)


def test_pictures_written_in_numbers_are_small_ones(tmp_path):
    large = b"P2 4000 4000 255 " + b"0 " * 16_000_000
    with refused(BadData, "written in numbers"):
        data.load_pictures(zipped(tmp_path / "x.zip", {"a.pgm": large}))
    found = data.load_pictures(zipped(tmp_path / "y.zip", {"a.pgm": b"P2 4 4 255 " + b"0 " * 16}))
    assert len(found) == 1


def test_threads_share_the_room():
    room, log = decoding.Room(100), []

    def work(number):
        with room.taken(60):
            log.append(("in", number))
            log.append(("out", number))

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(20)))
    assert all(log[i][1] == log[i + 1][1] for i in range(0, 40, 2))  # never two at once
    with room.taken(10**9):  # larger than the room: alone
        pass


# The command line.


def test_nothing_raw_reaches_the_terminal(forge, trained, tmp_path, capsys):
    run = tmp_path / "enemy"
    run.mkdir()
    tree = configuration.read(trained / "mlp" / "run.toml")
    tree["run"]["versions"] = {"ganzoo": BAD, "torch": BAD}
    (run / "run.toml").write_text(dump_toml(tree))
    archive = zipped(tmp_path / "x.zip", {f"{BAD}/{BAD}.png": SMALL, "b/c.png": SMALL, f"b/{BAD}.png": b"no picture"})
    pickled = tmp_path / "p.safetensors"
    pickled.write_bytes(pickle.dumps(BAD))
    commands = (
        ["generate", str(forge(component=BAD)), "--out", str(tmp_path / "o.png")],
        ["generate", str(forge(tuned={BAD: BAD})), "--out", str(tmp_path / "o.png")],
        ["generate", str(pickled)],
        ["train", "--resume", str(run), "--dry-run"],
        ["train", "--config", str(run / "run.toml"), "--set", f"gen.name={BAD}"],
        ["data", "inspect", str(archive)],
        ["data", "inspect", str(archive), "--json"],
        ["train", "--data", str(archive), "--dry-run"],
    )
    for command in commands:
        cli.run(command)
        out, err = capsys.readouterr()
        assert "unexpected" not in err and (out or err)
        bad = [c for c in out + err if not c.isprintable() and c not in "\n\t"]
        assert bad == [], (command, bad)


def test_unknown_names_import_nothing(tmp_path):
    before = set(sys.modules)
    for kind in ("generator", "loss", "dataset", "optimizer"):
        for name in ("this", "this:x", "ganzoo_plugins.vanilla.nets:MLPGenerator", "/etc/passwd", BAD, "a/b/c", "", "x" * 10_000):
            with refused(UnknownComponent):
                ganzoo.create(kind, name)
    assert {name for name in set(sys.modules) - before if "plugins" in name or name == "this"} == set()


def test_every_strange_value_can_be_shown():
    from ganzoo.errors import shown

    for value in (*NUMBERS, *TEXTS, 16**9000, nested(100_000), {"a": nested(5000)}):
        assert len(shown(value)) < 200 and str(GanzooError(shown(value))).isprintable()
