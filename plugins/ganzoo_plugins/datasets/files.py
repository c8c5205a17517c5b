"""Where data sets with files lie, and how they come there."""

import contextlib
import io
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from ganzoo.data import cache_folder
from ganzoo.errors import BadData, one_line

PATIENCE = 20.0  # seconds without an answer before a download is given up


def data_root(root: Path | None) -> Path:
    """The folder given, else GANZOO_DATA, else `data` in ganzoo's cache."""
    return Path(root or os.environ.get("GANZOO_DATA") or cache_folder() / "data").expanduser()


def download(name: str, fetch: Callable[[], object], root: Path, looked: str) -> None:
    """Run torchvision's download; raises BadData, one line, when it fails."""
    try:
        with (
            _patience(),
            contextlib.redirect_stdout(io.StringIO()),
        ):  # torchvision reports each mirror
            fetch()
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # no network, no room, a wrong checksum, a hostile root
        raise BadData(
            f"{name} is not in {looked}, and downloading it into {root} failed "
            f"({one_line(error)}); "
            "give the folder that holds it as data.root, or set GANZOO_DATA"
        ) from None


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A limit on waiting for a network that never answers; torchvision sets none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
