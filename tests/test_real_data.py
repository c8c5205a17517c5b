"""Trainings from the command line on every sort of data: real sets where they are at hand, and pictures of an odd size."""

import json
import math
import os
from pathlib import Path

import pytest
from PIL import Image

from ganzoo.sampling import read_header

DATA = Path(os.environ.get("GANZOO_DATA", Path(__file__).parents[2] / "shared" / "data"))
SMALL = (
    "--images",
    "192",
    "--batch-size",
    "32",
    "--set",
    "gen.width=8",
    "--set",
    "disc.width=8",
    "--loss",
    "hinge",
    "--reg",
    "sn",
)


def at_hand(name):
    """The path of a real data set, or a skip that says what is missing."""
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not in GANZOO_DATA or ../shared/data")
    return DATA / name


def trained(ran, out, *arguments):
    """The header of the generator that a small training wrote, its pictures and its log looked at."""
    ran("train", *arguments, *SMALL, "--out", out)
    (run,) = out.iterdir()
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert last["images"] == 192 and math.isfinite(last["discriminator"]["total"])
    for picture in (run / "real.png", run / "samples" / "000000192.png"):
        with Image.open(picture) as image:
            image.load()
            assert min(image.size) > 100
    return read_header(run / "generator.safetensors")


@pytest.mark.slow
def test_cifar(ran, tmp_path):
    path = at_hand("cifar10-train.zip")
    assert trained(ran, tmp_path, "--data", path, "--gen", "dcgan").shape == [3, 32, 32]


def test_mnist(ran, tmp_path):
    at_hand("mnist")
    assert trained(
        ran, tmp_path, "--data", "mnist", "--data-root", DATA, "--gen", "dcgan"
    ).shape == [1, 28, 28]


@pytest.mark.parametrize(("channels", "found"), [("auto", 4), ("3", 3)])
def test_emoji_in_four_channels_and_flattened(ran, tmp_path, channels, found):
    arguments = (
        "--data",
        at_hand("noto-emoji.zip"),
        "--resolution",
        "32",
        "--set",
        f"data.channels={channels}",
    )
    assert trained(ran, tmp_path, *arguments).shape == [found, 32, 32]


def test_tiles_of_mixed_modes(ran, tmp_path):
    assert trained(ran, tmp_path, "--data", at_hand("dcss-tiles.zip")).shape == [4, 32, 32]


def test_a_folder_of_odd_rectangles(ran, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(40):
        Image.effect_noise((53, 37), 20 + i).save(pictures / f"{i}.png")
    assert trained(ran, tmp_path / "runs", "--data", pictures, "--gen", "dcgan").shape == [
        1,
        37,
        53,
    ]


def test_ring(ran, tmp_path):
    assert trained(ran, tmp_path, "--data", "ring", "--gen", "mlp").shape == [2]
