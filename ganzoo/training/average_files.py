"""`averages/` of a run: power-function averages of its generators at several times, each a
generator file, from which averages of other lengths are made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..assembly.pipeline import Pipeline
from ..engine.power_average import LENGTHS
from ..generate import generator_file
from ..io import untrusted_folder as inside

FOLDER = "averages"
NAME = re.compile(rf"(\d{{9,15}})\.({'|'.join(LENGTHS)})(?:\.([a-z0-9_.-]{{1,40}}))?\.safetensors")


class Snapshot(NamedTuple):
    """One file: after how many images, of which of the two lengths, and of which further
    generator or encoder of a game with several nets.
    """

    path: Path
    images: int
    length: str
    role: str


def writer(pipeline: Pipeline, folder: Path, images: int) -> Callable[[], None]:
    """A function that writes the averages as they are now."""
    written = {
        folder / FOLDER / f"{images:09d}.{name}.safetensors": generator_file.generator_writer(
            pipeline, images, {}, averaged=each.net
        )
        for name, each in pipeline.powers.items()
    }

    def write() -> None:
        inside.make_folder(folder / FOLDER, folder)
        for path, job in written.items():
            job(path)

    return write


def snapshots(folder: Path) -> list[Snapshot]:
    """What lies in a run's folder of averages, by time and role; what has another name is passed
    over.
    """
    found = []
    for path in inside.listing(folder / FOLDER, folder):
        if parts := NAME.fullmatch(path.name):
            images, length, role = parts.groups()
            found.append(Snapshot(path, int(images), length, role or ""))
    # By name, ten digits come before nine.
    return sorted(found, key=lambda each: (each.images, each.role))


def forget_after(folder: Path, images: int) -> None:
    """Delete those after the state that a training goes on from: it may take another way."""
    for snapshot in snapshots(folder):
        if snapshot.images > images:
            inside.way(snapshot.path, folder).unlink(missing_ok=True)
