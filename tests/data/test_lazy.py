"""Data that are made when they are asked for: data sets of PyTorch's kind, and pictures that are
decoded each time; equal to the same data in memory, and one line where they are wrong.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Batch, Dataset
from ganzoo.data import from_torch, load_pictures, pictures
from ganzoo.errors import BadData, GanzooError
from ganzoo.io import checkpoints
from ganzoo.training.loop import Training

STREAM = torch.Generator().manual_seed(3)
PIXELS = torch.randint(0, 256, (40, 1, 8, 8), generator=STREAM, dtype=torch.uint8)
LABELS = torch.arange(40) % 4
CLASSES = ["a", "b", "c", "d"]


class Items:
    """A data set as PyTorch's loaders take it."""

    def __init__(self, make, count=40):
        self.make, self.count = make, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.make(index)


FORMS = {
    "tensors": lambda i: (PIXELS[i], int(LABELS[i])),
    "pictures": lambda i: (Image.fromarray(PIXELS[i, 0].numpy()), LABELS[i]),
    "arrays": lambda i: (PIXELS[i].numpy().transpose(1, 2, 0), np.int64(LABELS[i])),
    "tables": lambda i: {"sample": PIXELS[i], "label": LABELS[i]},
}


@pytest.mark.parametrize("form", FORMS)
def test_items_of_any_form_are_the_samples(form):
    found = from_torch(Items(FORMS[form]), classes=CLASSES, threads=2)
    assert len(found) == 40 and found.spec.shape == (1, 8, 8) and found.spec.classes == 4
    batch = found.gather(torch.tensor([3, 0, 39]))
    assert torch.equal(batch.samples, PIXELS[[3, 0, 39]])
    assert torch.equal(batch.labels, LABELS[[3, 0, 39]])


def test_floats_points_and_what_is_given():
    points = torch.randn(10, 2, generator=STREAM)
    found = from_torch(Items(lambda i: {"sample": points[i].double(), "image": PIXELS[i]}, 10))
    batch = found.gather(torch.arange(10))
    assert torch.equal(batch.samples, points) and torch.equal(batch.given["image"], PIXELS[:10])
    assert found.spec.modality == "points" and found.spec.given["image"].shape == (1, 8, 8)
    assert found.labels is None and batch.labels is None


def test_samples_of_several_lengths_have_a_collate_of_their_own():
    sounds = [torch.randn(1, 20 + i, generator=STREAM) for i in range(10)]

    def cut(items):
        return Batch(torch.stack([item[:, -16:] for item in items]))

    found = from_torch(Items(sounds.__getitem__, 10), collate=cut)
    assert found.spec.shape == (1, 16)
    assert torch.equal(found.gather(torch.tensor([4])).samples[0], sounds[4][:, -16:])
    with pytest.raises(BadData, match="several shapes"):
        from_torch(Items(sounds.__getitem__, 10)).gather(torch.tensor([0, 1]))


def test_what_is_no_such_data_is_one_line():
    def fails(index):
        if index == 7:
            raise OSError("the disk is gone")
        return PIXELS[index]

    with pytest.raises(BadData, match=r"sample 7 cannot be read: .*the disk is gone"):
        from_torch(Items(fails), threads=2).gather(torch.arange(10))
    with pytest.raises(BadData, match="no length"):
        from_torch(iter([1, 2]))
    with pytest.raises(BadData, match="no samples"):
        from_torch(Items(PIXELS.__getitem__, 0))
    with pytest.raises(BadData, match="no known form"):
        from_torch(Items(lambda i: "text"))


REGISTRY = Registry(
    [
        *zoo().registry.components(),
        *(
            Component("dataset", name, make, "tests", "tests", "0")
            for name, make in {
                "kept": lambda: Dataset(PIXELS, LABELS, CLASSES),
                "read": lambda: from_torch(Items(FORMS["pictures"]), classes=CLASSES),
            }.items()
        ),
    ]
)


def training(name, folder=None, **layers):
    tree = configuration.defaults()
    small = {
        "data": {"name": name, "flip": True},
        "gen": {"width": 8, "labels": True},
        "disc": {"width": 8, "labels": True},
        "train": {"images": 8 * 12, "batch_size": 8, "device": "cpu"},
        "log": {"images": 16},
        "checkpoint": {"images": 40, "minutes": 0},
    }
    for layer in (small, layers):
        tree = configuration.merge(tree, layer)
    return Training(assemble(configuration.check(tree), REGISTRY), folder)


def weights(run):
    return torch.cat([p.flatten() for p in run.pipeline.parts.generator.parameters()])


def test_a_training_is_that_on_data_in_memory_and_resumes_exactly(tmp_path):
    ends = []
    for name in ("kept", "read"):
        (tmp_path / name).mkdir()
        run = training(name, tmp_path / name)
        run.run()
        ends.append(weights(run))
    assert torch.equal(*ends)
    again = training("read", tmp_path / "read")
    saved = sorted((tmp_path / "read" / "checkpoints").iterdir())[0]
    again.load_state_dict(checkpoints.load(saved, again.largest_state)[0])
    assert 0 < again.images < 96
    again.run()
    assert torch.equal(weights(again), ends[0])


@pytest.fixture
def photos(tmp_path):
    for kind in ("cats", "dogs"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(6):
            pixels = torch.randint(0, 256, (20, 24, 3), generator=STREAM, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(tmp_path / "photos" / kind / f"{number}.png")
    return tmp_path / "photos"


def test_pictures_that_are_decoded_each_time_are_those_of_the_cache(photos):
    kept, read = (load_pictures(photos, resolution=(16, 16), lazy=lazy) for lazy in (False, True))
    order = torch.tensor([11, 0, 5, 5])
    for one, other in zip(kept.gather(order)[:2], read.gather(order)[:2], strict=True):
        assert torch.equal(one, other)
    assert read.classes == kept.classes == ["cats", "dogs"] and read.size is None
    before = read.fingerprint()["samples"]
    assert load_pictures(photos, resolution=(16, 16), lazy=True).fingerprint()["samples"] == before
    (photos / "dogs" / "5.png").write_bytes((photos / "cats" / "0.png").read_bytes())
    assert load_pictures(photos, resolution=(16, 16), lazy=True).fingerprint()["samples"] != before


def test_pictures_for_which_nothing_has_room_stay_in_their_files(photos, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "Writer", full)
    kept = load_pictures(photos, resolution=(16, 16))
    assert kept.size is not None and "kept in memory" in kept.notes[-1]
    monkeypatch.setattr(pictures, "planned_memory", lambda device: 1000)
    assert load_pictures(photos, resolution=(16, 16)).size is None


def test_a_picture_that_breaks_later_is_named(photos):
    read = load_pictures(photos, resolution=(16, 16), lazy=True)
    whole = (photos / "dogs" / "3.png").read_bytes()
    (photos / "dogs" / "3.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData, match=r"dogs/3\.png"):
        read.gather(torch.arange(12))


@pytest.mark.parametrize("shape", ["folders", "side by side"])
def test_pairs_may_be_decoded_each_time(tmp_path, shape):
    left, right = (
        torch.randint(0, 256, (6, 16, 16, 3), generator=STREAM, dtype=torch.uint8) for _ in "AB"
    )
    root = tmp_path / "pairs"
    for number in range(6):
        places = {"A": left[number], "B": right[number]}
        if shape == "side by side":
            places = {".": torch.cat([left[number], right[number]], 1)}
        for folder, pixels in places.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.numpy()).save(root / folder / f"{number}.png")
    built = []
    for lazy in (False, True):
        data = {"name": str(root), "lazy": lazy, "split": 2 if shape == "side by side" else 1}
        unet = {"name": "unet", "width": 4, "latent_dim": 2, "depth": 2, "labels": None}
        tree = configuration.defaults()
        for layer in (
            {"data": data, "train": {"batch_size": 4, "device": "cpu"}},
            {"gen": {k: v for k, v in unet.items() if v is not None}},
            {"disc": {"name": "patch", "width": 4, "layers": 1}},
        ):
            tree = configuration.merge(tree, layer)
        built.append(assemble(configuration.check(tree), REGISTRY).dataset)
    one, other = (each.gather(torch.tensor([2, 0])) for each in built)
    assert torch.equal(one.samples, other.samples)
    assert torch.equal(one.given["image"], other.given["image"])


def test_another_resolution_is_refused():
    with pytest.raises(GanzooError, match="as it does"):
        training("read", data={"resolution": "16"})
