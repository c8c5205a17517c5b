"""What published data sets are when ganzoo reads them. Collected only where they are at hand."""

from pathlib import Path

import pytest
import torch
from environments import REAL
from ganzoo_plugins.datasets.mnist import digits, mnist

from ganzoo.data import inspect, load_pictures

pytestmark = pytest.mark.slow
COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # of MNIST's training digits


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))


def test_mnist() -> None:
    found = mnist(root=REAL)
    assert found.labels.bincount().tolist() == COUNTS and found.labels.dtype == torch.int64
    scaled = found.samples.float() / 255
    assert abs(scaled.mean() - 0.1307) < 1e-4 and abs(scaled.std() - 0.3081) < 1e-4
    published = mnist(root=REAL, split="test")
    assert published.samples.equal(digits().samples) and published.labels.equal(digits().labels)


def test_cifar(cache: Path) -> None:
    found = load_pictures(REAL / "cifar10-train.zip")
    assert found.spec.shape == (3, 32, 32) and found.labels.bincount().tolist() == [5000] * 10


def test_emoji(cache: Path) -> None:
    path = REAL / "noto-emoji.zip"
    found = load_pictures(path)
    assert found.spec.shape == (4, 128, 128) and len(found) == 3473 and found.spec.classes == 2
    flat = load_pictures(path, channels=3, resolution=(32, 32))
    assert flat.spec.shape == (3, 32, 32) and (flat.samples[:, :, 0, 0] == 255).float().mean() > 0.9
    assert inspect(path)["duplicates"] == 10


def test_tiles(cache: Path) -> None:
    found = load_pictures(REAL / "dcss-tiles.zip")
    assert found.spec.shape == (4, 32, 32) and len(found) == 3932 and found.spec.classes == 7
    assert 0 < (found.samples[:, 3].flatten(1).min(1).values == 255).sum() < 3932
