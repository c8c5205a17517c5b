"""A batch of videos as a film strip, and as pictures that move."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from ..contracts import Spec
from .images import grid, layout

ROWS, COLUMNS = 8, 16  # videos and frames of a strip, at most


def strip(videos: Tensor) -> Image.Image:
    """Videos [n, c, t, h, w] in [-1, 1], one below the other, frames from left to right; of more
    frames as many spread over the video.
    """
    frames = min(videos.shape[2], COLUMNS)
    chosen = torch.linspace(0, videos.shape[2] - 1, frames).round().long()
    shown = videos[:ROWS, :, chosen]
    return grid(shown.transpose(1, 2).flatten(0, 1), frames)


def strip_size(count: int, spec: Spec) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Width and height of the strip of `count` videos, and the box of its first row."""
    _, frames, height, width = spec.shape
    columns = min(frames, COLUMNS)
    places = layout(columns * min(count, ROWS), height, width, columns)
    return places.size, places.first_row


def animated(videos: Tensor) -> list[Image.Image]:
    """Videos [n, c, t, h, w] in [-1, 1] side by side, a picture for each frame."""
    return [grid(frame) for frame in videos.unbind(2)]
