"""What nets are given: the conditions against independent values, pairs of pictures as they lie in
folders, and generators that read them from the first update to a file.
"""

import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import gaussian_blur, rgb_to_grayscale

import ganzoo
from ganzoo.contracts import Spec
from ganzoo.data import load_pictures
from ganzoo.data.pairs import layout_of
from ganzoo.errors import BadData

COLOUR = Spec((3, 24, 32))
STREAM = torch.Generator().manual_seed(2)


def smooth(count=4, spec=COLOUR):
    """Pictures with slow waves of colour in [-1, 1]."""
    channels, height, width = spec.shape
    rows = torch.linspace(0, 3, height).view(1, 1, -1, 1)
    columns = torch.linspace(0, 5, width).view(1, 1, 1, -1)
    phases = torch.rand(count, channels, 1, 1, generator=STREAM) * 6
    return (rows + columns + phases).sin()


def made(name, samples, **options):
    spec = Spec(tuple(samples.shape[1:]))
    condition = ganzoo.create("condition", name, spec, **options)
    torch.manual_seed(3)
    return condition(samples)


def test_grey_is_the_brightness_of_torchvision():
    samples = smooth()
    wanted = rgb_to_grayscale((samples + 1) / 2) * 2 - 1
    assert torch.allclose(made("grey", samples)["image"], wanted, atol=1e-3)  # 0.2989 there


def test_noise_has_its_deviation():
    samples = smooth(64)
    apart = made("noise", samples, deviation=0.3)["image"] - samples
    assert apart.std().item() == pytest.approx(0.3, rel=0.02) and abs(apart.mean()) < 0.01


@pytest.mark.parametrize("factor", [2, 4, 3])
def test_smaller_keeps_what_is_flat_and_the_mean(factor):
    flat = torch.full((2, 3, 24, 32), 0.3)
    small = made("smaller", flat, factor=factor)["image"]
    assert small.shape == (2, 3, 24 // factor, 32 // factor)
    assert torch.allclose(small, torch.full_like(small, 0.3), atol=1e-6)
    samples = smooth()
    if 32 % factor == 0:
        blocks = samples.unfold(2, factor, factor).unfold(3, factor, factor).mean((4, 5))
        assert torch.allclose(made("smaller", samples, factor=factor)["image"], blocks, atol=1e-6)


def test_blur_is_that_of_torchvision():
    samples = smooth()
    wanted = gaussian_blur(samples, [13, 13], [2.0, 2.0])
    assert torch.allclose(made("blur", samples, deviation=2.0)["image"], wanted, atol=1e-5)


def test_edges_are_where_brightness_jumps():
    step = torch.full((1, 1, 8, 10), -1.0)
    step[..., 5:] = 1.0
    edges = made("edges", step)["image"][0, 0]
    assert torch.equal(edges[:, 4:6], torch.full((8, 2), 1.0))  # a jump by the whole range
    assert torch.equal(edges[:, :4], torch.full((8, 4), -1.0)) and (edges[:, 6:] == -1).all()
    slope = torch.linspace(-1, 1, 9).view(1, 1, 1, -1).expand(1, 1, 8, -1)
    inner = made("edges", slope)["image"][0, 0, :, 1:-1]
    assert torch.allclose(inner, torch.full_like(inner, 0.5 - 1))  # twice a rise of a quarter


@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("quality", [10, 50])
def test_jpeg_is_that_of_pillow(quality, coloured):
    """Up to rounding on the way to bytes, which may push a coefficient over the edge of a step."""
    digits = ganzoo.create("dataset", "digits").batch(torch.arange(6))[0]
    samples = torch.cat([digits, digits.flip(2), digits.flip(3)] if coloured else [digits] * 3, 1)
    found = made("jpeg", samples, quality=quality)["image"]
    bytes_of = ((samples + 1) * 127.5).round().to(torch.uint8)
    apart = []
    for picture, ours in zip(bytes_of, found, strict=True):
        buffer = io.BytesIO()
        whole = Image.fromarray(picture.permute(1, 2, 0).numpy())
        whole.save(buffer, "JPEG", quality=quality, subsampling=0)
        theirs = torch.from_numpy(np.asarray(Image.open(buffer)).copy()).permute(2, 0, 1)
        apart.append((theirs - (ours + 1) * 127.5).abs().mean())
    lost = (found - samples).abs().mean() * 127.5
    assert max(apart) < (2.5 if coloured else 0.8)  # of 255
    assert lost > (5 if coloured else 3)


@pytest.mark.parametrize("form", ["box", "strokes", "centre", "half"])
def test_masks_hide_what_they_say(form):
    samples = smooth(64)
    found = made("mask", samples, form=form)
    hidden = found["mask"]
    assert hidden.shape == (64, 1, 24, 32) and set(hidden.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(found["image"], samples * (1 - hidden))
    share = hidden.mean((1, 2, 3))
    if form == "centre":
        wanted = torch.zeros(24, 32)
        wanted[6:18, 8:24] = 1
        assert torch.equal(hidden, wanted.expand_as(hidden))
    elif form == "half":
        halves = {tuple(h.flatten().tolist()) for h in hidden}
        assert torch.equal(share, torch.full((64,), 0.5)) and len(halves) == 4
    else:
        assert (share > 0.01).all() and (share < 0.6).all() and share.std() > 0.01
    if form == "box":  # a rectangle: the product of its own rows and columns
        rows, columns = hidden.amax(3, keepdim=True), hidden.amax(2, keepdim=True)
        assert torch.equal(hidden, rows * columns)
        assert 0.25 * 0.25 - 0.05 < share.mean() < 0.5 * 0.5


def test_conditions_go_on_from_each_other(tmp_path, cli):
    photos = folder(tmp_path / "photos", smooth(12, Spec((3, 16, 16))))
    out = tmp_path / "runs"
    done = cli(
        "train", "--data", photos, "--gen", "unet", "--given", "smaller", "--given", "grey",
        "--set", "given.smaller.factor=2", "--set", "gen.width=4", "--set", "disc.width=4",
        "--set", "disc.layers=1", "--images", "24", "--batch-size", "8", "--device", "cpu",
        "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    (run,) = out.iterdir()
    loaded = ganzoo.load(run)
    assert loaded.header.format == 3 and loaded.header.given == {"image": [1, 8, 8]}
    samples = load_pictures(photos, resolution=(16, 16)).batch(torch.arange(5))[0]
    read = loaded.given_of(samples)
    wanted = made("grey", made("smaller", samples, factor=2)["image"])["image"]
    assert torch.equal(read["image"], wanted)
    with Image.open(run / "samples" / "000000024.png") as picture:
        wide, high = picture.size
    assert wide > 2 * high  # tiles of three: given, generated, real
    grid = tmp_path / "grid.png"
    done = cli("generate", run, "--given", photos, "--count", "5", "--out", grid)
    assert done.code == 0, done.err
    assert "5 samples" in done.out and grid.is_file()
    small = folder(tmp_path / "small", read["image"])
    done = cli("generate", run, "--given", small, "--as-is", "--count", "5", "--out", grid)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--given", "mask"], "makes what no net of this pipeline reads"),
        (["--gen", "unet"], "reads a picture, and none is given"),
        (["--given", "maks", "--gen", "unet"], "did you mean 'mask'?"),
        (["--given", "smaller", "--set", "given.smaller.factor=99", "--gen", "unet"], "at most 28"),
        (["--given", "mask", "--gen", "mlp", "--data", "ring"], "handles image data"),
        (["--game", "cyclgan"], "did you mean 'cyclegan'?"),
    ],
)
def test_what_cannot_be_given_is_one_line(words, line, cli):
    done = cli("train", *words, "--images", "64", "--dry-run")
    assert done.code in (1, 2) and line in done.err and done.err.count("Error") == 1


def test_a_generator_that_reads_asks_for_pictures(tmp_path, cli):
    photos = folder(tmp_path / "photos", smooth(8, Spec((1, 16, 16))))
    out = tmp_path / "runs"
    small = ["--set", "gen.width=4", "--set", "disc.width=4", "--set", "disc.layers=1"]
    words = ["--data", photos, "--gen", "unet", "--given", "mask", "--images", "8", *small]
    assert cli("train", *words, "--batch-size", "8", "--out", out).code == 0
    (run,) = out.iterdir()
    refused = {
        (): "this generator reads pictures",
        ("--given", photos, "--as-is"): "reads mask too",
        ("--given", photos, "--interpolate", tmp_path / "a.gif"): "draws from pictures",
    }
    for more, line in refused.items():
        done = cli("generate", run, *more, "--out", tmp_path / "x.png")
        assert done.code == 2 and line in done.err, (more, done.err)


# Pairs.


def folder(path, samples):
    path.mkdir(parents=True)
    for i, sample in enumerate(((samples + 1) * 127.5).round().to(torch.uint8)):
        array = sample.permute(1, 2, 0).numpy()
        Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array).save(
            path / f"{i:03d}.png"
        )
    return path


@pytest.fixture
def halves():
    whole = smooth(9, Spec((3, 16, 32)))
    return whole[..., :16], whole[..., 16:], whole


def opened(path, cli_data):
    from ganzoo import config as configuration
    from ganzoo.assembly.builder import Assembly, open_dataset
    from ganzoo.components.loading import zoo

    tree = configuration.merge(configuration.defaults(), {"data": {"name": str(path), **cli_data}})
    return open_dataset(Assembly(configuration.check(tree), zoo().registry), None)


def test_pairs_by_name_by_zip_and_side_by_side(tmp_path, halves):
    left, right, whole = halves
    folder(tmp_path / "pairs" / "A", left)
    folder(tmp_path / "pairs" / "B", right)
    folder(tmp_path / "side", whole)
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path, "pairs")
    found = [
        opened(tmp_path / "pairs", {}),
        opened(tmp_path / "zipped.zip", {}),
        opened(tmp_path / "side", {"split": 2}),
        opened(tmp_path / "pairs", {"given": "B"}),
    ]
    first = found[0]
    wanted = ((right + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(first.samples, wanted) and first.labels is None
    assert torch.equal(first.given["image"], ((left + 1) * 127.5).round().to(torch.uint8))
    for other in found[1:3]:
        assert torch.equal(other.samples, first.samples)
        assert torch.equal(other.given["image"], first.given["image"])
    assert torch.equal(found[3].samples, first.given["image"])
    assert len({str(each.fingerprint()) for each in (first, found[3])}) == 2


def test_unpaired_sets_have_orders_of_their_own(tmp_path, halves):
    left, right, _ = halves
    folder(tmp_path / "two" / "trainA", left[:5])
    folder(tmp_path / "two" / "trainB", right)
    found = opened(tmp_path / "two", {})
    assert len(found) == 9 and len(found.others["other"]) == 5 and not found.given
    folder(tmp_path / "named" / "A", left)
    folder(tmp_path / "named" / "B", right)
    assert len(opened(tmp_path / "named", {"pairs": "no"}).others["other"]) == 9
    assert opened(tmp_path / "named", {"pairs": "off"}).classes == ["A", "B"]


def test_pairs_that_do_not_fit_are_told(tmp_path, halves):
    left, right, _ = halves
    folder(tmp_path / "p" / "A", left)
    folder(tmp_path / "p" / "B", right)
    (tmp_path / "p" / "B" / "004.png").rename(tmp_path / "p" / "B" / "other.png")
    assert layout_of(tmp_path / "p", "auto") is None  # two classes that are called so
    with pytest.raises(BadData, match=r"004\.png is in one of A and B only"):
        layout_of(tmp_path / "p", "yes")
    (tmp_path / "p" / "B" / "other.png").rename(tmp_path / "p" / "B" / "004.png")
    (tmp_path / "p" / "A" / "003.png").write_bytes(b"no picture")
    with pytest.raises(BadData, match="its partner has no other"):
        opened(tmp_path / "p", {})
    with pytest.raises(BadData, match="has no folders A and B"):
        layout_of(tmp_path / "p" / "A", "yes")
