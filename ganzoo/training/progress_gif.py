"""progress.gif: what the generator drew from the same
latents all through a run, made from the run's own pictures.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from PIL import Image, ImageDraw

from ..contracts import Spec
from ..generate.pictures import gif, sheet_of
from ..io import untrusted_folder as inside
from ..io.files import write_bytes

FILE = "progress.gif"
PICTURE = re.compile(r"([0-9]{9,15})\.png")
LARGEST = 1 << 28  # bytes of a picture's file
FRAMES = 64  # of more pictures, as many spread over the run
# milliseconds, all frames but the last together, as far as these are within SHORTEST and LONGEST
LASTS = 6000
SHORTEST, LONGEST, HOLD = 60, 400, 1500  # milliseconds of a frame, and of the last one
CAPTION = 16  # pixels, for the number of images


def write(folder: Path, count: int, spec: Spec, images: int) -> None:
    """Write the strip of a run of pictures of `count` samples
    each, up to so many images: of grids the first row, else all.

    Nothing is kept for it in memory or in checkpoints, so that a resumed
    run has it whole. Pictures of another size, links and damaged files are
    passed over; where fewer than two are left there is nothing to show.
    """
    listed = [(PICTURE.fullmatch(p.name), p) for p in inside.listing(folder / "samples", folder)]
    found = [(int(name[1]), path) for name, path in listed if name]
    found = [(number, path) for number, path in found if number <= images]
    if len(found) > FRAMES:
        found = [found[i * (len(found) - 1) // (FRAMES - 1)] for i in range(FRAMES)]
    frames = [
        frame for number, path in found if (frame := _frame(number, path, folder, count, spec))
    ]
    if len(frames) > 1:
        each = max(SHORTEST, min(LONGEST, LASTS // len(frames)))
        write_bytes(folder / FILE, gif(frames, each, HOLD))


def _frame(number: int, path: Path, run: Path, count: int, spec: Spec) -> Image.Image | None:
    """A picture's part of the strip with the images shown
    until then; None for what was not drawn by this run.
    """
    size, first_row = sheet_of(count, spec)
    try:
        with inside.open_file(path, run) as file, Image.open(file, formats=["PNG"]) as picture:
            fits = picture.size == size and picture.mode in ("L", "RGB")
            if not fits or os.fstat(file.fileno()).st_size > LARGEST:
                return None
            row = picture.crop(first_row)
    except Exception:  # a damaged file may make a codec raise anything
        return None
    white, grey = (255, 96) if row.mode == "L" else ((255,) * 3, (96,) * 3)
    frame = Image.new(row.mode, (row.width, row.height + CAPTION), white)
    frame.paste(row)
    ImageDraw.Draw(frame).text((4, row.height + 2), f"{number:,} images", fill=grey)
    return frame
