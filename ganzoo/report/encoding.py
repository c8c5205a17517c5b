"""Pictures as they stand in a page: small, and within a limit."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

from PIL import Image, features

QUALITIES = (85, 60, 40)
LARGEST = 1024  # pixels of the longer side, more than which no page shows
SMALLEST = 32  # pixels of the longer side, below which nothing is made smaller


def encoded(picture: Image.Image, limit: int) -> str:
    """A picture, of 1024 pixels a side at most, as a data address: without loss where that fits
    into `limit` bytes, else with as little as does, else in half the size, and so on.
    """
    form = "WEBP" if features.check("webp") else "JPEG"
    factor = min(LARGEST / max(picture.size), 1)
    fitting = max(int(picture.width * factor), 1), max(int(picture.height * factor), 1)
    picture = picture.convert("RGB").resize(fitting, Image.Resampling.BOX)
    for content in _smaller_and_smaller(picture, form):
        if len(content) <= limit:
            break
    return f"data:image/{form.lower()};base64,{base64.b64encode(content).decode('ascii')}"


def _smaller_and_smaller(picture: Image.Image, form: str) -> Iterator[bytes]:
    while True:
        if form == "WEBP":
            yield _saved(picture, form, lossless=True, quality=50, method=2)
        for quality in QUALITIES:
            yield _saved(picture, form, quality=quality)
        if max(picture.size) <= SMALLEST:
            return
        half = max(picture.width // 2, 1), max(picture.height // 2, 1)
        picture = picture.resize(half, Image.Resampling.BOX)


def _saved(picture: Image.Image, form: str, **options: bool | int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
