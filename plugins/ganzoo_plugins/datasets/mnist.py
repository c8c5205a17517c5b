"""MNIST, Fashion-MNIST and Stacked MNIST, from IDX files
as they were published, packed or not, or from torchvision.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganzoo.contracts import Dataset, PositiveInt
from ganzoo.data import resize
from ganzoo.errors import BadData, one_line

from .files import data_root, download

Split = Literal["train", "test"]
DIGITS = tuple(str(d) for d in range(10))
FASHION = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
TRIPLES = 128_000  # of Stacked MNIST, as VEEGAN and PacGAN train on
TRIPLES_SEED = 111
LARGEST = 1 << 28  # values in one IDX file; MNIST's have 47 million
EMBEDDED = Path(__file__).parent / "mnist-test"  # MNIST's test files and their licence


def digits(*, resolution: tuple[int, int] | None = None) -> Dataset:
    """Handwritten digits, 10,000 in grey, 28x28: MNIST's test
    set, embedded, no download (LeCun, Cortes, Burges 1998).

    Samples are [10000, 1, h, w] uint8 with labels 0..9.
    CC BY-SA 3.0: see the licence beside the files.

    resolution: height and width; none keeps 28x28
    """
    found = _find([EMBEDDED], "t10k")
    if found is None:
        raise BadData(f"the files of digits are not in {EMBEDDED}; install ganzoo again")
    samples, labels = _read_pair(found, "digits")
    return _dataset(samples, labels, DIGITS, resolution, "MNIST, test")


def mnist(
    *, root: Path | None = None, resolution: tuple[int, int] | None = None, split: Split = "train"
) -> Dataset:
    """Handwritten digits, 60,000 in grey, 28x28 (LeCun, Cortes, Burges 1998).

    Samples are [n, 1, h, w] uint8 with labels 0..9. Raises
    BadData when the files are neither there nor to be had.

    root: folder with the IDX files, packed or not, itself or in mnist/ or MNIST/raw/
    resolution: height and width; none keeps 28x28
    split: train (60,000) or test (10,000)
    """
    samples, labels = _read("MNIST", data_root(root), split)
    return _dataset(samples, labels, DIGITS, resolution, f"MNIST, {split}")


def fashion_mnist(
    *, root: Path | None = None, resolution: tuple[int, int] | None = None, split: Split = "train"
) -> Dataset:
    """Pictures of clothes, 60,000 in grey, 28x28 (Xiao et al. 2017).

    Samples are [n, 1, h, w] uint8 with labels 0..9. Raises
    BadData when the files are neither there nor to be had.

    root: folder with fashion-mnist/ or FashionMNIST/raw/ in it, IDX files packed or not
    resolution: height and width; none keeps 28x28
    split: train (60,000) or test (10,000)
    """
    samples, labels = _read("FashionMNIST", data_root(root), split)
    return _dataset(samples, labels, FASHION, resolution, f"Fashion-MNIST, {split}")


def stacked_mnist(
    *, root: Path | None = None, resolution: tuple[int, int] | None = None, labelled: bool = False
) -> Dataset:
    """Three MNIST digits in red, green and blue: 128,000
    fixed triples with 1,000 modes (Metz et al. 2017).

    Samples are [128000, 3, h, w] uint8 of MNIST's training
    digits; a mode is a triple, 100 red + 10 green + blue.

    root: folder with MNIST, as for mnist
    resolution: height and width; none keeps 28x28
    labelled: give the mode of each sample as its label
    """
    digits, labels = _read("MNIST", data_root(root), "train")
    return _stacked(digits, labels, TRIPLES, 3, resolution, labelled)


def stacked_digits(
    *,
    resolution: tuple[int, int] | None = None,
    channels: Literal[3, 4] = 3,
    count: PositiveInt = 50_000,
    labelled: bool = False,
) -> Dataset:
    """The embedded digits stacked in three or four channels: fixed stacks with 1,000 or 10,000
    modes, no download (Metz et al. 2017; Kumar et al. 2019).

    Samples are [count, channels, h, w] uint8; a mode is the digits of all channels as one decimal
    number. Of fewer digits than Stacked MNIST: figures of the two are not to be compared.

    resolution: height and width; none keeps 28x28
    channels: digits in a stack
    count: of stacks
    labelled: give the mode of each sample as its label
    """
    single = digits()
    assert single.labels is not None
    return _stacked(single.samples, single.labels, count, channels, resolution, labelled)


def _stacked(
    digits: Tensor,
    labels: Tensor,
    count: int,
    channels: int,
    resolution: tuple[int, int] | None,
    labelled: bool,
) -> Dataset:
    """Fixed stacks of digits [n, 1, 28, 28] with labels [n]."""
    stream = torch.Generator().manual_seed(TRIPLES_SEED)
    chosen = torch.randint(len(digits), (count, channels), generator=stream)
    places = 10 ** torch.arange(channels - 1, -1, -1)
    modes = (labels[chosen] * places).sum(1) if labelled else None
    total = 10**channels if labelled else 0
    names = [f"{mode:0{channels}d}" for mode in range(total)]
    if resolution is not None:
        digits = resize(digits, resolution)
    what = "triples" if channels == 3 else "stacks"
    return Dataset(digits[:, 0][chosen], modes, names, [f"{count:,} fixed {what} of MNIST digits"])


def _dataset(
    samples: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    resolution: tuple[int, int] | None,
    note: str,
) -> Dataset:
    """Pictures [n, 1, 28, 28] with labels [n] as a data set, resized if a resolution is given."""
    notes = [f"{note}: {len(samples):,} pictures of 28x28"]
    if resolution is not None:
        samples = resize(samples, resolution)
        notes.append(f"resized to {resolution[0]}x{resolution[1]} (bicubic)")
    return Dataset(samples, labels, classes, notes)


def _read(
    name: Literal["MNIST", "FashionMNIST"], root: Path, split: Split
) -> tuple[Tensor, Tensor]:
    """Pictures [n, 1, 28, 28] and labels [n] of a set,
    downloaded by torchvision if they are nowhere.
    """
    fashion = name == "FashionMNIST"
    folders = [
        root / name / "raw",
        *(root / f for f in (("fashion-mnist", "fashion_mnist") if fashion else ("mnist",))),
    ]
    if ("fashion" in root.name.lower()) == fashion:  # both sets have the same file names
        folders.append(root)
    stem = {"train": "train", "test": "t10k"}[split]
    found = _find(folders, stem)
    if found is None:
        from torchvision import datasets  # late: it takes longer to import than these files to read

        looked = ", ".join(str(f) for f in folders)
        download(name, lambda: getattr(datasets, name)(root, download=True), root, looked)
        found = _find(folders, stem)
    if found is None:
        raise BadData(
            f"{name} is not in {folders[0]} after its download; give its folder as data.root or "
            f"set GANZOO_DATA"
        )
    return _read_pair(found, name)


def _read_pair(files: tuple[Path, Path], name: str) -> tuple[Tensor, Tensor]:
    """Pictures [n, 1, 28, 28] and labels [n] of two IDX
    files; raises BadData when they do not belong together.
    """
    images, labels = _idx(files[0], 3), _idx(files[1], 1)
    if (
        len(images) != len(labels)
        or images.shape[1:] != (28, 28)
        or not len(labels)
        or labels.max() > 9
    ):
        raise BadData(
            f"{files[0]}: {len(images)} pictures and {len(labels)} labels do not make {name}"
        )
    return images[:, None], labels.long()


def _find(folders: Sequence[Path], stem: str) -> tuple[Path, Path] | None:
    """The files of pictures and labels in the first folder that has both."""
    for folder in folders:
        names = (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte")
        files = [
            next((f for f in (folder / n, folder / f"{n}.gz") if f.is_file()), None) for n in names
        ]
        if files[0] and files[1]:
            return files[0], files[1]
    return None


def _idx(path: Path, dimensions: int) -> Tensor:
    """The uint8 tensor in an IDX file: two zeros, type 8, the
    number of dimensions, each as 32 bits, then the bytes.
    """
    start = 4 + 4 * dimensions
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(start)
            if len(head) < start or head[:4] != bytes((0, 0, 8, dimensions)):
                raise BadData(f"{path}: no IDX file of {dimensions} dimensions")
            shape = struct.unpack(f">{dimensions}I", head[4:])
            size = math.prod(shape)
            # A reader sets aside all that it is asked for: never more than the file says.
            content = bytearray(file.read(size + 1) if size < LARGEST else b"")
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path}: cannot be read ({one_line(error)})") from None
    if not size or len(content) != size:
        raise BadData(f"{path}: truncated or damaged; get it again")
    return torch.frombuffer(content, dtype=torch.uint8).view(shape)
