"""Pictures and zips that ask a codec for far more
than they are: named, left out, and never decoded.
"""

import io
import struct
import time
import zipfile
import zlib
from pathlib import Path

import made
import numpy as np
import pytest
from fuzzing import little_memory, timed, watched
from hostile import SMALL, refused, zipped
from PIL import Image

from ganzoo import data
from ganzoo.data import claims, scanning, source
from ganzoo.errors import BadData


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for module in (scanning, data.pictures, data.threads):
        monkeypatch.setattr(module, "processors", lambda: 2)


def tiff(tags, order="<", extra=b""):
    """A TIFF of (tag, type, count, value) entries, what they point to behind them."""
    start = struct.pack(order + "2sHL", b"II" if order == "<" else b"MM", 42, 8)
    body = struct.pack(order + "H", len(tags))
    for tag, kind, count, value in sorted(tags):
        body += struct.pack(order + "HHLL", tag, kind, count, value)
    return start + body + bytes(4) + extra


def tiled(side, tile, order="<"):
    """A grey picture in one tile, deflated."""
    tags = [(256, 4, 1, side), (257, 4, 1, side), (322, 4, 1, tile), (323, 4, 1, tile)]
    content = zlib.compress(bytes(min(tile * tile, 1 << 22)))
    tags += [(259, 4, 1, 8), (262, 4, 1, 1), (277, 4, 1, 1), (258, 4, 1, 8)]
    tags += [(325, 4, 1, len(content))]
    at = 8 + 2 + 12 * (len(tags) + 1) + 4
    return tiff([*tags, (324, 4, 1, at)], order, content)


def of_tags(count, each):
    """As many tags, all of which are the same bytes."""
    tags = [(256, 4, 1, 8), (257, 4, 1, 8), (262, 4, 1, 1), (258, 4, 1, 8)]
    at = 8 + 2 + 12 * (len(tags) + count) + 4
    tags += [(40_000 + i, 7, each, at) for i in range(count)]
    return tiff(tags, extra=bytes(each))


def with_exif(exif):
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    content = buffer.getvalue()
    chunk = b"eXIf" + exif
    return (
        content[:33]
        + struct.pack(">L", len(exif))
        + chunk
        + struct.pack(">L", zlib.crc32(chunk))
        + content[33:]
    )


def webp(width, height, kind=b"VP8X"):
    """The start of a WebP with a canvas of that size, and one small frame."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    content = bytearray(buffer.getvalue())
    assert content[12:16] == b"VP8X"
    content[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(content)


BOMBS = {
    "tile.tif": (lambda: tiled(100, 40_000), "tiles of 40000x40000 are larger"),
    "big.tif": (lambda: tiled(100, 40_000, ">"), "tiles of 40000x40000 are larger"),
    "tags.tif": (lambda: of_tags(1000, 1 << 20), "its tags make 1,024,000 KiB"),
    "many.tif": (lambda: of_tags(5000, 1000), "a TIFF of 5,004 tags"),
    "odd.tif": (lambda: b"II\0*" + tiled(8, 16)[4:], "a sort of TIFF"),
    "cut.tif": (lambda: tiled(8, 16)[:40], "cut short"),
    "canvas.webp": (lambda: webp(16_383, 16_383), "a canvas of more than 64 Mpixel"),
    "none.webp": (lambda: b"RIFF\4\0\0\0WEBP", "does not say how large"),
    "empty.png": (lambda: b"", "empty"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_named_and_left_out(tmp_path, name):
    content, why = BOMBS[name]
    path = zipped(tmp_path / "x.zip", {name: content(), "good.png": SMALL})
    with watched(), little_memory():
        loaded, looked = data.load_pictures(path), data.inspect(path)
    assert len(loaded) == 1 and any(name in note and why in note for note in loaded.notes)
    assert [b["name"] for b in looked["broken"]] == [name] and why in looked["broken"][0]["reason"]


def test_sound_pictures_of_these_formats_are_taken(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    image, members = Image.fromarray(noise), {}
    for name, options in {
        "a.tif": {"compression": "tiff_lzw"},
        "b.tif": {"compression": "jpeg"},
        "c.tif": {"big_tiff": True},
        "d.tif": {"compression": "tiff_adobe_deflate", "tiffinfo": {34675: b"x" * 3000}},
        "e.webp": {"lossless": True},
        "f.webp": {"lossless": False},
        "g.webp": {"save_all": True, "append_images": [image.rotate(90)]},
    }.items():
        buffer = io.BytesIO()
        image.save(buffer, "TIFF" if name.endswith("tif") else "WEBP", **options)
        members[name] = buffer.getvalue()
    members["h.tif"] = tiled(100, 256)
    assert [claims.canvas(io.BytesIO(members[n])) for n in ("e.webp", "f.webp", "g.webp")] == [
        60_000
    ] * 3
    found = data.inspect(zipped(tmp_path / "x.zip", members))
    assert found["broken"] == [] and found["pictures"] == 8


def test_heavy_exif_is_forgotten_and_the_picture_kept(tmp_path):
    light = tiff([(0x0112, 3, 1, 6)])
    for name, exif, turned in (("heavy", of_tags(1000, 1 << 20), False), ("light", light, True)):
        wide = Image.new("L", (8, 4))
        buffer = io.BytesIO()
        wide.save(buffer, "PNG")
        content = with_exif(exif)
        path = zipped(tmp_path / f"{name}.zip", {"a.png": content})
        with watched(), little_memory():
            assert len(data.load_pictures(path)) == 1
            with zipfile.ZipFile(path) as archive, archive.open("a.png") as file:
                image = data.decoding.open_picture(io.BytesIO(file.read()))
        data.decoding._drop_heavy_exif(image)
        assert ("exif" in image.info) == turned


def test_a_listing_without_content_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """A hundred thousand members that are all the same one."""
    path = zipped(tmp_path / "x.zip", {"a.png": SMALL})
    content = path.read_bytes()
    at = content.index(b"PK\1\2")
    end = content.rfind(b"PK\5\6")
    listing = content[at:end] * 100_000
    tail = bytearray(content[end:])
    struct.pack_into("<HHLL", tail, 8, 1, 1, len(listing), at)
    path.write_bytes(content[:at] + listing + tail)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # never gets there
    with refused(BadData, "more listing than content"):
        data.load_pictures(path)


def test_members_are_counted_whatever_the_zip_says(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.zip", {f"{i}.png": SMALL for i in range(300)})
    content = bytearray(path.read_bytes())
    struct.pack_into("<HH", content, content.rfind(b"PK\5\6") + 8, 1, 1)
    path.write_bytes(content)
    monkeypatch.setattr(source, "MAX_MEMBERS", 299)
    with refused(BadData, "more than 299 files"):
        data.load_pictures(path)
    monkeypatch.setattr(source, "MAX_MEMBERS", 300)
    assert len(data.load_pictures(path)) == 300


def test_an_honest_zip_of_too_many_is_refused_before_it_is_listed(tmp_path, monkeypatch):
    path = made.many(tmp_path / "x.zip", source.MAX_MEMBERS + 1)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # never gets there
    with refused(BadData, r"lists more than 500,000 files.*; unpack it and give the folder"):
        data.load_pictures(path)


@pytest.mark.slow
@pytest.mark.alone
def test_as_many_as_a_zip_may_hold_take_bounded_memory_and_time(tmp_path):
    path = made.many(tmp_path / "x.zip", source.MAX_MEMBERS)
    with watched(), little_memory(), timed(30):
        began = time.process_time()
        with source.open_source(path) as found:
            assert len(found.entries) == source.MAX_MEMBERS
        print(f"{source.MAX_MEMBERS:,} members listed in {time.process_time() - began:.1f} s")


@pytest.mark.parametrize("path", ["/", "/proc", "/sys/class", "/dev", "/proc/self/root", "/usr/.."])
def test_the_systems_own_trees_are_not_walked(path, cli):
    if not Path(path).is_dir():
        pytest.skip("another system")
    with refused(BadData, "the system's own files"):
        data.load_pictures(path)
    for command in (["data", "inspect", path], ["train", "--data", path, "--dry-run"]):
        done = cli(*command)
        assert done.code == 1 and done.err.count("\n") == 1 and "own files" in done.err


def test_links_into_the_systems_trees_are_passed_by(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(SMALL)
    (folder / "other").mkdir()
    for name, target in (("proc", "/proc"), ("root", "/"), ("own", str(folder / "other"))):
        (folder / name).symlink_to(target)
    with watched():
        assert len(data.load_pictures(folder)) == 1


def test_a_walk_has_an_end(tmp_path, monkeypatch):
    for n in range(20):
        (tmp_path / f"{n}.txt").touch()
    monkeypatch.setattr(source, "MAX_WALKED", 10)
    with refused(BadData, "more than 10 files"):
        data.load_pictures(tmp_path)
