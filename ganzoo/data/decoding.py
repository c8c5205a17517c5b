"""From the bytes of one picture file to pixels; every mode
that Pillow knows ends as grey, RGB or RGBA of 8 bits.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import math
import threading
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from ..errors import BadConfig
from .claims import canvas, check_tiff, length_of
from .resizing import covering_box

logging.getLogger("PIL").addHandler(
    logging.NullHandler()
)  # else its complaints of broken files go to stderr

Pixels = npt.NDArray[np.uint8]
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
MAX_PIXELS = 64 << 20  # of one picture: what it may take in memory before it is scaled down
SLOW_PIXELS = 1 << 20  # of one in a format that Pillow decodes in Python, a million pixels a second
ROOM_BYTES = 768 << 20  # that pictures may take while they are decoded, all threads together
GREY_MODES = frozenset(("1", "L", "LA", "La", "I"))
TURNED = (5, 6, 7, 8)  # Exif orientations that swap height and width
ORIENTATION = 0x0112
METADATA = frozenset(
    ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
)  # where it may be said


class Room:
    """Memory that threads share: `taken(bytes)` waits
    until there is as much, or until nobody else has any.
    """

    def __init__(self, size: int) -> None:
        self._left = self._size = size
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, size: int) -> Iterator[None]:
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()


ROOM = Room(ROOM_BYTES)


def _room(image: Image.Image) -> contextlib.AbstractContextManager[None]:
    """Room for the picture and a copy in another mode,
    at four bytes a pixel each; a WebP has it already.
    """
    if image.format == "WEBP":
        return contextlib.nullcontext()
    return ROOM.taken(8 * image.width * image.height)


@contextlib.contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    """The picture, header read; a WebP in the room
    for all that its decoder takes, from the start.
    """
    pixels = canvas(file)
    if pixels > MAX_PIXELS:
        raise ValueError(f"a canvas of more than {MAX_PIXELS >> 20} Mpixel")
    with ROOM.taken(16 * pixels) if pixels else contextlib.nullcontext():
        yield open_picture(file)


class Header(NamedTuple):
    """What a file says of itself before its pixels are read."""

    height: int
    width: int
    mode: str  # Pillow's
    format: str
    alpha: bool  # has an alpha channel or a transparent colour
    colour: bool  # is not grey by its mode
    animated: bool


@functools.cache
def formats() -> tuple[str, ...]:
    """The formats that are read: those without a program, a document or a network inside."""
    Image.init()
    wanted = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000")
    return tuple(name for name in wanted if name in Image.OPEN)


def open_picture(file: BinaryIO) -> Image.Image:
    """The picture, header read; raises anything when it
    is none, ValueError when it is one that is not taken.
    """
    check_tiff(file, length_of(file))
    try:
        image = Image.open(file, formats=formats())
    except UnidentifiedImageError:
        raise ValueError("not a picture") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} is more than {MAX_PIXELS >> 20} Mpixel")
    if image.width * image.height == 0:
        raise ValueError("has no pixels")
    if (
        image.width * image.height > SLOW_PIXELS
        and image.tile
        and image.tile[0][0] in ("ppm", "ppm_plain")
    ):
        raise ValueError(
            f"{image.width}x{image.height} is too large for a picture written in numbers"
        )
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    return image


def read_header(file: BinaryIO, *, verify: bool = False) -> Header:
    """What the file says of itself; `verify` decodes the pixels too, to find truncated files."""
    with _opened(file) as image:
        return _header(image, verify)


def _header(image: Image.Image, verify: bool) -> Header:
    """What `read_header` gives, of an opened picture."""
    _drop_heavy_exif(image)
    height, width = image.height, image.width
    exif = "exif" in image.info and image.format != "TIFF"  # Pillow turns TIFF by itself
    if exif and image.getexif().get(ORIENTATION) in TURNED:
        height, width = width, height
    animated = image.format in ("GIF", "WEBP", "PNG", "AVIF") and bool(
        getattr(image, "is_animated", False)
    )
    header = Header(
        height,
        width,
        image.mode,
        image.format or "",
        image.has_transparency_data,
        _coloured(image),
        animated,
    )
    if verify:
        image.seek(0)
        with _room(image):
            image.load()
    return header


def decode(
    file: BinaryIO, resolution: tuple[int, int], channels: int, background: tuple[int, int, int]
) -> Pixels:
    """The first frame as [channels, *resolution], turned
    upright, scaled to cover (Lanczos) and centre cropped.

    Transparency is laid on the background unless four
    channels are wanted; then what cannot be seen is black.
    """
    with _opened(file) as image:
        scale = 2 * max(resolution) / min(image.size)
        if scale <= 0.5:
            # A large photograph (JPEG) is decoded at half its
            # size or less, never below twice what is needed.
            wanted = math.ceil(image.width * scale), math.ceil(image.height * scale)
            image.draft(image.mode, wanted)
        with _room(image):
            return _pixels(image, resolution, channels, background)


def count_frames(file: BinaryIO) -> int:
    """How many frames an animated picture has."""
    with _opened(file) as image:
        return int(getattr(image, "n_frames", 1))


def decode_frames(
    file: BinaryIO,
    count: int,
    resolution: tuple[int, int],
    channels: int,
    background: tuple[int, int, int],
) -> list[Pixels]:
    """The first frames of an animated picture, each as `decode` gives it."""
    frames = []
    with _opened(file) as image, _room(image):
        size = image.size
        for number in range(count):
            image.seek(number)
            if image.size != size:  # a frame beyond the canvas, which Pillow would enlarge
                raise ValueError(f"frame {number + 1} is larger than the first")
            frames.append(_pixels(image.copy(), resolution, channels, background))
    return frames


def _pixels(
    image: Image.Image, resolution: tuple[int, int], channels: int, background: tuple[int, int, int]
) -> Pixels:
    """What `decode` gives, of an opened picture."""
    image.load()
    _drop_heavy_exif(image)
    if not METADATA.isdisjoint(image.info):
        ImageOps.exif_transpose(image, in_place=True)
    image = _eight_bit(image)
    transparent = image.has_transparency_data
    image = _convert(image, "RGBA" if transparent else MODES[channels])
    if (image.height, image.width) != resolution:
        box = covering_box(image.width, image.height, resolution)
        image = image.resize(
            resolution[::-1], Image.Resampling.LANCZOS, box=box
        )  # RGBA: Pillow weighs colours by alpha
    if transparent and channels != 4:
        image = _convert(
            Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image),
            MODES[channels],
        )
    pixels: Pixels = np.asarray(image)
    if channels == 4:
        return np.moveaxis(pixels * (pixels[..., 3:] > 0), 2, 0)
    return pixels[None] if channels == 1 else np.moveaxis(pixels, 2, 0)


def _drop_heavy_exif(image: Image.Image) -> None:
    """Forget Exif data that would take more memory
    than they have bytes; they are a TIFF's directory.
    """
    exif = image.info.get("exif")
    if not isinstance(exif, bytes):
        return
    try:
        content = exif.removeprefix(b"Exif\0\0")
        check_tiff(io.BytesIO(content), len(content))
    except ValueError:
        del image.info["exif"]


def parse_background(text: str) -> tuple[int, int, int]:
    """The red, green and blue of a colour's name or #rrggbb; raises BadConfig."""
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise BadConfig(
            "not a colour; give a name, as in white, or #rrggbb",
            section="data",
            key="background",
            value=text,
        ) from None
    return red, green, blue


def _coloured(image: Image.Image) -> bool:
    """Whether the mode, or the palette, has colours beside greys."""
    if image.mode in ("P", "PA"):
        palette = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
        return bool((palette != palette[:, :1]).any())
    return not (image.mode in GREY_MODES or image.mode.startswith("I;16"))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Pixels of 16 bits scaled to 8; Pillow's own conversion would clip them."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    deep = np.asarray(image).clip(0, 65535).astype(np.uint32)
    deep += 128  # in place: a large picture is large enough once
    deep //= 257
    return Image.fromarray(deep.astype(np.uint8))


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """The image in that mode, by way of the modes between which Pillow converts."""
    if image.mode == mode:
        return image
    if image.mode == "La":
        image = image.convert("LA")
    elif image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa"):  # CMYK, YCbCr, HSV
        image = image.convert("RGB")
    return image.convert(mode)
