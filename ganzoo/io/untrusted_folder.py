"""A run folder that a stranger may have made: whatever ganzoo
opens, lists, writes or deletes in it goes through here.

No link in it is followed, wherever it leads; pipes, sockets and devices are
refused before they are opened; and what is read has a limit. The run folder
itself may be a link: the person who named it meant what it leads to.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ..errors import BadFile
from .untrusted_files import open_regular, read_limited

# What ganzoo makes in a run folder beside files.
FOLDERS = ("checkpoints", "samples", "averages", "failures")
JUNCTION = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)  # a link between folders on Windows


def check(run: Path) -> None:
    """Raises BadFile naming the first link or special file
    in a run folder, before anything there is touched.
    """
    places = [run, *(run / name for name in FOLDERS)]
    for place in [*places, *folders(run / "checkpoints", run)]:
        for path in listing(place, run):
            _judge(path)


def way(path: Path, run: Path) -> Path:
    """The path, if no part of it below the run folder is
    a link, a special file, or missing where more follows.

    Raises BadFile; a path that leads to nothing yet is right.
    """
    place = run
    for part in path.relative_to(run).parts:
        place = place / part
        mode = _judge(place)
        if mode is None:
            break
        if place != path and not stat.S_ISDIR(mode):
            raise BadFile(f"{place}: is no folder", remedy="move it away")
    return path


def _judge(path: Path) -> int | None:
    """The mode of a file or folder, None when there is nothing; raises BadFile for anything else,
    OSError when the system does not say.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", 0) == JUNCTION:
        raise BadFile(
            f"{path}: a link, and nothing in a run folder is followed out of it",
            remedy="delete it, or put what it leads to in its place",
        )
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise BadFile(f"{path}: a pipe or device, which no run folder has", remedy="delete it")
    return found.st_mode


def listing(folder: Path, run: Path) -> list[Path]:
    """What lies in a folder, links among it, by name; nothing when there is no such folder."""
    mode = _judge(way(folder, run)) if folder != run else stat.S_IFDIR
    if mode is None or not stat.S_ISDIR(mode):
        return []
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(entry.name for entry in entries)]


def folders(folder: Path, run: Path) -> list[Path]:
    """The folders in a folder, by name; links to folders are none."""
    return [p for p in listing(folder, run) if p.is_dir() and not _is_link(p)]


def _is_link(path: Path) -> bool:
    return path.is_symlink() or getattr(path.lstat(), "st_reparse_tag", 0) == JUNCTION


def make_folder(folder: Path, run: Path) -> Path:
    """The folder, made with the folders between it
    and the run if they are missing; raises OSError.
    """
    way(folder, run).mkdir(parents=True, exist_ok=True)
    return folder


def open_file(path: Path, run: Path) -> BinaryIO:
    """A regular file, to read; raises OSError when it is missing."""
    return os.fdopen(open_regular(way(path, run), links=False), "rb")


def read(path: Path, run: Path, limit: int) -> bytes:
    """A file's content; raises OSError when it is missing or larger than `limit` bytes."""
    return read_limited(way(path, run), limit, links=False)


def append(path: Path, run: Path, content: bytes) -> None:
    """Add to a file, made if it is missing; raises OSError."""
    with os.fdopen(open_to_change(path, run, os.O_WRONLY | os.O_APPEND), "ab") as file:
        file.write(content)


def open_to_change(path: Path, run: Path, flags: int = os.O_RDWR) -> int:
    """The descriptor of a file that is changed where it is, made if it is missing; raises OSError.

    A file that has a second name elsewhere (a hard link) is none of the run's alone, and refused.
    """
    handle = open_regular(way(path, run), flags | os.O_CREAT, links=False)
    if os.fstat(handle).st_nlink < 2:
        return handle
    os.close(handle)
    raise OSError(None, "has another name elsewhere (a hard link); put a copy in its place")
