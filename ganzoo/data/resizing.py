"""One rule for every change of size: scale to cover, antialiased, then cut out the centre."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import BadConfig, DeviceError
from ..io.device_memory import VARIABLE, planned_memory

MAX_SIDE = 8192
CHUNK_NUMBERS = 1 << 24  # of pictures that are scaled at once


def parse_resolution(text: str) -> tuple[int, int]:
    """(height, width) of "64" or "37x53" (HEIGHTxWIDTH); raises BadConfig."""
    found = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*[xX]\s*([0-9]{1,9}))?\s*", text)
    if not found:
        raise BadConfig(
            "give one side, as in 64, or HEIGHTxWIDTH, as in 37x53",
            section="data",
            key="resolution",
            value=text,
        )
    return check_resolution((int(found[1]), int(found[2] or found[1])))


def check_resolution(resolution: tuple[int, int]) -> tuple[int, int]:
    """The same, if pictures can have it; raises BadConfig."""
    height, width = resolution
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise BadConfig(
            f"each side must lie between 1 and {MAX_SIDE}",
            section="data",
            key="resolution",
            value=f"{height}x{width}",
        )
    return height, width


def resize(samples: Tensor, resolution: tuple[int, int], *, chunk: int = 1024) -> Tensor:
    """Pictures [n, c, h, w] uint8 as [n, c, *resolution] uint8:
    bicubic, antialiased, scaled to cover, centre cropped.

    With four channels the last is alpha, and colours count by
    their alpha. Raises DeviceError when they do not fit in memory.
    """
    height, width = check_resolution(resolution)
    old_height, old_width = samples.shape[-2:]
    if (old_height, old_width) == (height, width):
        return samples
    scale = max(height / old_height, width / old_width)
    cover = max(height, round(old_height * scale)), max(width, round(old_width * scale))
    top, left = (cover[0] - height) // 2, (cover[1] - width) // 2
    size, free = math.prod(samples.shape[:2]) * height * width, planned_memory(samples.device)
    if free is not None and size > free:
        raise DeviceError(
            f"{len(samples):,} pictures so large take {size / 2**30:.1f} GiB, "
            f"and {free / 2**30:.1f} GiB are free",
            section="data",
            key="resolution",
            value=f"{height}x{width}",
            remedy=f"give a smaller one, or set {VARIABLE} to the memory to plan with, as in 64G",
        )
    chunk = max(1, min(chunk, CHUNK_NUMBERS // math.prod((samples.shape[1], *cover))))
    result = torch.empty(
        *samples.shape[:2], height, width, dtype=torch.uint8, device=samples.device
    )
    for start in range(0, len(samples), chunk):
        part = samples[start : start + chunk].float()
        if part.shape[1] == 4:
            part[:, :3] *= part[:, 3:] / 255
        part = functional.interpolate(part, cover, mode="bicubic", antialias=True)
        part = part[..., top : top + height, left : left + width]
        if part.shape[1] == 4:
            part[:, :3] *= 255 / part[:, 3:].clamp(min=1)
            part[:, :3] *= part[:, 3:] >= 0.5  # no colour where nothing is seen
        result[start : start + chunk] = part.round_().clamp_(0, 255).to(torch.uint8)
    return result


def covering_box(
    width: int, height: int, resolution: tuple[int, int]
) -> tuple[float, float, float, float]:
    """The centred part (left, top, right, bottom) of
    a picture that has the shape of the resolution.
    """
    scale = max(resolution[0] / height, resolution[1] / width)
    half_width = min(width, resolution[1] / scale) / 2
    half_height = min(height, resolution[0] / scale) / 2
    return (
        width / 2 - half_width,
        height / 2 - half_height,
        width / 2 + half_width,
        height / 2 + half_height,
    )
