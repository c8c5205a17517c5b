"""Changes of size: the automatic resolution, one
rule for files and tensors, orientation and frames.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo.data import load_pictures, parse_resolution, resize, scan
from ganzoo.errors import BadConfig


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def noise(path: Path, seed: int, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_alpha_weighs_colours_when_scaled(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (250, 0, 0, 255)
    pixels[:, 32:] = (0, 250, 0, 0)  # invisible green must not bleed into the visible red
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    by_file = load_pictures(tmp_path / "in", resolution=(9, 9)).samples
    by_tensor = resize(torch.from_numpy(pixels).permute(2, 0, 1)[None], (9, 9))
    for found in (by_file, by_tensor):
        assert found[0, 1].max() == 0 and found[0, 0, :, :4].min() >= 249
        assert 0 < found[0, 3, 4, 4] < 255 and found[0, 3, 4, 8] == 0 and found[0, 0, 4, 8] == 0


def test_common_odd_size_is_kept_and_pixels_are_exact(tmp_path: Path) -> None:
    pixels = [noise(tmp_path / "in" / f"{i}.png", i, (53, 37)) for i in range(70)]
    found = load_pictures(tmp_path / "in")
    assert found.spec.shape == (3, 37, 53) and found.labels is None
    order = sorted(range(70), key=lambda i: f"{i}.png")
    assert np.array_equal(
        found.samples.permute(0, 2, 3, 1).numpy(), np.stack([pixels[i] for i in order])
    )


@pytest.mark.parametrize(
    ("sides", "wanted"),
    [([(70, 90), (90, 65), (300, 66)], 64), ([(5, 9), (7, 3)], 8), ([(600, 900), (700, 600)], 256)],
)
def test_automatic_resolution(tmp_path: Path, sides: list[tuple[int, int]], wanted: int) -> None:
    for i, side in enumerate(sides):
        noise(tmp_path / "in" / f"{i}.jpg", i, side)
    found = load_pictures(tmp_path / "in")
    assert found.spec.shape == (3, wanted, wanted)
    assert any("scaled to cover" in note for note in found.notes)


def test_scale_to_cover_then_centre(tmp_path: Path) -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255  # the middle third is white: all that a square shows
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "wide.png")
    by_file = load_pictures(tmp_path / "in", resolution=(20, 20)).samples
    by_tensor = resize(torch.from_numpy(pixels).permute(2, 0, 1)[None], (20, 20))
    for found in (by_file, by_tensor):
        assert found[..., 2:-2].min() >= 250 and found.float().mean() > 245


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    board = ((np.indices((128, 128)).sum(0) % 2) * 255).astype(np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(board).save(tmp_path / "in" / "board.png")
    by_file = load_pictures(tmp_path / "in", resolution=(16, 16)).samples
    by_tensor = resize(torch.from_numpy(board)[None, None], (16, 16))
    for found in (by_file, by_tensor):
        assert (found[..., 1:-1, 1:-1].float() - 127.5).abs().max() < 3


def test_large_jpeg_is_decoded_small_and_alike(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 900).astype(np.uint8)
    pixels = np.stack(
        [
            np.broadcast_to(ramp, (700, 900)),
            np.broadcast_to(ramp[:700, None], (700, 900)),
            np.full((700, 900), 40, np.uint8),
        ],
        2,
    )
    for suffix in ("jpg", "png"):
        (tmp_path / suffix).mkdir()
        Image.fromarray(pixels).save(
            tmp_path / suffix / f"x.{suffix}", **({"quality": 95} if suffix == "jpg" else {})
        )
    jpg, exact = (
        load_pictures(tmp_path / s, resolution=(32, 32)).samples.float() for s in ("jpg", "png")
    )
    assert (jpg - exact).abs().max() < 6


def test_exif_orientation_turns_the_picture(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # white on the left; orientation 6 turns clockwise: white on top
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.png", "c.webp"):
        Image.fromarray(pixels).save(
            tmp_path / "in" / name, exif=exif, **({} if name[0] == "b" else {"quality": 100})
        )
    found = load_pictures(tmp_path / "in")
    assert found.spec.shape == (3, 32, 16)
    assert found.samples[:, :, :14].min() > 240 and found.samples[:, :, 18:].max() < 15


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "lime", "blue")]
    (tmp_path / "in").mkdir()
    for name in ("a.gif", "b.png", "c.webp"):
        how = {"lossless": True} if name == "c.webp" else {}
        frames[0].save(tmp_path / "in" / name, save_all=True, append_images=frames[1:], **how)
    found = load_pictures(tmp_path / "in")
    assert found.samples[:, :, 0, 0].tolist() == [[255, 0, 0]] * 3
    assert scan(tmp_path / "in").animated == 3 and any("3 animated" in n for n in found.notes)


def test_resolutions_are_parsed() -> None:
    assert parse_resolution("64") == (64, 64) and parse_resolution("37x53") == (
        37,
        53,
    ) == parse_resolution("37X53")
    for wrong in (
        "",
        "x",
        "64x",
        "0",
        "-3",
        "64x0",
        "9000",
        "3.5",
        "64x64x3",
        "1e3",
        "99999999999999999999",
    ):
        with pytest.raises(BadConfig, match=r"data\.resolution") as caught:
            parse_resolution(wrong)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_resize_in_memory(channels: int) -> None:
    samples = torch.randint(0, 256, (1500, channels, 8, 8), dtype=torch.uint8)
    assert resize(samples, (8, 8)) is samples
    found = resize(samples, (11, 17))
    assert found.shape == (1500, channels, 11, 17) and found.dtype == torch.uint8
    assert torch.equal(
        resize(samples[1400:], (11, 17)), found[1400:]
    )  # a sample does not depend on its chunk
    assert resize(
        torch.full((1, channels, 9, 5), 200, dtype=torch.uint8), (31, 64)
    ).unique().tolist() == [200]
