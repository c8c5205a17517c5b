"""Files from addresses, kept in a folder of the cache within a budget: what was used longest ago
goes first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import filelock

from ..errors import BadData, one_line
from .cache import cache_folder

PIECE = 1 << 20  # bytes read at a time
TRIES = 3
PAUSE = 0.5  # seconds before the second try, twice as long before the third
YOUNG = 3600.0  # seconds in which a part of a file may still be written to
Check = Callable[[int, str], None]  # size and SHA-256 of what came; raises for another file


class Fetched:
    """The files of addresses on this machine.

    budget: bytes that all of them may take together; timeout: seconds that a server may be silent
    """

    def __init__(self, budget: int, timeout: float) -> None:
        self.budget, self.timeout = budget, timeout
        self.folder = cache_folder() / "shards"

    def file(self, url: str, check: Check, known: str) -> Path:
        """Where the file of an address lies, fetched if it is not there.

        known: what tells it from another file of that address, if anything does

        Raises BadData for a server that does not answer, and where there is no room; what `check`
        raises for a file that is not the one that was meant.
        """
        path = self.folder / f"{hashlib.sha256(f'{url} {known}'.encode()).hexdigest()[:32]}.tar"
        if self._used(path):
            return path
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(path.with_suffix(".lock")):
                if not self._used(path):
                    self._fetch(url, path, check)
        except OSError as error:
            raise BadData(
                f"{shown_url(url)}: cannot be kept in {self.folder} ({one_line(error)})",
                remedy="set GANZOO_CACHE to a folder with room",
            ) from None
        return path

    def small(self, url: str, limit: int) -> bytes | None:
        """What lies at an address, of at most so many bytes; None where nothing does."""
        with contextlib.suppress(FileNotFoundError):
            with self._open(url) as answer:
                found = self._read(answer, url, limit + 1)
            if len(found) > limit:
                raise BadData(f"{shown_url(url)}: larger than {limit >> 20} MiB")
            return found
        return None

    def _used(self, path: Path) -> bool:
        """Whether the file is there; it is then the one that was used last."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def _fetch(self, url: str, path: Path, check: Check) -> None:
        part = path.with_suffix(".part")
        try:
            for number in range(TRIES):
                time.sleep(number * PAUSE)
                try:
                    size, found = self._download(url, part)
                    break
                except BadData:
                    if number == TRIES - 1:
                        raise
            check(size, found)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _download(self, url: str, part: Path) -> tuple[int, str]:
        """(bytes, SHA-256) of what was written; raises BadData, OSError for the disk's failures."""
        size, digest = 0, hashlib.sha256()
        try:
            answer = self._open(url)
        except FileNotFoundError:
            raise BadData(f"{shown_url(url)}: there is nothing (404)") from None
        with answer, part.open("wb") as file:
            told = answer.headers.get("Content-Length", "")
            self._make_room(url, int(told) if told.isascii() and told.isdigit() else 0)
            while piece := self._read(answer, url, PIECE):
                size += len(piece)
                if size > self.budget:
                    self._make_room(url, size)
                digest.update(piece)
                file.write(piece)
        if told and str(size) != told:
            raise BadData(f"{shown_url(url)}: ended after {size:,} of {told} bytes")
        return size, digest.hexdigest()

    def _open(self, url: str) -> HTTPResponse:
        """The answer of a server; raises FileNotFoundError where it has no such file."""
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "ganzoo"})
            answer: HTTPResponse = _opener().open(request, timeout=self.timeout)
            return answer
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 410):
                raise FileNotFoundError(url) from None
            raise BadData(f"{shown_url(url)}: answers {error.code}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise self._silent(url, error) from None

    def _read(self, answer: HTTPResponse, url: str, size: int) -> bytes:
        try:
            return answer.read(size)
        except (OSError, HTTPException) as error:
            raise self._silent(url, error) from None

    def _silent(self, url: str, error: Exception) -> BadData:
        """What is said of a server that does not answer."""
        why = getattr(error, "reason", error)
        if isinstance(why, TimeoutError):
            return BadData(
                f"{shown_url(url)}: does not answer within {self.timeout:g} s",
                remedy="set",
                change={"data.timeout": 4 * self.timeout},
            )
        said = getattr(why, "strerror", None) or one_line(error)
        return BadData(f"{shown_url(url)}: does not answer ({said})")

    def _make_room(self, url: str, size: int) -> None:
        """Delete what was used longest ago; raises BadData where even that is not enough."""
        if size > self.budget:
            raise BadData(
                f"{shown_url(url)}: {size / 2**30:.2f} GiB and more, and {self.budget / 2**30:.2f} "
                "GiB may be kept",
                remedy="set",
                change={"data.cache": -(-2 * size >> 30)},
            )
        there = self._kept()
        left = self.budget - size - sum(bytes_ for _, bytes_, _ in there)
        free = shutil.disk_usage(self.folder).free - size
        for _, bytes_, path in there:
            if min(left, free) >= 0:
                break
            path.unlink(missing_ok=True)
            left, free = left + bytes_, free + bytes_
        if free < 0:
            raise BadData(
                f"{shown_url(url)}: no room for {size / 2**30:.2f} GiB in {self.folder}",
                remedy="set GANZOO_CACHE to a folder with room",
            )

    def _kept(self) -> list[tuple[int, int, Path]]:
        """(time of use, bytes, path) of what may be deleted, what was used longest ago first."""
        old, found = time.time() - YOUNG, []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                left_over = path.suffix == ".part" and stat.st_mtime < old
                if path.suffix == ".tar" or left_over:
                    found.append((stat.st_mtime_ns, stat.st_size, path))
        return sorted(found)


def is_url(text: str) -> bool:
    """Whether a text is an address that files are fetched from."""
    return text.startswith(("http://", "https://"))


def shown_url(url: str) -> str:
    """An address as it is shown: without a password or a key in it."""
    found = urlsplit(url)
    return f"{found.scheme}://{found.netloc.rpartition('@')[2]}{found.path}"


def _opener() -> urllib.request.OpenerDirector:
    """What opens addresses of http and https, and follows them to no others."""
    found = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        found.add_handler(handler())
    return found
