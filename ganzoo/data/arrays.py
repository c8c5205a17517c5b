"""Arrays: a .npy file of points, signals, images or videos."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from ..contracts import Dataset
from ..errors import BadData, one_line, shown
from ..io.untrusted_files import open_regular

FORMS = {2: "points", 3: "signals", 4: "images", 5: "videos"}  # by dimensions, samples included
LARGEST = 1 << 26  # numbers in one sample
NUMBERS = "fiub"  # kinds of numpy's types that are read
Rate = Annotated[int, Field(ge=1, le=1 << 20)]


def load_array(path: Path | str, *, rate: Rate = 16_000) -> Dataset:
    """The samples of a .npy file, told apart by their dimensions: points [n, d], signals
    [n, c, length], images [n, c, h, w] and videos [n, c, t, h, w].

    Images and videos are uint8 in 0..255 and stay on the disk, mapped; others are any finite
    numbers, taken as they are. Raises BadData for other arrays, and for files that are damaged.

    rate: samples a second of signals, which those that are written as sound will have
    """
    path = Path(path)
    try:
        handle = open_regular(path)
        with os.fdopen(handle, "rb") as file:
            shape, dtype, start = _header(file)
            length = os.fstat(handle).st_size
    except OSError as error:
        raise BadData(f"{path}: {error.strerror or one_line(error)}") from None
    except Exception as error:  # a foreign header is Python, which numpy's parser chokes on
        raise BadData(f"{path}: no array ({one_line(error)})") from None
    _check(path, shape, dtype)
    if length != start + math.prod(shape) * dtype.itemsize:
        raise BadData(f"{path}: damaged or cut short")
    mapped = np.memmap(path, dtype, "c", start, shape)  # "c": torch wants what could be written to
    kind = FORMS[len(shape)]
    heard = f", {rate:,} samples a second" if kind == "signals" else ""
    notes = [f"{shape[0]:,} {kind} of {'x'.join(map(str, shape[1:]))}{heard}"]
    if len(shape) > 3:
        return Dataset(torch.from_numpy(mapped), notes=notes)
    numbers = torch.from_numpy(np.array(mapped, dtype=np.float32))
    if not numbers.isfinite().all():
        raise BadData(f"{path}: holds numbers that are not finite")
    return Dataset(numbers, notes=notes)


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
    if dtype.kind not in NUMBERS or dtype.hasobject:
        raise BadData(f"{path}: holds {shown(str(dtype))}, no numbers")
    if len(shape) not in FORMS or any(side < 1 for side in shape):
        forms = "points [n, d], signals [n, c, l], images [n, c, h, w] or videos [n, c, t, h, w]"
        raise BadData(f"{path}: an array of {list(shape)}; give {forms}")
    if math.prod(shape[1:]) > LARGEST:
        raise BadData(f"{path}: samples of {list(shape[1:])} are larger than any that are drawn")
    if len(shape) > 3 and dtype != np.uint8:
        raise BadData(f"{path}: {FORMS[len(shape)]} are uint8 in 0..255, and these are {dtype}")
