"""What a picture file claims, read before a codec takes
memory for it: a WebP's canvas, a TIFF's tiles and tags.
"""

from __future__ import annotations

import math
import os
import struct
from typing import BinaryIO

FREE = 4 << 20  # pixels of a tile of a TIFF that is smaller than its tiles
TAGS = 1024  # in one directory of a TIFF
SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # bytes of a value, by its type
SIDES = {256: "width", 257: "height", 322: "tile width", 323: "tile height"}
WHOLE = {1: "B", 3: "H", 4: "L", 16: "Q"}  # types of whole numbers


def canvas(file: BinaryIO) -> int:
    """The pixels of a WebP's canvas, 0 for another file; raises
    ValueError when it does not say. Leaves the file at its start.

    Pillow makes two pictures of that size when it opens one, before anybody can look.
    """
    file.seek(0)
    start = file.read(30)
    file.seek(0)
    if start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        return 0
    kind = start[12:16]
    if len(start) == 30 and kind == b"VP8X":
        return math.prod(1 + int.from_bytes(start[at : at + 3], "little") for at in (24, 27))
    if len(start) == 30 and kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", start, 26)
        return int((width & 0x3FFF) * (height & 0x3FFF))
    if len(start) >= 25 and kind == b"VP8L":
        (sides,) = struct.unpack_from("<L", start, 21)
        return int((1 + (sides & 0x3FFF)) * (1 + (sides >> 14 & 0x3FFF)))
    raise ValueError("a WebP that does not say how large it is")


def check_tiff(file: BinaryIO, length: int) -> None:
    """Raises ValueError for a TIFF whose tiles are far larger
    than it, or whose tags together are; other files pass.

    A tile is decoded whole, and each tag is read by itself,
    so that a file of a few megabytes may ask for any amount.
    length: of the file.
    """
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    if start[:4] not in (b"II*\0", b"MM\0*", b"II+\0"):
        if start[:2] in (b"II", b"MM"):
            raise ValueError("a sort of TIFF that is not read")
        return
    order, big = (">" if start[:1] == b"M" else "<"), start[2] == 43
    try:
        sides, bytes_of_tags = _directory(file, start, order, big)
    except struct.error:
        raise ValueError("a TIFF whose directory is cut short") from None
    finally:
        file.seek(0)
    if bytes_of_tags > length:
        raise ValueError(f"its tags make {bytes_of_tags >> 10:,} KiB, more than the file")
    tile = sides["tile width"] * sides["tile height"]
    if tile > max(sides["width"] * sides["height"], FREE):
        size = f"{sides['tile width']}x{sides['tile height']}"
        raise ValueError(f"its tiles of {size} are larger than the picture")


def _directory(file: BinaryIO, start: bytes, order: str, big: bool) -> tuple[dict[str, int], int]:
    """(the largest of each side that a TIFF's first
    directory states, bytes of all its tags beside it).
    """
    (offset,) = struct.unpack_from(f"{order}Q" if big else f"{order}L", start, 8 if big else 4)
    file.seek(min(offset, 1 << 62))
    (count,) = struct.unpack(f"{order}Q" if big else f"{order}H", file.read(8 if big else 2))
    if count > TAGS:
        raise ValueError(f"a TIFF of {count:,} tags")
    sides, beside = dict.fromkeys(SIDES.values(), 0), 0
    inline = 8 if big else 4
    for _ in range(count):
        entry = file.read(20 if big else 12)
        tag, kind, number = struct.unpack_from(f"{order}HHQ" if big else f"{order}HHL", entry)
        size = number * (SIZES[kind] if kind < len(SIZES) else 0)
        beside += size if size > inline else 0
        if tag in SIDES:
            if number != 1 or kind not in WHOLE or size > inline:
                raise ValueError(f"a TIFF that does not say its {SIDES[tag]}")
            (value,) = struct.unpack_from(order + WHOLE[kind], entry, len(entry) - inline)
            sides[SIDES[tag]] = max(sides[SIDES[tag]], value)
    return sides, beside


def length_of(file: BinaryIO) -> int:
    """Bytes of an open file, which is left at its start."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    return length
