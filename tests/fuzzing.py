"""Mutates files that ganzoo reads and checks that only one-line errors of ours, or success, come of it.

Run it: python tests/fuzzing.py KIND[,KIND...] COUNT [FIRST], KIND being generator, run, manifest or zip. Input number i of a kind
is the same in every run, whatever FIRST is, so a failure is repeated with `python tests/fuzzing.py KIND 1 i`. Memory is limited
to 1 GiB beyond what the process has after its imports, and one input to 5 s. Prints JSON reports.
"""

import contextlib
import copy
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
import zipfile
from pathlib import Path

import torch
from PIL import Image

import ganzoo
from ganzoo import checkpoint, data, runs
from ganzoo import config as configuration
from ganzoo.assembly import assemble
from ganzoo.data import Order
from ganzoo.errors import GanzooError
from ganzoo.plugins import zoo

SECONDS = 5.0  # for one input
MEMORY = 1 << 30  # beyond what imports and a first round of sound inputs take
LONGEST = 2000  # letters of a message


class Raw(str):
    """Text that goes into JSON or TOML as it is, not as a string."""


def nested(depth, leaf=1, key=None):
    """Lists, or tables of one key, so many levels deep."""
    for _ in range(depth):
        leaf = [leaf] if key is None else {key: leaf}
    return leaf


# fmt: off
TEXTS = (
    "", "a" * 70_000, "\0", "\x1b[31mred\x1b[0m", "a\nb", "[bold]x[/bold]", "../../etc/passwd", "/etc", "~nobody-at-all/x",
    "x" * 5000, "\u202ereversed", "é", "os:system", "__import__('os')", "none", "auto", "10" * 300, "1.5M", "-1", "nan",
    "/dev/zero", "%s%n", "\x7f\x9b2J",
)
NUMBERS = (
    0, 1, -1, 2, 3, 7, 255, 65_536, 2**24, 2**31 - 1, 2**31, 2**40, 10**9, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, 10**400,
    -(10**30), 0.5, -0.0, 1e-300, 1e308,
)
RAWS = (Raw("1e999"), Raw("9" * 5000), Raw("-" + "9" * 5000), Raw("[" * 400 + "]" * 400), Raw("[" * 100_000), Raw(""))
JSON_RAWS = (
    *RAWS, Raw("NaN"), Raw("-Infinity"), Raw('"\\ud800"'), Raw('{"a": 1, "a": 2}'), Raw('{"a":' * 3000 + "1" + "}" * 3000),
    Raw("01"),
)
TOML_RAWS = (
    *RAWS, Raw("nan"), Raw("-inf"), Raw("0x" + "f" * 9000), Raw("1979-05-27T07:32:00Z"), Raw("07:32:00"), Raw("1979-13-99"),
    Raw("{a=" * 400 + "1" + "}" * 400), Raw('"""\nx"""'), Raw("0b1"), Raw("'"),
)
TABLES = ([], {}, [[]], [None], {"": 0}, [1, "a"], {"name": {"name": 1}}, list(range(2000)), {str(i): i for i in range(500)})
LINES = (  # of TOML
    ".".join("a" * 3000), "a." * 40_000 + "b = 1", "[" + ".".join(["ab"] * 500) + "]", "a=1\n" * 3, "[[gen]]", "[gen.name]\nx=1",
    "int = 1", "gen = 3", "[train.images]\nname=2", "[optim]\ngen=[]",
)
NAMES = (  # of members of a zip
    "../x.png", "/x.png", "C:\\x.png", "a\x1b[2J/x.png", "a/" * 200 + "x.png", "\u202ex.png", "x.png", ".png", "a\nb.png",
    "[red]/x.jpg",
)
PICTURES = (
    ("grey.png", "L", {}), ("colour.jpg", "RGB", {}), ("alpha.png", "RGBA", {}), ("deep.png", "I;16", {}),
    ("palette.gif", "P", {}), ("web.webp", "RGB", {}), ("raw.bmp", "RGB", {}), ("tag.tiff", "RGB", {"compression": "tiff_lzw"}),
    ("plain.ppm", "RGB", {}), ("two.jp2", "RGB", {}), ("av.avif", "RGB", {}),
)
FORMATS = {
    "png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "tiff": "TIFF", "ppm": "PPM", "jp2": "JPEG2000",
    "avif": "AVIF",
}
# fmt: on


def strange(chance, raws):
    """A value of any type, often extreme."""
    kind = chance.randrange(7)
    if kind == 0:
        return chance.choice((None, True, False))
    if kind == 1:
        return copy.deepcopy(chance.choice(TABLES))
    if kind == 2:
        return nested(chance.choice((3, 50, 200)), 1, chance.choice((None, "a")))
    return chance.choice((TEXTS, NUMBERS, NUMBERS, raws)[kind - 3])


def places(tree, found=None):
    """Every (container, key) of a tree."""
    found = [] if found is None else found
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], dict | list):
            places(tree[key], found)
    return found


def mutate_tree(chance, tree, raws, keys=()):
    """A copy with one to three changes: values of other types and sizes, keys gone, renamed, added, nested, moved."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        found = places(tree)
        if not found:
            break
        owner, key = chance.choice(found)
        change = chance.randrange(8)
        if change <= 3:
            owner[key] = strange(chance, raws)
        elif change == 4:
            del owner[key]
        elif change == 5:
            value, new = owner[key], chance.choice((*keys, *TEXTS))
            if isinstance(owner, dict):
                del owner[key]
                owner[new] = value
            else:
                owner.append(value)
        elif change == 6:
            if isinstance(owner, dict):
                owner[chance.choice((*keys, *TEXTS))] = strange(chance, raws)
            else:
                owner.insert(key, strange(chance, raws))
        else:
            other, place = chance.choice(found)
            with contextlib.suppress(KeyError, IndexError):
                owner[key] = copy.deepcopy(other[place])
    return tree


def mutate_bytes(chance, content, low=0, high=None):
    """A copy with one to eight changes between two places: bits flipped, bytes set, cut, put in, doubled, ends cut off."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        end = min(len(content), len(content) if high is None else high)
        if end <= low:
            break
        at = chance.randrange(low, end)
        length = chance.choice((1, 1, 2, 4, 8, 16, 200))
        change = chance.randrange(7)
        if change == 0:
            content[at] ^= 1 << chance.randrange(8)
        elif change == 1:
            content[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 10, 34, 39, 46, 91, 93, 123, 125))
        elif change == 2:
            content[at : at + length] = b"\xff" * min(length, len(content) - at)
        elif change == 3:
            del content[at : at + length]
        elif change == 4:
            content[at:at] = bytes(chance.randrange(256) for _ in range(length))
        elif change == 5:
            other = chance.randrange(low, end)
            content[at:at] = content[other : other + length]
        elif chance.random() < 0.3:
            del content[at:]
        else:
            content[at : at + 8] = struct.pack("<Q", chance.choice(NUMBERS[:18]) % 2**64)[: len(content) - at]
    return bytes(content)


def dump_json(tree):
    """JSON with Raw values as they are."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {dump_json(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(dump_json, tree)) + "]"
    return json.dumps(tree)


def dump_toml(value, top=True):
    """TOML with Raw values as they are; tables are written inline, or at the top under headers."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        if top:
            plain = "".join(f"{json.dumps(k)} = {dump_toml(v, False)}\n" for k, v in value.items() if not isinstance(v, dict))
            tables = {k: v for k, v in value.items() if isinstance(v, dict)}
            return plain + "".join(
                f"[{json.dumps(k)}]\n" + "".join(f"{json.dumps(a)} = {dump_toml(b, False)}\n" for a, b in v.items())
                for k, v in tables.items()
            )
        return "{" + ", ".join(f"{json.dumps(k)} = {dump_toml(v, False)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dump_toml(v, False) for v in value) + "]"
    return json.dumps("" if value is None else value)


def text_of(dump, tree):
    """JSON or TOML, also of a tree that changes made too deep to write."""
    try:
        return dump(tree)
    except RecursionError:
        return "[" * 2000


class Material:
    """Sound files of every kind, made by ganzoo itself, and a scratch folder."""

    def __init__(self, scratch):
        self.scratch = scratch
        os.environ["GANZOO_CACHE"] = str(scratch / "cache")
        small = {"train": {"images": 32, "batch_size": 16, "device": "cpu", "engine": "eager"}, "samples": {"count": 4}}
        mlp = {"gen": {"name": "mlp", "width": 8, "depth": 1, "latent_dim": 4, "norm": "batch"}, "reg": {"gp": {}}}
        dcgan = {"gen": {"name": "dcgan", "width": 2, "latent_dim": 4}, "data": {"name": "digits", "resolution": 8}}
        trees = (mlp | {"disc": {"width": 8}, "data": {"name": "ring"}}, dcgan | {"disc": {"width": 2}})
        self.runs = []
        for i, tree in enumerate(trees):
            ganzoo.train({**small, **tree}, scratch / f"run{i}")
            self.runs.append(scratch / f"run{i}")
        self.generators = [(run / "generator.safetensors").read_bytes() for run in self.runs]
        self.pictures = pictures()


def pictures():
    """Small pictures of several formats and modes."""
    found = {}
    noise = random.Random(0)
    for name, mode, options in PICTURES:
        depth = {"L": 1, "P": 1, "I;16": 2, "RGB": 3, "RGBA": 4}[mode]
        image = Image.frombytes(mode, (12, 9), bytes(noise.randrange(256) for _ in range(12 * 9 * depth)))
        buffer = io.BytesIO()
        with contextlib.suppress(KeyError, OSError):  # a codec that this Pillow was built without
            image.save(buffer, FORMATS[name.rpartition(".")[2]], **options)
            found[name] = buffer.getvalue()
    return found


# One function a kind: draw input i, and hand it to ganzoo.


def generator(chance, material):
    """A generator file: bytes anywhere or in the header, ganzoo's header as a tree, the list of tensors as a tree."""
    content = chance.choice(material.generators)
    (size,) = struct.unpack("<Q", content[:8])
    way = chance.random()
    if way < 0.2:
        content = mutate_bytes(chance, content)
    elif way < 0.4:
        content = mutate_bytes(chance, content, 0, 8 + size)
    else:
        fields, data = json.loads(content[8 : 8 + size]), content[8 + size :]
        if way < 0.8:
            keys = ("width", "depth", "latent_dim", "norm", "where", "self", "spec", "name", "kind", "format", "shape", "classes")
            inner = json.loads(fields["__metadata__"]["ganzoo"])
            large = inner.pop("training")  # left out of half the changes, or it would take most of them
            if chance.random() < 0.5:
                inner = mutate_tree(chance, inner, JSON_RAWS, keys) | {"training": large}
            else:
                inner = mutate_tree(chance, inner | {"training": large}, JSON_RAWS, keys)
            fields["__metadata__"]["ganzoo"] = text_of(dump_json, inner)
            text = dump_json(fields)
        else:
            keys = ("F64", "F8_E8M0", "F4", "BOOL", "dtype", "shape", "data_offsets", "__metadata__")
            text = text_of(dump_json, mutate_tree(chance, fields, JSON_RAWS, keys))
            if chance.random() < 0.3:
                text = text.replace(
                    '"F32"', json.dumps(chance.choice(("F64", "I32", "F8_E8M0", "F4", "F6_E2M3", "C64", "U8", "F8_E4M3", "BF16")))
                )
        if chance.random() < 0.05:
            text = text[0] + text[1:-1] + ", " + text[1:]  # every key twice
        header = text.encode("utf-8", "surrogatepass")
        content = struct.pack("<Q", len(header)) + header + data
    path = material.scratch / "generator.safetensors"
    path.write_bytes(content)
    return lambda: ganzoo.load(path).sample(2, seed=0)


def run(chance, material):
    """A run file: as the run that is resumed, as a layer over the defaults, and for some as far as the assembled pipeline."""
    source = chance.choice(material.runs)
    text = (source / "run.toml").read_text()
    way = chance.random()
    if way < 0.35:
        content = mutate_bytes(chance, text.encode())
    elif way < 0.45:
        line = chance.choice(LINES)
        content = (text + "\n" + line if chance.random() < 0.5 else line + "\n" + text).encode()
    else:
        keys = (
            "name",
            "gen",
            "str",
            "int",
            "images",
            "where",
            "self",
            "width",
            "options",
            "weight",
            "every",
            "root",
            "reg",
            "optim",
        )
        content = text_of(dump_toml, mutate_tree(chance, tomllib.loads(text), TOML_RAWS, keys)).encode("utf-8", "surrogatepass")
    folder = material.scratch / "resumed"
    folder.mkdir(exist_ok=True)
    (folder / "run.toml").write_bytes(content)
    resumed, assembled = chance.random() < 0.5, chance.random() < 0.3
    if not resumed and chance.random() < 0.3:  # a file with few settings, over the defaults
        (folder / "run.toml").write_text(
            text_of(dump_toml, mutate_tree(chance, FEW, TOML_RAWS, ("name", "gen", "reg", "reg.gp", "width")))
        )

    def call():
        if resumed:
            found, about = runs.open_run(folder)
            configuration.check(configuration.apply_settings(found.tree(), ["train.images=64", "reg.gp.weight=2"]))
            same = runs.open_run(source)[0]
            with contextlib.suppress(GanzooError):
                runs.check_same(same, found, folder)
            assert all(line.isprintable() for line in runs.check_versions(about, Owners))
        else:
            tree = configuration.merge(configuration.defaults(), runs.settings(configuration.read(folder / "run.toml")))
            found = configuration.check(configuration.apply_settings(tree, ["train.images=64", "loss.name=hinge"]))
        numbers = [value for part in (found.gen, found.disc) for value in part.options.values() if isinstance(value, int)]
        if assembled and max(numbers, default=0) <= 64:  # a wide net is what the file's owner may want, whatever it takes
            assemble(found, zoo().registry)

    return call


FEW = {
    "gen": {"name": "mlp", "width": 8},
    "reg": {"r1": {"weight": 0.1}, "gp": False},
    "optim": {"gen": {"lr": 1e-3}},
    "data": {"name": "ring"},
}


class Owners:
    """As much of a pipeline as a run's versions are compared with."""

    owners = {"gen": "ganzoo:vanilla", "loss": "ganzoo:losses"}  # noqa: RUF012
    versions = {"ganzoo": "0", "torch": "0"}  # noqa: RUF012


def manifest(chance, material):
    """A checkpoint: bytes of any of its files, or its manifest as a tree, half of them signed anew as an enemy would."""
    original = next((chance.choice(material.runs) / "checkpoints").iterdir())
    run = material.scratch / "checked"
    shutil.rmtree(run, ignore_errors=True)
    folder = run / "checkpoints" / original.name
    shutil.copytree(original, folder)
    path = folder / "manifest.json"
    if chance.random() < 0.3:
        chosen = chance.choice(sorted(folder.iterdir()))
        chosen.write_bytes(mutate_bytes(chance, chosen.read_bytes()))
    else:
        keys = (
            "../../x.safetensors",
            "..",
            "a/b",
            "sha256",
            "bytes",
            "files",
            "values",
            "format",
            "counters",
            "groups",
            "state.0.exp_avg",
            "state.x.y",
            "state.",
        )
        tree = json.loads(path.read_text())
        part = chance.choice(("files", "values", None))
        if part:
            tree[part] = mutate_tree(chance, tree[part], JSON_RAWS, keys)
        else:
            tree = mutate_tree(chance, tree, JSON_RAWS, keys)
        text = text_of(dump_json, tree)
        if chance.random() < 0.7:
            with contextlib.suppress(ValueError, RecursionError, AttributeError):
                tree = json.loads(text)
                tree["sha256"] = checkpoint._digest(tree)
                text = checkpoint._serialised(tree).decode()
        path.write_bytes(text.encode("utf-8", "surrogatepass"))

    def call():
        if chance.random() < 0.5:
            said = []
            checkpoint.newest(run, said.append)
            assert all(line.isprintable() and len(line) < LONGEST for line in said)
            return
        state, _ = checkpoint.load(folder)
        restore(state)

    return call


def restore(state):
    """Put the parts of a state back that the checkpoint module knows how to."""
    net = torch.nn.Linear(2, 2)
    for side in ("discriminator", "generator"):
        checkpoint.restore_optimizer(torch.optim.Adam(net.parameters()), state.get(f"optim_{side}", {}))
    order = state.get("counters", {}).get("order", {})
    Order(64, 4, 0).load_state_dict(order)


def zips(chance, material):
    """A zip of pictures: its own bytes, its members' bytes, its members' names, flags, sizes and sums."""
    buffer = io.BytesIO()
    names = list(material.pictures)
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        for _ in range(chance.choice((1, 2, 4))):
            name = chance.choice(names)
            content = material.pictures[name]
            if chance.random() < 0.6:
                content = mutate_bytes(chance, content)
            if chance.random() < 0.2:
                name = chance.choice(NAMES)
            info = zipfile.ZipInfo(name)
            info.compress_type = chance.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            )
            if chance.random() < 0.1:
                info.external_attr = 0o120777 << 16
            archive.writestr(info, content)
            if chance.random() < 0.1:
                archive.writestr(info, content)
    content = buffer.getvalue()
    listing = content.rfind(b"PK\1\2")
    if chance.random() < 0.4:
        content = mutate_bytes(chance, content)
    elif chance.random() < 0.6:
        content = mutate_bytes(chance, content, max(listing, 0))
    path = material.scratch / "pictures.zip"
    path.write_bytes(content)
    shutil.rmtree(material.scratch / "cache", ignore_errors=True)
    verb = chance.choice((data.inspect, data.load_pictures))
    size = chance.choice((None, (8, 8), (5, 11)))
    return lambda: verb(path, resolution=size)


KINDS = {"generator": generator, "run": run, "manifest": manifest, "zip": zips}


class Slow(BaseException):
    """One input took too long."""


def attempt(call):
    """("accepted" or "refused", seconds, "") of one input, or ("failed", seconds, why)."""
    began = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        call()
        outcome, why = "accepted", ""
    except GanzooError as error:
        text = str(error)
        sound = text.isprintable() and 0 < len(text) <= LONGEST and "allocate" not in text and "MemoryError" not in text
        outcome, why = ("refused", "") if sound else ("failed", f"message {text[:200]!r} of {len(text)}")
    except BaseException as error:  # a Rust panic is no Exception
        where = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "ganzoo/" in f.filename]
        outcome, why = "failed", f"{type(error).__name__}: {str(error)[:150]!r} at {' '.join(ours[-4:])}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return outcome, time.perf_counter() - began, why


@contextlib.contextmanager
def watched():
    """Within it, `attempt` ends what takes too long."""

    def slow(*_):
        raise Slow(f"over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, slow)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def little_memory():
    """Within it, no more than MEMORY can be allocated beyond what there is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def fuzz(kind, count, first, material):
    """The report on inputs first .. first + count."""
    report = {"kind": kind, "tried": 0, "accepted": 0, "refused": 0, "failed": 0, "slowest": 0.0, "failures": []}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with watched(), little_memory():
        for number in range(first, first + count):
            outcome, seconds, why = attempt(KINDS[kind](random.Random(f"{kind} {number}"), material))
            report["tried"] += 1
            report[outcome] += 1
            report["slowest"] = max(report["slowest"], round(seconds, 2))
            if why:
                report["failures"].append(f"{kind} {number}: {why}")
    report["grown_mib"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return report


def warm_up(material):
    """One sound input of every kind, so that what is imported and cached late is not counted as growth."""
    for folder in material.runs:
        assemble(runs.open_run(folder)[0], zoo().registry)
        ganzoo.load(folder).sample(2)
        checkpoint.load(next((folder / "checkpoints").iterdir()))
    path = material.scratch / "sound.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in material.pictures.items():
            archive.writestr(name, content)
    assert len(data.load_pictures(path)) == len(material.pictures)
    data.inspect(path)


def main(kinds, count, first="0"):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        material = Material(Path(scratch))
        warm_up(material)
        print(json.dumps([fuzz(kind, int(count), int(first), material) for kind in kinds.split(",")], indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
