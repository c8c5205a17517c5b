"""What a rank said that failed, kept in the run folder: on a terminal all ranks speak at once."""

from __future__ import annotations

import contextlib
import os
import platform
import traceback
from collections.abc import Iterator
from pathlib import Path

from ..errors import GanzooError, printable
from ..io import untrusted_folder as inside
from ..measure.records import now
from .loop import Interrupted, Training

FOLDER = "failures"  # in it a file for each rank that has failed, rank1.txt for instance
LONGEST = 1 << 16  # letters of one failure; the end, where they are more


@contextlib.contextmanager
def kept(training: Training, folder: Path | None) -> Iterator[None]:
    """Within, an error of one of several ranks is added to its file in the run folder, if this
    rank reaches that; a stop that was asked for is none.
    """
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        if training.ranks.count > 1 and folder is not None and folder.is_dir():
            with contextlib.suppress(OSError, GanzooError):
                _keep(training, folder, error)
        raise


def _keep(training: Training, folder: Path, error: Exception) -> None:
    rank = training.ranks.rank
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    head = f"{now()} rank {rank} on {platform.node()}, start {start}, {training.images:,} images"
    said = "".join(traceback.format_exception(error))[-LONGEST:]
    lines = "".join(f"{printable(line)}\n" for line in [head, *said.split("\n")])
    place = inside.make_folder(folder / FOLDER, folder) / f"rank{rank}.txt"
    inside.append(place, folder, lines.encode("utf-8", "replace"))
