"""Shards from strangers: what is no plain file is named and left out, in bounded memory."""

import json
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch
from fuzzing import little_memory, timed, watched
from hostile import BAD, SMALL, png, touching
from PIL import Image

from ganzoo.data import load_shards, shard_tables, tars
from ganzoo.errors import BadData


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def info(name, size=0, **fields):
    found = tarfile.TarInfo(name)
    found.size = size
    for key, value in fields.items():
        setattr(found, key, value)
    return found


def header(name, size=0, **fields):
    """The header of a member, as Python writes it."""
    return info(name, size, **fields).tobuf(tarfile.PAX_FORMAT)


def filled(content):
    return content + bytes(-len(content) % 512)


GOOD = header("good.png", len(SMALL)) + filled(SMALL)
END = bytes(1024)


def shard(path, *pieces):
    path.write_bytes(b"".join(pieces))
    return path


def left(path):
    """What is left out of a shard with one good picture, by name; read in little memory."""
    with watched(), little_memory(), timed(5):
        table = shard_tables.read_table(path)
        found = load_shards(path, skip=0.99)
    assert len(table) == len(found) == 1
    assert found.gather(torch.tensor([0])).samples.shape == (1, 1, 8, 8)
    return {broken.name: broken.reason for broken in table.left}


def test_what_is_no_plain_file_is_named_and_left_out(tmp_path):
    kinds = {
        "hard.png": tarfile.LNKTYPE,
        "soft.png": tarfile.SYMTYPE,
        "disk.png": tarfile.BLKTYPE,
        "tty.png": tarfile.CHRTYPE,
        "pipe.png": tarfile.FIFOTYPE,
        "strange.png": b"Q",
    }
    links = [header(name, type=kind, linkname="/etc/passwd") for name, kind in kinds.items()]
    names = ("/abs.png", "../up.png", "C:\\x.png", "a/../../b.png", f"{BAD}.png")
    strays = [header(name, len(SMALL)) + filled(SMALL) for name in names[:4]]
    prey = tmp_path / "up.png"
    prey.write_bytes(SMALL)
    path = shard(tmp_path / "a.tar", *links, GOOD, *strays, header("a/", type=b"5"), END)
    with touching() as touched:
        found = left(path)
    assert {found.pop(name) for name in names[:4]} == {"its name points outside the tar"}
    assert found.pop("hard.png") == found.pop("soft.png") == "a link"
    assert found == dict.fromkeys(
        ("disk.png", "tty.png", "pipe.png", "strange.png"), "no regular file"
    )
    assert prey not in touched.read
    inside = tmp_path / "cache"
    assert not [each for each in touched.changed if not each.is_relative_to(inside)]
    nasty = shard(tmp_path / "b.tar", GOOD, header(names[4]) + END)
    assert all(name.isprintable() for name in left(nasty))


def test_files_with_holes_are_left_out(tmp_path):
    block = bytearray(header("old.png", len(SMALL), type=tarfile.GNUTYPE_SPARSE))
    pax = header("new.png", len(SMALL), pax_headers={"GNU.sparse.realsize": str(1 << 50)})
    extended = bytearray(block)
    extended[482] = 1  # a block of its map follows
    extended[148:156] = b"%06o\0 " % (sum(extended[:148]) + 256 + sum(extended[156:512]))
    pieces = (bytes(block) + filled(SMALL), bytes(extended) + bytes(512) + filled(SMALL))
    found = left(shard(tmp_path / "a.tar", *pieces, pax + filled(SMALL), GOOD, END))
    assert found == {"old.png": "a file with holes", "new.png": "a file with holes"}


def test_long_headers_are_not_read_into_memory(tmp_path):
    """A PAX header and a GNU name of 2 GiB each, in a file that takes no room on the disk."""
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        for n, kind in enumerate(
            (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE, b"K")
        ):
            file.write(info("x", 2 << 30, type=kind).tobuf(tarfile.USTAR_FORMAT))
            file.seek(2 << 30, 1)
            file.write(header(f"{n}.png", len(SMALL)) + filled(SMALL))
        file.write(END)
    with watched(), little_memory(), timed(5):
        table = shard_tables.read_table(path)
    assert len(table) == 2 and table.lost == 2  # what stands before all members is passed over
    assert table.left[0].reason == "a header of 2,147,483,648 bytes before it"
    long = header("n" * 5000 + ".png", len(SMALL)) + filled(SMALL)
    (reason,) = left(shard(tmp_path / "b.tar", long, GOOD, END)).values()
    assert reason == "a name of more than 1,024 letters"


LIES = {
    "longer than the tar": header("a.png", 1 << 40) + filled(SMALL),
    "less than no bytes": header("a.png", 5)[:124] + b"\xff" * 12 + header("a.png", 5)[136:],
    "records without end": header("x", 4, type=b"x") + filled(b"9 a=") + GOOD,
    "a record of no length": header("x", 6, type=b"x") + filled(b"0 a=b\n") + GOOD,
    "a size that is none": header("x", 12, type=b"x") + filled(b"12 size=0x1\n") + GOOD,
    "gzip": b"\x1f\x8b" + bytes(600),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_end_a_shard_in_one_line(lie, tmp_path):
    lying = LIES[lie]
    if lie == "less than no bytes":
        block = bytearray(lying[:512])
        block[148:156] = b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))
        lying = bytes(block)
    path = shard(tmp_path / "a.tar", GOOD, lying, END)
    with watched(), little_memory(), timed(5), pytest.raises(BadData, match=r"a.tar") as caught:
        load_shards(path)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 1000 and "allocate" not in text


def test_as_many_members_as_a_shard_may_hold_take_bounded_memory(tmp_path, monkeypatch):
    """Members of one name, which are one sample, and more headers than are counted."""
    monkeypatch.setattr(tars, "MAX_BLOCKS", 2_000)
    monkeypatch.setattr(shard_tables, "MAX_SAMPLES", 1_000)
    txt, several = header("a.txt"), header("a.png") * 2
    many = [header(f"{i}.png", len(SMALL)) + filled(SMALL) for i in range(1_001)]
    cases = (
        (txt * 2_001, "more than 2,000 headers"),
        (b"".join(many), "more than 1,000 samples"),
    )
    for content, says in cases:
        path = shard(tmp_path / "a.tar", content, END)
        with watched(), little_memory(), timed(5), pytest.raises(BadData, match=says):
            load_shards(path)
    assert left(shard(tmp_path / "b.tar", several, GOOD, END)) == {"a": "empty"}


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    trap = pickle.dumps(Trap())
    kinds = ("pyd", "pkl", "pickle", "pth", "npy", "npz", "ten", "cls", "json")
    members = [header(f"{i}.png", len(SMALL)) + filled(SMALL) for i in range(len(kinds))]
    traps = [header(f"{i}.{kind}", len(trap)) + filled(trap) for i, kind in enumerate(kinds)]
    pieces = [piece for pair in zip(members, traps, strict=True) for piece in pair]
    found = load_shards(shard(tmp_path / "a.tar", *pieces, END), skip=0.9)
    found.gather(torch.arange(len(found)))
    assert len(found) == 7 and not (tmp_path / "sprung").exists()


def test_pictures_of_shards_are_held_to_the_same_limits(tmp_path):
    huge = png(Image.new("1", (9000, 9000)))
    path = shard(tmp_path / "a.tar", GOOD, header("h.png", len(huge)) + filled(huge), END)
    with watched(), little_memory(), timed(5):
        found = load_shards(path, resolution=(8, 8), skip=0.6)
        batch = found.gather(torch.tensor([1]))
    first = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert np.array_equal(batch.samples[0, 0].numpy(), first)  # the next that can be read


def test_a_pipe_or_a_link_to_a_device_is_no_shard(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    (tmp_path / "b.tar").symlink_to("/dev/zero")
    for name in ("a", "b"):
        with watched(), timed(5), pytest.raises(BadData, match="no regular file"):
            load_shards(tmp_path / f"{name}.tar")


def test_an_index_names_only_files_beside_it(tmp_path):
    shard(tmp_path / "a.tar", GOOD, END)
    for name in ("../a.tar", "/etc/passwd", "b/c.tar", "..\\a.tar"):
        listed = {"name": name, "size": 9, "count": 1, "sha256": "0" * 64}
        text = json.dumps({"format": "ganzoo-shards-1", "shards": [listed]})
        (tmp_path / "index.json").write_text(text)
        with pytest.raises(BadData, match=r"no index of shards .shards.0.name"):
            load_shards(tmp_path)
