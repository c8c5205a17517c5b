"""The cache of decoded pictures, zips from strangers, and real sets at their speed."""

import io
import os
import stat
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import made
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from ganzoo.data import inspect, load_pictures, scan
from ganzoo.data import pictures as pictures_module
from ganzoo.data import source as source_module
from ganzoo.errors import BadData


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each picture decoded."""
    calls: list[int] = []
    decode = pictures_module.decode
    monkeypatch.setattr(pictures_module, "decode", lambda *a: calls.append(1) or decode(*a))
    return calls


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def folder_of(path: Path, count: int = 5) -> Path:
    for i in range(count):
        (path / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (path / "ab"[i % 2] / f"{i}.png").write_bytes(png(i))
    return path


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


# The cache.


def test_second_load_decodes_nothing_and_is_the_same(
    tmp_path: Path, cache: Path, decoded: list[int]
) -> None:
    seen: list[tuple[int, int]] = []
    first = load_pictures(
        folder_of(tmp_path / "in"), progress=lambda done, total: seen.append((done, total))
    )
    assert len(decoded) == 5 and seen[-1] == (5, 5)
    second = load_pictures(tmp_path / "in")
    assert len(decoded) == 5
    assert torch.equal(first.samples, second.samples) and torch.equal(first.labels, second.labels)
    assert first.notes == second.notes and first.classes == second.classes == ["a", "b"]
    (store,) = cache.iterdir()
    with safe_open(store, "pt") as file:  # any reader of safetensors can open it
        assert torch.equal(file.get_tensor("samples"), first.samples)
        assert torch.equal(file.get_tensor("labels"), first.labels)
    batch, labels = second.batch(torch.tensor([4, 0]))
    assert batch.shape == (2, 3, 16, 16) and -1 <= batch.min() < -0.9 and labels.tolist() == [1, 0]


def test_changes_and_options_make_another_store(
    tmp_path: Path, cache: Path, decoded: list[int]
) -> None:
    folder = folder_of(tmp_path / "in")
    load_pictures(folder)
    for options in ({"channels": 1}, {"resolution": (8, 12)}, {"background": "black"}):
        load_pictures(folder, **options)
    assert len(list(cache.iterdir())) == 4 and len(decoded) == 20
    (folder / "a" / "0.png").write_bytes(png(77))  # the same size but for chance, a new time
    os.utime(folder / "a" / "0.png", ns=(1, 1))
    changed = load_pictures(folder)
    assert len(decoded) == 25
    (folder / "a" / "0.png").rename(folder / "b" / "0.png")
    assert load_pictures(folder).labels.tolist() == [0, 0, 1, 1, 1] != changed.labels.tolist()
    (folder / "a" / "new.png").write_bytes(png(5))
    assert len(load_pictures(folder)) == 6


def test_zip_is_known_by_its_content_not_its_name(tmp_path: Path, decoded: list[int]) -> None:
    load_pictures(zip_of(tmp_path / "a.zip", {"x.png": png(), "y.png": png(1)}))
    load_pictures((tmp_path / "a.zip").rename(tmp_path / "b.zip"))
    assert len(decoded) == 2
    load_pictures(zip_of(tmp_path / "b.zip", {"x.png": png(2), "y.png": png(1)}))
    assert len(decoded) == 4


def damage(store: Path, where: str) -> None:
    content = bytearray(store.read_bytes())
    if where == "truncated":
        content = content[:-3]
    elif where == "empty":
        content = bytearray()
    elif where == "zeros":
        content[:] = bytes(len(content))
    elif where == "length":
        content[:8] = struct.pack("<Q", 1 << 60)
    else:
        at = {"header": 60, "samples": 4096 + 1000, "end": len(content) - 8}[where]
        content[at] ^= 4
    store.write_bytes(content)


@pytest.mark.parametrize(
    "where", ["truncated", "empty", "zeros", "length", "header", "samples", "end"]
)
def test_damaged_store_is_noticed_and_made_again(
    tmp_path: Path, cache: Path, decoded: list[int], where: str
) -> None:
    first = load_pictures(folder_of(tmp_path / "in"))
    kept, labels = first.samples.clone(), first.labels.clone()
    (store,) = cache.iterdir()
    damage(store, where)
    again = load_pictures(tmp_path / "in")
    assert (
        torch.equal(again.samples, kept)
        and torch.equal(again.labels, labels)
        and len(decoded) == 10
    )
    assert any("damaged" in note for note in again.notes)
    assert load_pictures(tmp_path / "in").notes == first.notes and len(decoded) == 10


def test_unusable_cache_falls_back_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = load_pictures(folder_of(tmp_path / "in"))
    (tmp_path / "file").write_text("a cache cannot lie below a file")
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "file" / "cache"))
    held = load_pictures(tmp_path / "in")
    assert torch.equal(held.samples, stored.samples) and torch.equal(held.labels, stored.labels)
    assert any("kept in memory" in note for note in held.notes)


def test_full_disk_in_the_middle_falls_back_to_memory(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, pixels: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures_module.Writer, "write", full)
    held = load_pictures(folder_of(tmp_path / "in"))
    assert len(held) == 5 and any("No space left" in note for note in held.notes)
    assert list(cache.iterdir()) == []


def test_orphans_go_and_the_living_stay(tmp_path: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    for name in (".dead.tmp", ".living.tmp", ".young.tmp"):
        (cache / name).write_bytes(b"half")
    for name in (".dead.tmp", ".living.tmp"):
        os.utime(cache / name, (1, 1))
    hold = (
        "import filelock, sys\n"
        "with filelock.FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, cache / ".living.lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"held\n"
        load_pictures(folder_of(tmp_path / "in"))
        other.stdin.close()
    assert {f.name for f in cache.glob(".*")} == {".living.lock", ".living.tmp", ".young.tmp"}


# Zips from strangers.


def test_members_that_point_elsewhere_are_left_out(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = [
        "/etc/x.png",
        "../x.png",
        "a/../../x.png",
        "C:\\x.png",
        "..\\x.png",
        "bad\x1b[31m.png",
        "good.png",
    ]
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in names:
            archive.writestr(name, png())
        archive.writestr(link, "/etc/passwd")
        archive.writestr("__MACOSX/._good.png", b"junk")
        archive.writestr("docs/readme.txt", b"left out")
    before = sorted(tmp_path.rglob("*"))
    found = scan(tmp_path / "in.zip")
    assert sorted(tmp_path.rglob("*")) == before
    assert [e.name for e in found.entries] == ["bad\x1b[31m.png", "good.png"] and found.others == 1
    assert len(found.broken) == 6 and {b.reason for b in found.broken} == {
        "its name points outside the zip",
        "a link",
    }
    assert "\x1b" not in repr(inspect(tmp_path / "in.zip"))


def test_encrypted_and_damaged_members_are_left_out(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "in.zip", {"a.png": png(1), "b.png": png(2), "c.png": png(3)})
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\1\2", 0, content.index(b"b.png", content.index(b"PK\1\2")))
    content[directory + 8] |= 1  # b says that it is encrypted
    content[content.index(b"c.png") + 30] ^= 0xFF  # c has a wrong byte in its data
    path.write_bytes(content)
    found = load_pictures(path)
    assert len(found) == 1
    note = next(n for n in found.notes if "broken" in n)
    assert "b.png (encrypted)" in note and "c.png (" in note


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(source_module, "MAX_EXPANSION_FREE", 4 << 20)
    path = zip_of(tmp_path / "one.zip", {"bomb.png": bytes(2 << 20), "good.png": png()})
    assert [(b.name, b.reason) for b in scan(path).broken] == [("bomb.png", "larger than 1 MiB")]
    path = zip_of(tmp_path / "many.zip", {f"{i}.png": bytes(1 << 20) for i in range(6)})
    with pytest.raises(BadData, match="zip bomb"):
        scan(path)
    monkeypatch.setattr(source_module, "MAX_MEMBERS", 5)
    with pytest.raises(BadData, match="more than 5 files"):
        scan(path)


def test_members_that_share_bytes_at_other_places_are_refused(tmp_path: Path) -> None:
    """A member within another's data: no two begin at the same place."""
    inner = zip_of(tmp_path / "inner.zip", {"b.png": png(2)}).read_bytes()
    local = inner[: inner.index(b"PK\1\2")]
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.png", b"junk" + local)
        archive.writestr("b.png", png(2), zipfile.ZIP_DEFLATED)
    content = bytearray((tmp_path / "in.zip").read_bytes())
    assert len(scan(tmp_path / "in.zip").entries) == 1  # a is no picture, b is one
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 4)
    inside = content.index(local)
    content[second + 42 : second + 46] = struct.pack("<I", inside)
    (tmp_path / "in.zip").write_bytes(content)
    with pytest.raises(BadData, match="overlap"):
        scan(tmp_path / "in.zip")


def test_the_resolution_is_the_common_size_or_a_power_of_two_near_the_median(
    tmp_path: Path,
) -> None:
    def folder(name: str, *sizes: tuple[int, int]) -> Path:
        (tmp_path / name).mkdir()
        for i, size in enumerate(sizes):
            Image.new("RGB", size[::-1]).save(tmp_path / name / f"{i}.png")
        return tmp_path / name

    wanted = {
        "alike": ([(12, 20)] * 3, (12, 20)),
        "mixed": ([(20, 24), (33, 40), (90, 50)], (32, 32)),
        "exact": ([(64, 64), (64, 80), (10, 100)], (64, 64)),
        "small": ([(5, 6), (6, 7)], (8, 8)),
        "large": ([(700, 800), (900, 801)], (256, 256)),
    }
    for name, (sizes, resolution) in wanted.items():
        assert scan(folder(name, *sizes)).resolution(None) == resolution, name
        assert scan(tmp_path / name).resolution((24, 16)) == (24, 16)


def test_member_longer_than_it_says_is_cut_off(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "in.zip", {"liar.png": bytes(8 << 20), "good.png": png()})
    content = bytearray(path.read_bytes())
    for at in (content.index(b"PK\1\2") + 24, 22):
        content[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(content)
    found = scan(path)
    assert len(found) == 1 and found.broken[0].name == "liar.png"


def test_mutated_zips_end_in_one_line(tmp_path: Path) -> None:
    sound = zip_of(tmp_path / "in.zip", {"a/1.png": png(1), "b/2.png": png(2)}).read_bytes()
    stream = np.random.default_rng(0)
    failures = 0
    for i in range(300):
        content = bytearray(sound)
        for at in stream.integers(0, len(content), 1 + i % 8):
            content[at] = stream.integers(256)
        (tmp_path / "m.zip").write_bytes(
            content[: len(content) - (int(stream.integers(200)) if i % 3 == 0 else 0)]
        )
        try:
            assert len(scan(tmp_path / "m.zip", verify=True)) <= 2
        except BadData as error:
            failures += 1
            assert "\n" not in str(error)
    assert 50 < failures < 300


# Sets as people have them.


def test_cifar_in_a_zip_is_decoded_once(tmp_path: Path, cache: Path, decoded: list[int]) -> None:
    path = made.cifar(tmp_path / "cifar.zip", 2000)
    first, second = load_pictures(path), load_pictures(path)
    assert first.spec.shape == (3, 32, 32) and first.labels.bincount().tolist() == [200] * 10
    assert len(decoded) == 2000 and torch.equal(first.samples, second.samples)
    (store,) = cache.iterdir()
    with safe_open(store, "pt") as file:
        assert torch.equal(file.get_tensor("samples"), second.samples)
    if Path("/proc/self/maps").exists():  # the samples lie in the file, not in memory of their own
        address = second.samples.data_ptr()
        lines = Path("/proc/self/maps").read_text().splitlines()
        holders = [line for line in lines if _spans(line, address)]
        assert len(holders) == 1 and holders[0].endswith(str(store))


def _spans(line: str, address: int) -> bool:
    """Whether a line of /proc/self/maps is about this address."""
    first, last = (int(end, 16) for end in line.split()[0].split("-"))
    return first <= address < last


@pytest.mark.slow
@pytest.mark.alone
def test_cifar_in_a_zip_in_time(tmp_path: Path) -> None:
    path = made.cifar(tmp_path / "cifar.zip", 50_000)
    times = []
    for _ in range(4):
        began = time.perf_counter()
        assert len(load_pictures(path)) == 50_000
        times.append(time.perf_counter() - began)
    print(f"first {times[0]:.1f} s, again {min(times[1:]):.2f} s")
    assert times[0] < 30 and min(times[1:]) < 1.0  # 5 to 10 s, and 0.6 s, on 2 idle cores


def test_emoji_keep_their_transparency(tmp_path: Path) -> None:
    path = made.emoji(tmp_path / "emoji.zip")
    found = load_pictures(path)
    assert found.spec.shape == (4, 128, 128) and len(found) == 43 and found.spec.classes == 2
    clear = found.samples[:, 3] == 0
    assert 0.2 < clear.float().mean() < 0.9 and clear[:, 0, 0].all() and not clear[:, 64, 64].any()
    assert (found.samples.movedim(1, -1)[clear] == 0).all(), "black where nothing is seen"
    flat = load_pictures(path, channels=3, resolution=(32, 32))
    assert flat.spec.shape == (3, 32, 32) and (flat.samples[:, :, 0, 0] == 255).all()
    assert inspect(path)["duplicates"] == 3


def test_tiles_of_mixed_modes(tmp_path: Path) -> None:
    path = made.tiles(tmp_path / "tiles.zip")
    found = load_pictures(path)
    assert found.spec.shape == (4, 32, 32) and len(found) == 84 and found.spec.classes == 7
    opaque = (found.samples[:, 3].flatten(1).min(1).values == 255).sum()
    assert opaque == 4 * 14, "all but RGBA and the palette with a colour that is nothing"
