"""The pictures that benchmarks train on: CIFAR-10's where
they are at hand, else random ones made on the spot.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

NAME = "cifar10-train.zip"
RANDOM = 4096  # pictures, where no real ones are at hand


def find() -> Path | None:
    """The zip of CIFAR-10 in GANZOO_DATA or ../shared/data, if it is there."""
    folders = [Path(os.environ["GANZOO_DATA"])] if os.environ.get("GANZOO_DATA") else []
    folders.append(Path(__file__).resolve().parents[2] / "shared" / "data")
    return next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)


def find_or_make(folder: Path) -> tuple[Path, str]:
    """A zip of pictures, and what it holds."""
    found = find()
    if found is not None:
        return found, "CIFAR-10"
    path = folder / "random.zip"
    stream = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(RANDOM):
            file = io.BytesIO()
            Image.fromarray(stream.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "png")
            archive.writestr(f"{number:05d}.png", file.getvalue())
    return path, f"{RANDOM:,} random pictures"
