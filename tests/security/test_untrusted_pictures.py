"""Zips and pictures from strangers: each attack ends in one line."""

import contextlib
import json
import struct
import zipfile

import numpy as np
import pytest
from fuzzing import little_memory, watched
from hostile import BAD, SMALL, png, refused, touching, zipped
from PIL import Image

from ganzoo import data
from ganzoo.data import decoding, scanning, threads
from ganzoo.errors import BadData

# Zips and pictures.


@pytest.fixture(autouse=True)
def two_threads(monkeypatch, tmp_path):
    """Each thread takes address space of its own, which the memory limit would count."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for module in (scanning, data.pictures, threads):
        monkeypatch.setattr(module, "processors", lambda: 2)


READERS = (data.inspect, data.load_pictures)


@pytest.mark.parametrize("read", READERS)
def test_names_that_point_elsewhere_are_labels_only(tmp_path, read, monkeypatch):
    """Neither is anything written where they point, nor anything read that lies there."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.chdir(own)
    prey = tmp_path / "up.png"
    prey.write_bytes(png(np.full((8, 8), 255, np.uint8)))
    names = ("../up.png", str(prey), "C:\\x.png", "a/../../up.png", BAD + ".png")
    only_bad = zipped(own / "x.zip", dict.fromkeys(names[:4], SMALL))
    path = zipped(own / "y.zip", dict.fromkeys((*names, f"{BAD}/a.png", "b/c.png"), SMALL))
    with refused(BadData, "none of its"), touching() as first:
        read(only_bad)
    with touching() as touched:
        found = read(path)
    touched.read |= first.read
    touched.changed |= first.changed
    said = (
        json.dumps(found, ensure_ascii=False)
        if isinstance(found, dict)
        else "".join([*found.notes, *found.classes])
    )
    assert said.isprintable()
    assert {only_bad, path} <= touched.read and prey not in touched.read
    cache = tmp_path / "cache"
    assert not [path for path in touched.changed if not path.is_relative_to(cache)]
    assert {cache / "pictures"} <= touched.changed or read is data.inspect
    if read is data.load_pictures:
        assert len(found) == 3 and found.samples.max() < 255


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
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(tmp_path / "x.zip", "w") as archive,
    ):
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
