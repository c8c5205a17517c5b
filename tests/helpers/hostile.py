"""What the tests of untrusted files share: a judge
of refusals, sound files, and tools to forge others.
"""

import contextlib
import functools
import io
import json
import os
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz_targets import summed
from fuzzing import little_memory, timed, watched
from mutators import dump_json
from PIL import Image

import ganzoo
from ganzoo.errors import GanzooError

BAD = "\x1b[2J\x9b31m\n[bold red]"  # what a terminal, or rich, would obey


@contextlib.contextmanager
def refused(kind=GanzooError, match=None):
    """One line of ours within 5 s of work and 1 GiB, and not because memory ran out."""
    two_runs()  # which need more
    with watched(), little_memory(), pytest.raises(kind, match=match) as caught, timed(5):
        yield
    text = str(caught.value)
    assert text.isprintable() and 0 < len(text) < 1100 and "allocate" not in text


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = (  # what Python tells auditors of, beside opening
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod",
    "os.truncate", "os.utime", "shutil.copyfile", "shutil.move", "shutil.rmtree",
    "shutil.unpack_archive",
)  # fmt: skip
_listening: list["Touched"] = []


class Touched:
    """Paths that this process read, and those that it made, wrote, renamed or deleted."""

    def __init__(self):
        self.read, self.changed = set(), set()

    def note(self, event, arguments):
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            writes = isinstance(arguments[2], int) and arguments[2] & WRITING
            self._add(self.changed if writes else self.read, arguments[0])
        elif event in CHANGING:
            for path in arguments[: 2 if event in ("os.rename", "shutil.move") else 1]:
                self._add(self.changed, path)

    @staticmethod
    def _add(paths, path):
        if isinstance(path, str | bytes | os.PathLike):
            paths.add(Path(os.fsdecode(path)).resolve())


@functools.cache
def _hear():
    """An auditor cannot be taken away, so that there is one for all."""
    sys.addaudithook(lambda event, given: [touched.note(event, given) for touched in _listening])


@contextlib.contextmanager
def touching():
    """What is touched within, whatever it is called and wherever it lies."""
    _hear()
    _listening.append(found := Touched())
    try:
        yield found
    finally:
        _listening.remove(found)


SCRATCH = tempfile.TemporaryDirectory()  # lives as long as this module


@functools.cache
def two_runs():
    """The folder of two runs: a fully connected and a convolutional generator."""
    small = {
        "train": {"images": 32, "batch_size": 16, "device": "cpu", "engine": "eager"},
        "samples": {"count": 4},
    }
    folder = Path(tempfile.mkdtemp(dir=SCRATCH.name))  # of this process, which may be a fork
    for name in ("mlp", "dcgan"):
        net = {"gen": {"name": name, "width": 4, "latent_dim": 4}, "disc": {"width": 4}}
        data = {"name": "digits", "resolution": 8}
        ganzoo.train({**small, **net, "data": data}, folder / name)
    return folder


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


def forge(folder, net="mlp", tuned=None, **changes):
    """A copy of a generator file with changes in ganzoo's header, and in the options there."""
    fields, header, weights = opened(two_runs() / net / "generator.safetensors")
    header["options"] |= tuned or {}
    fields["__metadata__"]["ganzoo"] = dump_json(header | changes)
    return written(folder / "forged.safetensors", summed(fields, weights), weights)


def png(pixels, mode=None):
    buffer = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels, mode)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


SMALL = png(np.arange(64, dtype=np.uint8).reshape(8, 8))
