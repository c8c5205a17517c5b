"""Folders of pictures: modes, sizes, broken files, class folders, and what inspect says of them."""

import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo.data import inspect, load_pictures, scan
from ganzoo.errors import BadConfig, BadData


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


def save(
    path: Path,
    colour: object = (200, 30, 60),
    size: tuple[int, int] = (16, 16),
    mode: str = "RGB",
    **how: object,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **how)
    return path


def png(size: tuple[int, int] = (8, 8), colour: object = (10, 20, 30), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def noise(path: Path, seed: int, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


# Modes: what each becomes in one, three and four channels.

MODES = {  # mode: (colour, extra arguments of save, grey, RGBA)
    "1": (1, {}, 255, (255, 255, 255, 255)),
    "L": (90, {}, 90, (90, 90, 90, 255)),
    "LA": ((90, 0), {}, 255, (0, 0, 0, 0)),
    "I;16": (90 * 257, {}, 90, (90, 90, 90, 255)),
    "RGB": ((90, 90, 90), {}, 90, (90, 90, 90, 255)),
    "RGBA": ((0, 0, 0, 51), {}, 204, (0, 0, 0, 51)),
    "CMYK": ((0, 0, 0, 165), {}, 90, (90, 90, 90, 255)),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_in_every_number_of_channels(tmp_path: Path, mode: str) -> None:
    colour, how, grey, rgba = MODES[mode]
    save(tmp_path / "in" / ("x.tif" if mode == "CMYK" else "x.png"), colour, mode=mode, **how)
    for channels, wanted in ((1, (grey,)), (3, (grey,) * 3), (4, rgba)):
        samples = load_pictures(tmp_path / "in", channels=channels).samples
        assert samples.shape == (1, channels, 16, 16) and samples.dtype == torch.uint8
        assert torch.equal(samples[0, :, 5, 5], torch.tensor(wanted, dtype=torch.uint8)), channels


def palette(path: Path, transparent: int | None, colours: list[int]) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette(colours)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({} if transparent is None else {"transparency": transparent}))


@pytest.mark.parametrize(
    ("transparent", "colours", "channels"),
    [(None, [0, 0, 0, 9, 9, 9], 1), (None, [0, 0, 0, 9, 8, 7], 3), (1, [0, 0, 0, 9, 8, 7], 4)],
)
def test_palettes_decide_channels(
    tmp_path: Path, transparent: int | None, colours: list[int], channels: int
) -> None:
    palette(tmp_path / "in" / "x.png", transparent, colours)
    samples = load_pictures(tmp_path / "in").samples
    assert samples.shape == (1, channels, 8, 8)
    assert samples[0, :, 0, 0].tolist() == (
        [0, 0, 0, 0] if transparent else colours[3 : 3 + channels]
    )


def test_automatic_channels_follow_the_richest_picture(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 7, mode="L")
    assert scan(tmp_path / "in").channels(None) == 1
    save(tmp_path / "in" / "b.png")
    assert scan(tmp_path / "in").channels(None) == 3
    save(tmp_path / "in" / "c.png", (1, 2, 3, 4), mode="RGBA")
    found = load_pictures(tmp_path / "in")
    assert found.spec.shape == (4, 16, 16)
    assert found.samples[:, 3, 0, 0].tolist() == [255, 255, 4]
    assert any("without transparency become opaque" in note for note in found.notes)


def test_background_and_its_errors(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", (1, 2, 3, 0), mode="RGBA")
    assert load_pictures(tmp_path / "in", channels=3, background="#0a141e").samples[
        0, :, 0, 0
    ].tolist() == [10, 20, 30]
    with pytest.raises(BadConfig, match="not a colour"):
        load_pictures(tmp_path / "in", background="wihte")
    with pytest.raises(BadConfig, match=r"data\.channels = 2"):
        load_pictures(tmp_path / "in", channels=2)


# Broken, foreign and missing.


def broken_folder(folder: Path) -> Path:
    noise(folder / "good.png", 0, (40, 40))
    noise(folder / "good2.png", 1, (40, 40))
    whole = (folder / "good.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture at all")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "notes.txt").write_text("left out")
    (folder / ".hidden.png").write_text("left out, unseen")
    save(folder / "__MACOSX" / "x.png")
    return folder


def test_broken_pictures_are_skipped_counted_and_named(tmp_path: Path) -> None:
    found = load_pictures(broken_folder(tmp_path / "in"))
    assert len(found) == 2
    note = next(n for n in found.notes if "broken" in n)
    assert note.startswith("4 broken") and all(
        f"{n} (" in note for n in ("cut.png", "text.png", "empty.jpg", "gone.png")
    )
    assert any("1 other files" in n for n in found.notes)
    again = load_pictures(tmp_path / "in")
    assert again.notes == found.notes and torch.equal(again.samples, found.samples)


def test_nothing_left_is_an_error(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "in"
    with pytest.raises(BadData, match=r"in: cannot be read"):
        load_pictures(folder)
    folder.mkdir()
    with pytest.raises(BadData, match="no pictures in it"):
        load_pictures(folder)
    (folder / "text.png").write_text("no picture")
    with pytest.raises(
        BadData, match=r"none of its 1 pictures can be read \(text.png: not a picture\)"
    ):
        load_pictures(folder)
    whole = png((40, 40))
    (folder / "text.png").write_bytes(whole[:60])  # the header is sound, the pixels are not
    with pytest.raises(BadData, match="none of its 1 pictures"):
        load_pictures(folder)
    assert list(cache.iterdir()) == []  # nothing half written stays
    with pytest.raises(BadData, match="a single picture"):
        load_pictures(save(tmp_path / "x.png"))
    (tmp_path / "x.bin").write_bytes(b"\0" * 100)
    with pytest.raises(BadData, match="neither a folder nor a zip"):
        load_pictures(tmp_path / "x.bin")


def test_too_many_pixels_are_refused_unread(tmp_path: Path) -> None:
    save(tmp_path / "in" / "good.png")
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "in" / "bomb.png").write_bytes(
        png()[:12] + head + struct.pack(">I", zlib.crc32(head)) + png()[33:]
    )
    save(tmp_path / "in" / "large.png", 0, (9000, 8000), "1")
    found = scan(tmp_path / "in")
    assert len(found) == 1 and {b.name for b in found.broken} == {"bomb.png", "large.png"}
    assert "Mpixel" in next(b.reason for b in found.broken if b.name == "large.png")


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(tmp_path / "in")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    assert [e.name for e in scan(tmp_path / "in").entries] == ["linked/a.png"]


# Class folders.


@pytest.mark.parametrize(
    ("names", "classes", "labels"),
    [
        (["b/1.png", "a/1.png", "b/deep/2.png"], ["a", "b"], [0, 1, 1]),
        (["top/b/1.png", "top/a/1.png"], ["a", "b"], [0, 1]),
        (["a/1.png", "b/1.png", "loose.png"], [], None),
        (["only/1.png", "only/2.png"], [], None),
    ],
)
def test_class_folders(
    tmp_path: Path, names: list[str], classes: list[str], labels: list[int] | None
) -> None:
    for i, name in enumerate(names):
        save(tmp_path / "in" / name, (i, i, i))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / "in" / name, name)
    for path in (tmp_path / "in", tmp_path / "in.zip"):
        for _ in range(2):  # decoded, then from the cache
            found = load_pictures(path)
            assert list(found.classes) == classes and found.spec.classes == len(classes)
            assert (found.labels is None) == (labels is None)
            if found.labels is not None:
                assert found.labels.tolist() == labels and found.labels.dtype == torch.int64


def test_inspect_tells_all(tmp_path: Path) -> None:
    broken_folder(tmp_path / "in" / "a")
    noise(tmp_path / "in" / "b" / "same.png", 0, (40, 40))
    save(tmp_path / "in" / "b" / "clear.png", (1, 2, 3, 4), (20, 30), "RGBA")
    told = json.loads(json.dumps(inspect(tmp_path / "in", channels=3)))
    assert told["pictures"] == 4 and told["classes"] == {"a": 2, "b": 2} and told["duplicates"] == 1
    assert told["sizes"]["height"] == {"min": 30, "median": 40, "max": 40}
    assert told["sizes"]["common"][0] == {"height": 40, "width": 40, "pictures": 3}
    assert (
        told["modes"] == {"RGB": 3, "RGBA": 1} and told["transparent"] == 1 and told["others"] == 1
    )
    assert {b["name"] for b in told["broken"]} == {
        "a/cut.png",
        "a/text.png",
        "a/empty.jpg",
        "a/gone.png",
    }
    training = told["training"]
    assert (training["height"], training["width"], training["channels"], training["labels"]) == (
        32,
        32,
        3,
        2,
    )
    assert training["background"] == "white" and training["samples"] == 4
    assert len(load_pictures(tmp_path / "in", channels=3)) == 4
    assert load_pictures(tmp_path / "in", channels=3).notes == training["notes"]
