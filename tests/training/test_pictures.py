"""What a person is shown of a training: a picture from the
start on, one that moves, plots that compare, and numbers.
"""

import signal

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo import config
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.generate import pictures as drawing
from ganzoo.training import progress_gif as progress
from ganzoo.training.loop import Interrupted, Training

RING = ("--gen", "mlp", "--data", "ring", "--batch-size", "16", "--set", "gen.width=8")


def numbers(folder):
    return [int(p.stem) for p in sorted((folder / "samples").iterdir())]


def frames(path):
    with Image.open(path) as film:
        for i in range(film.n_frames):
            film.seek(i)
            yield film.convert("RGB")


# Of a run.


def test_a_run_has_a_picture_at_its_start_and_eight_more(tmp_path, cli):
    done = cli("train", *RING, "--images", 1600, "--out", tmp_path)
    (folder,) = tmp_path.iterdir()
    assert numbers(folder) == [0, 208, 400, 608, 800, 1008, 1200, 1408, 1600]
    assert f"progress   {folder / 'progress.gif'}" in done.out
    film = list(frames(folder / "progress.gif"))
    assert len(film) == 9 and film[0].tobytes() != film[-1].tobytes()


def test_a_stop_leaves_a_picture_and_a_strip_and_a_resume_the_whole_one(tmp_path):
    sections = {
        "gen": {"name": "dcgan", "width": 4},
        "disc": {"name": "dcgan", "width": 4},
        "train": {"images": 1024, "batch_size": 16},
    }
    tree = config.merge(config.defaults(), sections)
    training = Training(assemble(config.check(tree), zoo().registry), tmp_path)

    def stop(images):
        if images == 336:
            training.stop = signal.SIGINT

    training.tick = stop
    with pytest.raises(Interrupted):
        training.run()
    assert numbers(tmp_path) == [0, 128, 256, 336]
    before = list(frames(tmp_path / "progress.gif"))
    grid = Image.open(tmp_path / "samples" / "000000336.png").convert("RGB")
    assert len(before) == 4 and before[0].width == grid.width < 3 * grid.height
    row = drawing.sheet_of(64, training.pipeline.spec)[1]
    assert before[-1].crop(row).tobytes() == grid.crop(row).tobytes(), "greys are kept as they are"
    (tmp_path / "progress.gif").unlink()
    training.stop, training.tick = None, lambda images: None
    training.run()
    after = list(frames(tmp_path / "progress.gif"))
    assert len(after) == len(numbers(tmp_path)) == 10
    assert [f.tobytes() for f in after[:4]] == [f.tobytes() for f in before]


def test_the_strip_is_made_of_the_run_s_own_pictures_alone(tmp_path):
    """Sixty-four of many; no links, no pictures of another
    size or from after, nothing damaged or named otherwise.
    """
    spec, folder = Spec((3, 8, 8)), tmp_path / "samples"
    for number in range(200):
        images = torch.full((4, 3, 8, 8), number / 100 - 1)
        drawing.write_picture(folder / f"{number:09d}.png", images, spec)
    progress.write(tmp_path, 4, spec, 199)
    film = list(frames(tmp_path / "progress.gif"))
    assert len(film) == progress.FRAMES
    shades = [frame.getpixel((100, 100))[0] for frame in film]
    assert shades == sorted(shades) and abs(shades[0] - 0) < 4 and abs(shades[-1] - 253) < 4
    for path in folder.iterdir():
        path.unlink() if int(path.stem) > 3 else None
    precious = tmp_path / "precious.png"
    precious.write_bytes((folder / "000000003.png").read_bytes())
    (folder / "000000003.png").unlink()
    (folder / "000000003.png").symlink_to(precious)
    (folder / "000000002.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Image.new("RGB", (9000, 9000)).save(folder / "000000004.png")
    drawing.write_picture(folder / "000000099.png", torch.zeros(4, 3, 8, 8), spec)
    drawing.write_picture(folder / "mine.png", torch.zeros(4, 3, 8, 8), spec)
    progress.write(tmp_path, 4, spec, 50)
    assert len(list(frames(tmp_path / "progress.gif"))) == 2


# Drawn.


def ink(picture, colour):
    """Where a colour is: the boxes' edges in shares of the side."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    pixels[:24, :200] = 255  # the writing
    there = (np.abs(pixels - np.array(colour)).sum(2) < 30).nonzero()
    return [
        round(float(edge) / drawing.SIDE, 2) for axis in there for edge in (axis.min(), axis.max())
    ]


def test_points_are_drawn_over_real_ones_on_the_real_ones_axes():
    generator = torch.Generator().manual_seed(0)
    real = torch.rand(2000, 2, generator=generator) * 2 - 1
    picture = drawing.draw(real * 0.1, Spec((2,)), real)  # a small cloud upon the real one
    assert ink(picture, (0xBB, 0xBB, 0xBB)) == [0.14, 0.86, 0.14, 0.86]
    assert ink(picture, (0x22, 0x55, 0xAA)) == [0.46, 0.54, 0.46, 0.54]
    picture = drawing.draw(torch.cat([real[:9] * 0.1, real * 50]), Spec((2,)), real)
    assert ink(picture, (0xBB, 0xBB, 0xBB)) == [0.14, 0.86, 0.14, 0.86]
    assert ink(drawing.draw(real, Spec((2,)), real), (0x22, 0x55, 0xAA)) == [0.14, 0.86, 0.14, 0.86]
    same = drawing.draw(real, Spec((2,)))
    assert ink(same, (0x22, 0x55, 0xAA)) == [0.14, 0.86, 0.14, 0.86], "the real picture's axes"


def test_points_that_are_not_numbers_are_counted_and_not_drawn():
    real = torch.rand(500, 2)
    broken = torch.full((500, 2), torch.nan)
    assert drawing.draw(broken, Spec((2,)), real).size == (512, 512)
    assert drawing.draw(broken[:, :1], Spec((1,)), real[:, :1]).size == (512, 512)


def test_the_training_draws_points_over_the_data(tmp_path, cli):
    done = cli("train", *RING, "--images", 64, "--out", tmp_path)
    assert done.code == 0, done.err
    (folder,) = tmp_path.iterdir()
    for path in sorted((folder / "samples").iterdir()):
        assert ink(Image.open(path), (0xBB, 0xBB, 0xBB)), "the ring lies below"


def test_transparency_is_seen_on_a_checkerboard():
    seen = torch.zeros(4, 4, 8, 8)
    seen[:, 3] = -1  # not at all
    seen[1, 3], seen[1, 0] = 1, 1
    picture = drawing.draw(seen, Spec((4, 8, 8)))
    assert picture.mode == "RGB"
    first = np.asarray(picture.crop((2, 2, 250, 250))).reshape(-1, 3)
    assert {tuple(p) for p in first.tolist()} == {(255,) * 3, (204,) * 3}
    assert picture.getpixel((400, 100)) == (255, 128, 128)


# Numbers.


@pytest.fixture(scope="module")
def ring(tmp_path_factory, cli):
    root = tmp_path_factory.mktemp("ring")
    assert cli("train", *RING, "--images", 64, "--out", root).code == 0
    return next(root.iterdir())


def test_points_are_given_as_numbers(ring, tmp_path, ran):
    ran("generate", ring, "--count", 10, "--seed", 3, "--out", tmp_path / "new" / "points.npy")
    ran("generate", ring, "--count", 10, "--seed", 3, "--out", tmp_path / "points.CSV")
    array = np.load(tmp_path / "new" / "points.npy", allow_pickle=False)
    assert array.shape == (10, 2) and array.dtype == np.float32
    assert (tmp_path / "points.CSV").read_text().splitlines()[0] == "x1,x2"
    rows = np.loadtxt(tmp_path / "points.CSV", delimiter=",", skiprows=1, dtype=np.float32)
    assert (rows == array).all()


def test_images_are_given_as_an_array_and_not_as_a_table(trained, tmp_path, cli, ran):
    ran("generate", trained, "--count", 3, "--out", tmp_path / "images.npy")
    assert np.load(tmp_path / "images.npy").ndim == 4
    done = cli("generate", trained, "--count", 3, "--out", tmp_path / "images.csv")
    assert done.code == 2 and "write .npy for numbers of images" in done.err
    done = cli("generate", trained, "--out", tmp_path / "images.jpg")
    assert done.code == 2 and ".npy or .csv" in done.err
