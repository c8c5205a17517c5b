"""What reads a path that is no folder or zip of pictures: tables, arrays, texts and videos."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ..contracts import Dataset
from .arrays import load_array
from .tables import load_table
from .texts import is_texts, load_texts
from .videos import load_videos

TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class Form:
    """A form that data come in.

    load: reads it, `load(path, *, options)`
    scaled: whether it takes resolution, channels, background and progress too, as `load_pictures`
    """

    name: str
    load: Callable[..., Dataset]
    scaled: bool = False


def form_of(path: Path, options: Collection[str]) -> Form | None:
    """The form that a path is read in; None for a folder or zip of pictures.

    options: names of those that are given: `frames` makes videos of pictures
    """
    suffix = path.suffix.lower()
    if "frames" in options and suffix not in (*TABLES, ".npy", ".txt"):
        return Form("videos", load_videos, scaled=True)
    if suffix in TABLES and not path.is_dir():
        return Form("a table", load_table)
    if suffix == ".npy" and not path.is_dir():
        return Form("an array", load_array)
    return Form("a text", load_texts) if is_texts(path) else None
