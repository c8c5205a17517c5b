"""Which run a job of torchrun trains, so that a job that is restarted goes on with it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import GanzooError
from ..io.files import write_text
from ..io.untrusted_files import read_limited
from . import resume as resuming

FOLDER = ".torchrun"  # beside the runs: a file for each job, with the name of its run
LONGEST = 300  # bytes of such a file


def remember(root: Path, folder: Path) -> None:
    """Note that this job trains that run."""
    place = _place(root)
    if place is not None:
        place.parent.mkdir(exist_ok=True)
        write_text(place, folder.name)


def remembered(root: Path) -> Path | None:
    """The run that this job has begun and not ended, if there is one."""
    place = _place(root)
    if place is None or not place.exists():
        return None
    try:
        name = read_limited(place, LONGEST, links=False).decode()
        folder = root / Path(name).name
        opened = resuming.open_run(folder)
    except (OSError, ValueError, GanzooError):
        return None
    images = opened.manifest["images"] if opened.manifest else 0
    return folder if int(images) < opened.config.train.images else None


def _place(root: Path) -> Path | None:
    """The file of this job; a job without a name is that of the launcher's process."""
    job = os.environ.get("TORCHELASTIC_RUN_ID")
    if job is None:
        return None
    if job == "none":
        job = f"{job}-{os.getppid()}"
    return root / FOLDER / re.sub(r"[^A-Za-z0-9._-]+", "-", job)[:80]
