"""CIFAR-10 by way of torchvision, which checks its files before it reads them."""

from pathlib import Path
from typing import Literal

import torch
import torchvision.datasets

from ganzoo.contracts import Dataset
from ganzoo.data import resize

from .files import data_root, download


def cifar10(
    *,
    root: Path | None = None,
    resolution: tuple[int, int] | None = None,
    split: Literal["train", "test"] = "train",
) -> Dataset:
    """Small photographs of ten classes, 50,000 in colour, 32x32 (Krizhevsky 2009).

    Samples are [n, 3, h, w] uint8 with labels 0..9. torchvision refuses files whose checksum is not
    the published one. Raises BadData when the files are neither there nor to be had.

    root: folder with cifar-10-batches-py/ in it
    resolution: height and width; none keeps 32x32
    split: train (50,000) or test (10,000)
    """
    folder, train = data_root(root), split == "train"
    try:
        found = torchvision.datasets.CIFAR10(folder, train=train)
    except RuntimeError:  # missing, or not the published files
        looked = str(folder / torchvision.datasets.CIFAR10.base_folder)
        download(
            "CIFAR-10", lambda: torchvision.datasets.CIFAR10(folder, download=True), folder, looked
        )
        found = torchvision.datasets.CIFAR10(folder, train=train)
    samples = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    notes = [f"CIFAR-10, {split}: {len(samples):,} pictures of 32x32"]
    if resolution is not None:
        samples = resize(samples, resolution)
        notes.append(f"resized to {resolution[0]}x{resolution[1]} (bicubic)")
    return Dataset(samples, torch.tensor(found.targets), found.classes, notes)
