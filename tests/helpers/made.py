"""Data sets as people have them, made here in their
form, so that no test waits for a download or a disk.
"""

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def png(pixels: np.ndarray, **saved: object) -> bytes:
    """A picture file of pixels [h, w] or [h, w, c]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **saved)
    return buffer.getvalue()


def cifar(path: Path, count: int) -> Path:
    """A zip of colour pictures of 32x32 in ten class folders,
    as cifar10-train.zip has 50,000; 200 of them differ.
    """
    chance = np.random.default_rng(0)
    pictures = [png(chance.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(200)]
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"train/{i % 10}/{i:05d}.png", pictures[i % 200])
    return path


def emoji(path: Path, count: int = 40, twice: int = 3) -> Path:
    """A zip of discs of 128x128 on nothing (RGBA), in
    two class folders; the first ones are there twice.
    """
    down, across = np.mgrid[:128, :128] - 63.5
    members = {}
    for i in range(count):
        pixels = np.zeros((128, 128, 4), np.uint8)
        inside = np.hypot(down, across) < 20 + i
        pixels[inside] = (6 * i, 255 - 6 * i, 40, 255)
        members[f"emoji/{'ab'[i % 2]}/{i:03d}.png"] = png(pixels)
    again = {name.replace(".png", "-again.png"): members[name] for name in list(members)[:twice]}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | again).items():
            archive.writestr(name, content)
    return path


def tiles(path: Path, count: int = 84) -> Path:
    """A zip of tiles of 32x32 in seven class folders, in
    every mode by turns: grey, palettes, RGB and RGBA.
    """
    chance = np.random.default_rng(0)
    modes = ("L", "P", "RGB", "RGBA", "clear", "1")
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            colours = Image.fromarray(chance.integers(0, 256, (32, 32, 4), np.uint8))
            archive.writestr(f"tiles/{i % 7}/{i:03d}.png", _in_mode(colours, modes[i % 6]))
    return path


def _in_mode(colours: Image.Image, mode: str) -> bytes:
    """An RGBA picture as a file of another mode;
    "clear": of a palette in which one colour is nothing.
    """
    buffer = io.BytesIO()
    if mode == "RGBA":
        colours.save(buffer, "PNG")
    elif mode == "clear":
        palette = colours.convert("RGB").convert("P")
        palette.putpixel((0, 0), 0)
        palette.save(buffer, "PNG", transparency=0)
    else:
        colours.convert("RGB").convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def idx(values: np.ndarray) -> bytes:
    """MNIST's format."""
    head = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.tobytes()


def mnist(folder: Path, pictures: np.ndarray, labels: np.ndarray, split: str = "train") -> Path:
    """The files of a split: pictures uint8 [n, 28, 28] as they are, labels uint8 [n] packed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(pictures))
    (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels), 1))
    return folder


def many(path: Path, count: int) -> Path:
    """A sound zip of so many pictures of one pixel,
    with the longer records that more than 65,535 need.
    """
    picture, at, listing = png(np.zeros((1, 1), np.uint8)), 0, []
    figures = 20, 0, 0, 0, 33, zlib.crc32(picture), len(picture), len(picture), 11, 0
    local = struct.pack("<4s5H3L2H", b"PK\3\4", *figures)
    entry = struct.pack("<4s6H3L5HL", b"PK\1\2", 20, *figures, 0, 0, 0, 0)
    with path.open("wb") as file:
        for i in range(count):
            name = b"%07d.png" % i
            file.write(local + name + picture)
            listing.append(entry + struct.pack("<L", at) + name)
            at += len(local) + len(name) + len(picture)
        directory = b"".join(listing)
        file.write(directory)
        record = 44, 45, 45, 0, 0, count, count, len(directory), at
        file.write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", *record))
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, at + len(directory), 1))
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[2**32 - 1] * 2, 0))
    return path


def unlike_folders(root):
    """A folder with the folders `fake` and `real` of pictures that differ a little."""
    chance = np.random.default_rng(0)
    for name, shift in (("fake", 40), ("real", 0)):
        (root / name).mkdir()
        for number in range(8):
            pixels = chance.integers(0, 200, (16, 16, 3)) + shift
            (root / name / f"{number:03d}.png").write_bytes(png(pixels.astype(np.uint8)))
    return root
