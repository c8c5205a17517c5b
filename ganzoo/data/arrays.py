"""Arrays: a .npy file of points, signals, images, maps or videos."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ..contracts import Dataset
from ..errors import BadData, one_line, shown
from ..io.untrusted_files import open_regular
from .annotations import MAX_CLASSES

FORMS = {2: "points", 3: "signals", 4: "images", 5: "videos"}  # by dimensions, samples included
LARGEST = 1 << 26  # numbers in one sample
NUMBERS = "fiub"  # kinds of numpy's types that are read
MAPPED = (np.float16, np.float32)  # of maps, which stay on the disk
BLOCK = 1 << 22  # numbers that are looked at together
LOOKED = 1024  # maps, for how far their numbers vary
USUAL = (0.2, 5.0)  # deviations of numbers that nets of weights of about one reach soon
Rate = Annotated[int, Field(ge=1, le=1 << 20)]


def load_array(path: Path | str, *, rate: Rate = 16_000) -> Dataset:
    """The samples of a .npy file, told apart by their dimensions: points [n, d], signals
    [n, c, length], images or maps [n, c, h, w] and videos [n, c, t, h, w].

    Images and videos are uint8 in 0..255 and stay on the disk, mapped; maps, as the latents of an
    encoder, are float16 or float32 and stay there too; others are any numbers. All are finite, and
    taken as they are. A file NAME.labels.npy beside NAME.npy, of whole numbers [n], has the
    classes. Raises BadData for other arrays, and for files that are damaged.

    rate: samples a second of signals, which those that are written as sound will have
    """
    path = Path(path)
    mapped = _mapped(path)
    _check(path, mapped.shape, mapped.dtype)
    samples, kind = _samples(path, mapped), FORMS[mapped.ndim]
    kind = "maps" if kind == "images" and samples.is_floating_point() else kind
    heard = f", {rate:,} samples a second" if kind == "signals" else ""
    notes = [f"{len(samples):,} {kind} of {'x'.join(map(str, samples.shape[1:]))}{heard}"]
    if kind == "maps":
        notes += _scale(samples)
    labels, classes = _labels(path, len(samples))
    if labels is not None:
        notes.append(f"labels: {len(classes)} classes, of {_labels_of(path).name}")
    return Dataset(samples, labels, classes, notes, unbounded=kind == "maps")


def _mapped(path: Path, *, links: bool = True) -> np.memmap[Any, Any]:
    """The array of a file, on the disk; raises BadData for what is none.

    links: whether the path may be a link
    """
    try:
        handle = open_regular(path, links=links)
        with os.fdopen(handle, "rb") as file:
            shape, dtype, start = _header(file)
            length = os.fstat(handle).st_size
    except OSError as error:
        raise BadData(f"{path}: {error.strerror or one_line(error)}") from None
    except Exception as error:  # a foreign header is Python, which numpy's parser chokes on
        raise BadData(f"{path}: no array ({one_line(error)})") from None
    if dtype.kind not in NUMBERS or dtype.hasobject:
        raise BadData(f"{path}: holds {shown(str(dtype))}, no numbers")
    if any(side < 1 for side in shape):
        raise BadData(f"{path}: an array of {list(shape)} holds nothing")
    if length != start + math.prod(shape) * dtype.itemsize:
        raise BadData(f"{path}: damaged or cut short")
    return np.memmap(path, dtype, "c", start, shape)  # "c": torch wants what could be written to


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """(shape, type, where the numbers begin); raises ValueError for what is not read."""
    form = np.lib.format
    version = form.read_magic(file)
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version[0]}.{version[1]}")
    shape, fortran, dtype = readers[version](file)
    if fortran:
        raise ValueError("in Fortran's order; save numpy.ascontiguousarray of it")
    return shape, dtype, file.tell()


def _check(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raises BadData for an array that holds no samples."""
    if len(shape) not in FORMS:
        forms = "points [n, d], signals [n, c, l], images [n, c, h, w] or videos [n, c, t, h, w]"
        raise BadData(f"{path}: an array of {list(shape)}; give {forms}")
    if math.prod(shape[1:]) > LARGEST:
        raise BadData(f"{path}: samples of {list(shape[1:])} are larger than any that are drawn")
    maps = len(shape) == 4 and dtype.kind == "f"
    if len(shape) > 3 and dtype != np.uint8 and not maps:
        of_floats = ", maps are floats" if len(shape) == 4 else ""
        found = f"{FORMS[len(shape)]} are uint8 in 0..255{of_floats}, and these are {dtype}"
        raise BadData(f"{path}: {found}")


def _samples(path: Path, mapped: np.memmap[Any, Any]) -> Tensor:
    """The samples, images and maps mapped; raises BadData for numbers that are not finite."""
    if mapped.dtype == np.uint8 and mapped.ndim > 3:
        return torch.from_numpy(mapped)
    stays = mapped.ndim > 3 and mapped.dtype in MAPPED and mapped.dtype.isnative
    numbers = torch.from_numpy(mapped if stays else np.array(mapped, dtype=np.float32))
    step = max(BLOCK // numbers[0].numel(), 1)
    if not all(bool(block.isfinite().all()) for block in numbers.split(step)):
        raise BadData(f"{path}: holds numbers that are not finite")
    return numbers


def _scale(maps: Tensor) -> list[str]:
    """What is to be said of how far the numbers of maps vary."""
    looked = maps[:LOOKED].float()
    deviation, least, most = float(looked.std(correction=0)), float(looked.min()), looked.max()
    if least >= -1 and most <= 1:
        within = f"[{min(math.floor(least), 0)}, 1]"
        return [f"their numbers are within {within}; images are uint8 in 0..255, maps any numbers"]
    if USUAL[0] <= deviation <= USUAL[1]:
        return []
    return [f"their numbers deviate by {deviation:.3g}; divided by that, they are learnt sooner"]


def _labels_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}.labels.npy")


def _labels(path: Path, count: int) -> tuple[Tensor | None, list[str]]:
    """The labels that lie beside an array, and the names of their classes; none where there is no
    such file. Raises BadData for others.
    """
    beside = _labels_of(path)
    if not os.path.lexists(beside):
        return None, []
    numbers = _mapped(beside, links=False)  # nobody named it
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
        found = f"{numbers.dtype} {list(numbers.shape)}"
        raise BadData(f"{beside}: labels are whole numbers [{count}], and these are {found}")
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most >= MAX_CLASSES:
        raise BadData(f"{beside}: labels of {least} to {most}; give 0 to {MAX_CLASSES - 1:,}")
    labels = torch.from_numpy(numbers.astype(np.int64))
    return labels, [str(number) for number in range(most + 1)]
