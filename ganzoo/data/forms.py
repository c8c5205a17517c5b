"""What reads a path that is no folder or zip of pictures: tables, arrays, texts and videos."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ..contracts import Dataset
from .arrays import load_array
from .shard_pictures import load_shards
from .shards import holds_shards, is_pattern
from .tables import load_table
from .texts import is_texts, load_texts
from .videos import load_videos

TABLES = (".csv", ".tsv")


PICTURES = ("resolution", "channels", "background")


@dataclass(frozen=True)
class Form:
    """A form that data come in.

    load: reads it, `load(path, *, options)`
    takes: settings of data that it is given: those of pictures, `progress`, `lazy`, `given`
    lazy: whether what it reads may be decoded when it is asked for
    """

    name: str
    load: Callable[..., Dataset]
    takes: tuple[str, ...] = ()
    lazy: bool = False

    @property
    def scaled(self) -> bool:
        """Whether it has a resolution, channels and a background, as pictures do."""
        return "resolution" in self.takes


def form_of(path: Path | str, options: Collection[str]) -> Form | None:
    """The form that a path is read in; None for a folder or zip of pictures.

    path: or a name of several shards, or their address
    options: names of those that are given: `frames` makes videos of pictures
    """
    if is_pattern(str(path)) or holds_shards(Path(path)):
        return Form("shards", load_shards, (*PICTURES, "given"), lazy=True)
    path = Path(path)
    suffix = path.suffix.lower()
    if "frames" in options and suffix not in (*TABLES, ".npy", ".txt"):
        return Form("videos", load_videos, (*PICTURES, "progress", "lazy"), lazy=True)
    if suffix in TABLES and not path.is_dir():
        return Form("a table", load_table)
    if suffix == ".npy" and not path.is_dir():
        return Form("an array", load_array)
    return Form("a text", load_texts) if is_texts(path) else None
