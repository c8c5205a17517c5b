"""Tokens as text: lines, and a page of them as a picture."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..contracts import Spec
from .images import SIDE

ROWS, ROW = 16, 20  # lines below each other in a picture, at most, and pixels of one
LETTER = 12  # pixels that one takes at most, for columns


def texts(samples: Tensor, spec: Spec) -> list[str]:
    """The texts that tokens [n, t, symbols] stand for: of each place the symbol with the largest
    number, as the alphabet writes it.
    """
    chosen = samples.argmax(2).tolist()
    return ["".join(spec.alphabet[number] for number in row) for row in chosen]


def lines_of(samples: Tensor, spec: Spec) -> bytes:
    """A text file with a line for each sample [n, t, symbols]."""
    return "".join(f"{text}\n" for text in texts(samples, spec)).encode()


def page_size(count: int, spec: Spec) -> tuple[int, int]:
    """Width and height of a page of `count` lines."""
    columns = _columns(spec)
    return 2 * SIDE, ROW * (min(math.ceil(count / columns), ROWS) + 1)


def page(samples: Tensor, spec: Spec) -> Image.Image:
    """Lines of tokens [n, t, symbols], in columns where they are short, as many as have room."""
    sheet = Image.new("RGB", page_size(len(samples), spec), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default()
    columns = _columns(spec)
    for number, text in enumerate(texts(samples[: columns * ROWS], spec)):
        if isinstance(font, ImageFont.ImageFont):  # without FreeType it has Latin letters alone
            text = text.encode("latin-1", "replace").decode("latin-1")
        place = number % columns * 2 * SIDE // columns + 8, number // columns * ROW + ROW // 2
        draw.text(place, text, fill="#222222", font=font)
    return sheet


def _columns(spec: Spec) -> int:
    """How many lines of the longest length stand side by side."""
    return max(1, min(4, 2 * SIDE // (LETTER * spec.shape[0])))
