"""The built-in data sets: what is in them, and what is said when they are missing."""

import gzip
import hashlib
import struct
from pathlib import Path

import made
import numpy as np
import pytest
import torch
import torchvision.datasets
from ganzoo_plugins.datasets import cifar, points
from ganzoo_plugins.datasets.cifar import cifar10
from ganzoo_plugins.datasets.mnist import digits, fashion_mnist, mnist, stacked_mnist
from ganzoo_plugins.datasets.points import grid, ring

from ganzoo.errors import BadData

TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
DIGITS_SUMS = ["6d87418db22cc802", "2fd8de6bdb8d1178"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with mnist/ in it: for the training set the
    embedded digits backwards, for the test set some of them.
    """
    folder, known = tmp_path_factory.mktemp("data"), digits()
    pictures, labels = known.samples[:, 0].numpy(), known.labels.numpy().astype(np.uint8)
    made.mnist(folder / "mnist", pictures[::-1].copy(), labels[::-1].copy())
    made.mnist(folder / "mnist", pictures[:700], labels[:700], "t10k")
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torchvision as it behaves without a network; names the sets it was asked for."""
    asked: list[str] = []

    def refuse(name: str, real: type) -> object:
        class Refused(real):
            def download(self) -> None:
                asked.append(name)
                print("a report of torchvision")
                raise OSError("[Errno -3] Temporary failure\nin name resolution")

        return Refused

    for name in ("MNIST", "FashionMNIST", "CIFAR10"):
        monkeypatch.setattr(
            torchvision.datasets, name, refuse(name, getattr(torchvision.datasets, name))
        )
    return asked


def test_digits_are_mnist_s_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))  # nothing there is needed
    found = digits()
    assert found.spec.shape == (1, 28, 28) and found.spec.classes == 10
    assert found.samples.dtype == torch.uint8 and found.labels.bincount().tolist() == TEST_COUNTS
    assert "".join(found.classes) == "0123456789"
    sums = [
        hashlib.sha256(t.numpy().tobytes()).hexdigest()[:16] for t in (found.samples, found.labels)
    ]
    assert sums == DIGITS_SUMS
    assert digits(resolution=(32, 24)).spec.shape == (1, 32, 24)
    assert digits(resolution=(28, 28)).samples.equal(found.samples)


@pytest.mark.parametrize(
    ("make", "centres", "std", "spread"),
    [
        (ring, points.RING_CENTRES, points.RING_STD, 1.0),
        (grid, points.GRID_CENTRES, points.GRID_STD, 4.0),
    ],
)
def test_mixtures(
    make: object, centres: tuple[tuple[float, float], ...], std: float, spread: float
) -> None:
    found = make()
    assert found.samples.shape == (100_000, 2) and found.samples.dtype == torch.float32
    assert torch.equal(found.samples, make().samples)
    where = torch.tensor(centres)
    assert (
        len(where.unique(dim=0)) == len(centres) == found.spec.classes
        and where.abs().max() == spread
    )
    residual = found.samples - where[found.labels]
    assert torch.allclose(residual.std(0), torch.tensor(std), rtol=0.02)
    assert residual.mean(0).abs().max() < std / 50
    assert found.labels.bincount().min() > 0.9 * 100_000 / len(centres)
    nearest = torch.cdist(found.samples, where).min(1)
    assert torch.equal(nearest.indices, found.labels)
    assert abs((nearest.values < 3 * std).float().mean() - 0.98889) < 0.002  # 1 - exp(-4.5)


def test_centres_are_the_published_ones() -> None:
    radius = torch.tensor(points.RING_CENTRES).norm(dim=1)
    assert torch.allclose(radius, torch.ones(8)) and (points.RING_STD, points.GRID_STD) == (
        0.01,
        0.05,
    )
    assert set(points.GRID_CENTRES) == {
        (x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)
    }


def test_mnist(root: Path) -> None:
    found, known = mnist(root=root), digits()
    assert found.spec.shape == (1, 28, 28) and found.spec.classes == 10
    assert found.samples.equal(known.samples.flip(0)) and found.labels.equal(known.labels.flip(0))
    assert found.labels.dtype == torch.int64
    test = mnist(root=root / "mnist", split="test", resolution=(32, 32))
    assert test.samples.shape == (700, 1, 32, 32) and test.labels.equal(known.labels[:700])


def test_mnist_root_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(root))
    assert len(mnist(split="test")) == 700


def test_stacked_mnist(root: Path) -> None:
    found = stacked_mnist(root=root, labelled=True)
    assert found.samples.shape == (128_000, 3, 28, 28) and found.spec.classes == 1000
    assert found.labels.bincount(minlength=1000).min() > 0
    plain = stacked_mnist(root=root)
    assert (
        plain.labels is None
        and plain.spec.classes == 0
        and torch.equal(plain.samples[:500], found.samples[:500])
    )
    one = mnist(root=root)
    for k in (0, 77, 127_999):
        for channel, digit in enumerate(f"{int(found.labels[k]):03d}"):
            same = (one.samples[:, 0] == found.samples[k, channel]).flatten(1).all(1)
            assert one.labels[same].tolist() == [int(digit)]


def write_idx(folder: Path, count: int = 20) -> Path:
    pictures = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    made.mnist(folder, pictures, np.arange(count, dtype=np.uint8) % 10)
    return folder


@pytest.mark.parametrize(
    ("make", "layouts", "others"),
    [
        (mnist, ["MNIST/raw", "mnist", "."], ["fashion-mnist", "FashionMNIST/raw"]),
        (fashion_mnist, ["FashionMNIST/raw", "fashion-mnist"], ["mnist", "MNIST/raw", "."]),
    ],
)
def test_layouts_of_idx_files(
    make: object, layouts: list[str], others: list[str], tmp_path: Path, offline: list[str]
) -> None:
    for layout in layouts:
        top = tmp_path / f"x{layouts.index(layout)}"
        write_idx(top / layout if layout != "." else top)
        before = sorted(top.rglob("*"))
        assert len(make(root=top)) == 20 and sorted(top.rglob("*")) == before
    for layout in others:
        top = tmp_path / f"y{others.index(layout)}"
        write_idx(top / layout if layout != "." else top)
        with pytest.raises(BadData):
            make(root=top)
    assert len(offline) == len(others)


@pytest.mark.parametrize(
    ("make", "name"), [(mnist, "MNIST"), (fashion_mnist, "FashionMNIST"), (cifar10, "CIFAR10")]
)
def test_a_missing_set_is_one_line_that_says_where(
    make: object, name: str, tmp_path: Path, offline: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadData) as caught:
        make(root=tmp_path / "nowhere")
    text = str(caught.value)
    assert offline == [name] and "\n" not in text and capsys.readouterr().out == ""
    assert "data.root" in text and "GANZOO_DATA" in text and "Temporary failure" in text
    assert str(tmp_path / "nowhere") in text


@pytest.mark.parametrize("how", ["cut", "foreign", "no gzip", "labels", "empty", "vast"])
def test_damaged_idx_files_are_named(how: str, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "mnist")
    pictures, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte.gz"
    if how == "cut":
        pictures.write_bytes(pictures.read_bytes()[:-5])
    elif how == "foreign":
        pictures.write_bytes(b"\x89PNG" + bytes(100))
    elif how in ("empty", "vast"):
        count = 0 if how == "empty" else 2**31
        pictures.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", count, 28, 28))
    elif how == "no gzip":
        labels.write_bytes(b"plain")
    else:
        labels.write_bytes(gzip.compress(made.idx(np.zeros(7, np.uint8))))
    with pytest.raises(BadData, match=r"idx[13]-ubyte"):
        mnist(root=tmp_path)


def test_cifar10_as_torchvision_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        base_folder = "cifar-10-batches-py"
        classes = ("plane", "car")

        def __init__(self, root: Path, train: bool = True, download: bool = False) -> None:
            assert root == tmp_path and not download
            self.data = (
                np.arange(6 * 32 * 32 * 3, dtype=np.uint32).astype(np.uint8).reshape(6, 32, 32, 3)
            )
            self.data, self.targets = self.data[: 6 if train else 2], [0, 1] * (3 if train else 1)

    monkeypatch.setattr(cifar.torchvision.datasets, "CIFAR10", Found)
    found = cifar10(root=tmp_path)
    assert (
        found.samples.shape == (6, 3, 32, 32)
        and found.labels.tolist() == [0, 1] * 3
        and found.samples.is_contiguous()
    )
    assert found.samples[0, :, 0, 1].tolist() == [3, 4, 5]
    assert cifar10(root=tmp_path, split="test", resolution=(16, 16)).samples.shape == (2, 3, 16, 16)
