"""Trainings from the command line on data of every modality,
made by the tests in the form that people have them in.
"""

import json
import math

import made
import pytest
from PIL import Image

import ganzoo
from ganzoo.generate.generator_file import read_header

SMALL = ["--images", "192", "--batch-size", "32", "--loss", "hinge", "--reg", "sn"]
SMALL += ["--set", "gen.width=8", "--set", "disc.width=8"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def trained(ran, out, *arguments):
    """The header of the generator that a small
    training wrote, its pictures and its log looked at.
    """
    ran("train", *arguments, *SMALL, "--out", out)
    (run,) = out.iterdir()
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert last["images"] == 192 and math.isfinite(last["discriminator"]["total"])
    for picture in (run / "real.png", run / "samples" / "000000192.png"):
        with Image.open(picture) as image:
            image.load()
            assert min(image.size) > 100
    return read_header(run / "generator.safetensors")


def test_cifar(ran, tmp_path):
    path = made.cifar(tmp_path / "cifar.zip", 300)
    found = trained(ran, tmp_path / "runs", "--data", path, "--gen", "dcgan")
    assert found.shape == [3, 32, 32]


def test_mnist(ran, tmp_path):
    known = ganzoo.create("dataset", "digits")
    pictures, labels = known.samples[:500, 0].numpy(), known.labels[:500].numpy().astype("uint8")
    made.mnist(tmp_path / "data" / "mnist", pictures, labels)
    where = ["--data", "mnist", "--data-root", tmp_path / "data"]
    assert trained(ran, tmp_path / "runs", *where, "--gen", "dcgan").shape == [1, 28, 28]


@pytest.mark.parametrize(("channels", "found"), [("auto", 4), ("3", 3)])
def test_emoji_in_four_channels_and_flattened(ran, tmp_path, channels, found):
    path = made.emoji(tmp_path / "emoji.zip")
    how = ["--data", path, "--resolution", "32", "--set", f"data.channels={channels}"]
    assert trained(ran, tmp_path / "runs", *how).shape == [found, 32, 32]


def test_tiles_of_mixed_modes(ran, tmp_path):
    path = made.tiles(tmp_path / "tiles.zip")
    assert trained(ran, tmp_path / "runs", "--data", path).shape == [4, 32, 32]


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
