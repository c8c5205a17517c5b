"""Sound files of every kind that ganzoo reads, and for
each kind a function that mutates one and hands it over.
"""

import contextlib
import io
import json
import os
import random
import shutil
import struct
import tarfile
import tomllib
import warnings
import zipfile

import numpy as np
import safetensors.torch
import torch
from mutators import JSON_RAWS, TOML_RAWS, dump_json, dump_toml, mutate_bytes, mutate_tree, text_of
from PIL import Image
from safetensors import SafetensorError

import ganzoo
from ganzoo import config as configuration
from ganzoo import data
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.data import Order
from ganzoo.engine.optimizer_state import restore_optimizer
from ganzoo.errors import GanzooError
from ganzoo.generate import generator_file
from ganzoo.io import checkpoints as checkpoint
from ganzoo.io import untrusted_files as untrusted
from ganzoo.training import resume as resuming
from ganzoo.training import run_folder as runs

# fmt: off
LINES = (  # of TOML
    ".".join("a" * 3000), "a." * 40_000 + "b = 1", "[" + ".".join(["ab"] * 500) + "]", "a=1\n" * 3,
    "[[gen]]", "[gen.name]\nx=1", "int = 1", "gen = 3", "[train.images]\nname=2", "[optim]\ngen=[]",
)
NAMES = (  # of members of a zip
    "../x.png", "/x.png", "C:\\x.png", "a\x1b[2J/x.png", "a/" * 200 + "x.png", "\u202ex.png",
    "x.png", ".png", "a\nb.png", "[red]/x.jpg",
)
PICTURES = (
    ("grey.png", "L", {}), ("colour.jpg", "RGB", {}), ("alpha.png", "RGBA", {}),
    ("deep.png", "I;16", {}), ("palette.gif", "P", {}), ("web.webp", "RGB", {}),
    ("raw.bmp", "RGB", {}), ("tag.tiff", "RGB", {"compression": "tiff_lzw"}),
    ("plain.ppm", "RGB", {}), ("two.jp2", "RGB", {}), ("av.avif", "RGB", {}),
)
FORMATS = {
    "png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "tiff": "TIFF",
    "ppm": "PPM", "jp2": "JPEG2000", "avif": "AVIF",
}
# Keys that mean something to whoever reads them.
HEADER_KEYS = (
    "width", "depth", "latent_dim", "norm", "where", "self", "spec", "name", "kind", "format",
    "shape", "classes",
)
TENSOR_KEYS = (
    "F64", "F8_E8M0", "F4", "BOOL", "dtype", "shape", "data_offsets", "__metadata__",
)
RUN_KEYS = (
    "name", "gen", "str", "int", "images", "where", "self", "width", "options", "weight", "every",
    "root", "reg", "reg.gp", "optim",
)
MANIFEST_KEYS = (
    "../../x.safetensors", "..", "a/b", "sha256", "bytes", "files", "values", "format", "counters",
    "groups", "state.0.step", "state.x.y", "state.",
)
TYPES = (
    "F64", "I32", "F8_E8M0", "F4", "F6_E2M3", "C64", "U8", "F8_E4M3", "BF16",
)
PACKINGS = (
    zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)
# fmt: on


class Material:
    """Sound files of every kind, made by ganzoo itself, and a scratch folder."""

    def __init__(self, scratch):
        self.scratch = scratch
        os.environ["GANZOO_CACHE"] = str(scratch / "cache")
        small = {
            "train": {"images": 32, "batch_size": 16, "device": "cpu", "engine": "eager"},
            "samples": {"count": 4},
        }
        mlp = {
            "gen": {"name": "mlp", "width": 8, "depth": 1, "latent_dim": 4, "norm": "batch"},
            "reg": {"gp": {}},
        }
        dcgan = {
            "gen": {"name": "dcgan", "width": 2, "latent_dim": 4},
            "data": {"name": "digits", "resolution": 8},
        }
        trees = (
            mlp | {"disc": {"width": 8}, "data": {"name": "ring"}},
            dcgan | {"disc": {"width": 2}},
        )
        self.runs = []
        for i, tree in enumerate(trees):
            ganzoo.train({**small, **tree}, scratch / f"run{i}")
            self.runs.append(scratch / f"run{i}")
        self.generators = [(run / "generator.safetensors").read_bytes() for run in self.runs]
        self.pictures = pictures()


def summed(fields, data):
    """The fields of a generator file with the sum that its
    header and tensors have, if the header is one at all.
    """
    about = fields["__metadata__"]
    with contextlib.suppress(ValueError, SafetensorError):
        header = generator_file.Header.model_validate(
            untrusted.parse_json(about["ganzoo"].encode())
        )
        text = dump_json(fields).encode()
        weights = safetensors.torch.load(struct.pack("<Q", len(text)) + text + data)
        about["sha256"] = generator_file.sum_of(header, weights)
    return fields


def pictures():
    """Small pictures of several formats and modes."""
    found = {}
    noise = random.Random(0)
    for name, mode, options in PICTURES:
        depth = {"L": 1, "P": 1, "I;16": 2, "RGB": 3, "RGBA": 4}[mode]
        image = Image.frombytes(
            mode, (12, 9), bytes(noise.randrange(256) for _ in range(12 * 9 * depth))
        )
        buffer = io.BytesIO()
        with contextlib.suppress(KeyError, OSError):  # a codec that this Pillow was built without
            image.save(buffer, FORMATS[name.rpartition(".")[2]], **options)
            found[name] = buffer.getvalue()
    return found


# One function a kind: draw input i, and hand it to ganzoo.


def generator(chance, material):
    """A generator file: bytes anywhere or in the header,
    ganzoo's header as a tree, the list of tensors as a tree.
    """
    content = chance.choice(material.generators)
    (size,) = struct.unpack("<Q", content[:8])
    way = chance.random()
    if way < 0.2:
        content = mutate_bytes(chance, content)
    elif way < 0.4:
        content = mutate_bytes(chance, content, 0, 8 + size)
    else:
        fields, weights = json.loads(content[8 : 8 + size]), content[8 + size :]
        if way < 0.8:
            inner = json.loads(fields["__metadata__"]["ganzoo"])
            large = inner.pop(
                "training"
            )  # left out of half the changes, or it would take most of them
            if chance.random() < 0.5:
                inner = mutate_tree(chance, inner, JSON_RAWS, HEADER_KEYS) | {"training": large}
            else:
                inner = mutate_tree(chance, inner | {"training": large}, JSON_RAWS, HEADER_KEYS)
            fields["__metadata__"]["ganzoo"] = text_of(dump_json, inner)
            text = dump_json(summed(fields, weights))
        else:
            text = text_of(dump_json, mutate_tree(chance, fields, JSON_RAWS, TENSOR_KEYS))
            if chance.random() < 0.3:
                text = text.replace('"F32"', json.dumps(chance.choice(TYPES)))
        if chance.random() < 0.05:
            text = text[0] + text[1:-1] + ", " + text[1:]  # every key twice
        header = text.encode("utf-8", "surrogatepass")
        content = struct.pack("<Q", len(header)) + header + weights
    path = material.scratch / "generator.safetensors"
    path.write_bytes(content)
    return lambda: ganzoo.load(path).sample(2, seed=0)


def run(chance, material):
    """A run file: as the run that is resumed, as a layer over
    the defaults, and for some as far as the assembled pipeline.
    """
    source = chance.choice(material.runs)
    text = (source / "run.toml").read_text()
    way = chance.random()
    if way < 0.35:
        content = mutate_bytes(chance, text.encode())
    elif way < 0.45:
        line = chance.choice(LINES)
        content = (text + "\n" + line if chance.random() < 0.5 else line + "\n" + text).encode()
    else:
        content = text_of(
            dump_toml, mutate_tree(chance, tomllib.loads(text), TOML_RAWS, RUN_KEYS)
        ).encode("utf-8", "surrogatepass")
    folder = material.scratch / "resumed"
    folder.mkdir(exist_ok=True)
    (folder / "run.toml").write_bytes(content)
    resumed, assembled = chance.random() < 0.5, chance.random() < 0.3
    if not resumed and chance.random() < 0.3:  # a file with few settings, over the defaults
        (folder / "run.toml").write_text(
            text_of(dump_toml, mutate_tree(chance, FEW, TOML_RAWS, RUN_KEYS))
        )

    def call():
        if resumed:
            tree = configuration.read(folder / "run.toml")
            assert runs.intact(tree) in (True, False)
            whole = configuration.merge(configuration.defaults(), configuration.settings(tree))
            found, about = configuration.check(whole), tree.get("run", {})
            about = about if isinstance(about, dict) else {}
            with contextlib.suppress(GanzooError):
                resuming.open_run(folder)
            configuration.check(
                configuration.apply_settings(found.tree(), ["train.images=64", "gen.init=normal"])
            )
            same = resuming.open_run(source).config
            with contextlib.suppress(GanzooError):
                runs.check_same(same, found, folder)
            assert all(line.isprintable() for line in runs.check_versions(about, Owners))
        else:
            tree = configuration.merge(
                configuration.defaults(),
                configuration.settings(configuration.read(folder / "run.toml")),
            )
            found = configuration.check(
                configuration.apply_settings(tree, ["train.images=64", "loss.name=hinge"])
            )
        numbers = [
            value
            for part in (found.gen, found.disc)
            for value in part.options.values()
            if isinstance(value, int)
        ]
        if (
            assembled and max(numbers, default=0) <= 64
        ):  # a wide net is what the file's owner may want, whatever it takes
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
    """A checkpoint: bytes of any of its files, or its manifest
    as a tree, most of them signed anew as an enemy would.
    """
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
        tree = json.loads(path.read_text())
        part = chance.choice(("files", "values", None))
        if part:
            tree[part] = mutate_tree(chance, tree[part], JSON_RAWS, MANIFEST_KEYS)
        else:
            tree = mutate_tree(chance, tree, JSON_RAWS, MANIFEST_KEYS)
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
            assert all(line.isprintable() for line in said)
            return
        state, _ = checkpoint.load(folder)
        restore(state)

    return call


def restore(state):
    """Put the parts of a state back that the checkpoint module knows how to."""
    net = torch.nn.Linear(2, 2)
    for side in ("discriminator", "generator"):
        restore_optimizer(torch.optim.Adam(net.parameters()), state.get(f"optim_{side}", {}))
    order = state.get("counters", {}).get("order", {})
    Order(64, 4, 0).load_state_dict(order)


def zips(chance, material):
    """A zip of pictures: its own bytes, its members'
    bytes, its members' names, flags, sizes and sums.
    """
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
            info.compress_type = chance.choice(PACKINGS)
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


TABLE = "age,city,kind\n" + "".join(f"{20 + i},{'xyz'[i % 3]},{i % 2}\n" for i in range(30))
TEXT = "".join(f"line {i} of text, Grüezi\n" for i in range(30))


def array(shape, kind):
    """A .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ones(shape, kind))
    return buffer.getvalue()


def animation():
    """A .gif of four frames."""
    buffer = io.BytesIO()
    first, *rest = [Image.new("L", (12, 10), 40 * i) for i in range(4)]
    first.save(buffer, "GIF", save_all=True, append_images=rest)
    return buffer.getvalue()


FORMS = (
    ("t.csv", TABLE.encode(), data.load_table),
    ("t.txt", TEXT.encode(), data.load_texts),
    ("t.npy", array((5, 3), np.float32), data.load_array),
    ("t.npy", array((5, 1, 2, 4, 4), np.uint8), data.load_array),
    ("t.gif", animation(), data.load_videos),
)


def form(chance, material):
    """A table, a text, an array or a video, its bytes changed."""
    name, content, load = chance.choice(FORMS)
    folder = material.scratch / "form"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / name).write_bytes(mutate_bytes(chance, content))
    where = folder if name.endswith("gif") else folder / name
    return lambda: load(where).batch(torch.tensor([0]))


ENDS = ("png", "jpg", "a.png", "b.png", "cls", "json", "txt")


def shards(chance, material):
    """A shard and perhaps an index: members' names, kinds, headers and bytes."""
    folder = material.scratch / "shards"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    pictures = list(material.pictures.values())
    form = chance.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(folder / "0.tar", "w", format=form) as archive:
        for number in range(chance.choice((2, 4))):
            ends = ["png", *chance.sample(ENDS, chance.choice((0, 0, 1, 2)))]
            for end in dict.fromkeys(ends):
                content = {"cls": b"3", "json": b'{"label": 1}'}.get(end, chance.choice(pictures))
                if chance.random() < 0.2:
                    content = mutate_bytes(chance, content)
                info = tarfile.TarInfo(f"{'k' * chance.choice((1, 1, 200))}{number}.{end}")
                if chance.random() < 0.05:
                    info.name = chance.choice(NAMES)
                info.size, info.mtime = len(content), chance.choice((0, 1.5))
                info.type = chance.choice((tarfile.REGTYPE,) * 30 + (b"1", b"2", b"6", b"S", b"Z"))
                archive.addfile(info, io.BytesIO(content))
    content = (folder / "0.tar").read_bytes()
    if chance.random() < 0.5:
        (folder / "0.tar").write_bytes(mutate_bytes(chance, content))
    if chance.random() < 0.3:
        listed = {"name": "0.tar", "size": len(content), "count": 2, "sha256": "0" * 64}
        index = {"format": "ganzoo-shards-1", "classes": ["a"] * 4, "shards": [listed]}
        (folder / "index.json").write_text(dump_json(mutate_tree(chance, index, JSON_RAWS)))
    skip = chance.choice((0.0, 0.9))

    def read():
        found = data.load_shards(folder, resolution=(8, 8), skip=skip)
        found.batch(torch.arange(len(found)))

    return read


KINDS = {
    "generator": generator,
    "run": run,
    "manifest": manifest,
    "zip": zips,
    "form": form,
    "shards": shards,
}


def warm_up(material):
    """One sound input of every kind, so that what is
    imported and cached late is not counted as growth.
    """
    for folder in material.runs:
        assemble(resuming.open_run(folder).config, zoo().registry)
        ganzoo.load(folder).sample(2)
        checkpoint.load(next((folder / "checkpoints").iterdir()))
    path = material.scratch / "sound.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in material.pictures.items():
            archive.writestr(name, content)
    assert len(data.load_pictures(path)) == len(material.pictures)
    data.inspect(path)
