"""Shards: tars of samples (WebDataset's convention) in a folder, by a pattern of names, or at
addresses, and what an index beside them says.
"""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urljoin, urlsplit

from pydantic import BaseModel, Field, ValidationError

from ..errors import BadData, printable
from ..io.untrusted_files import open_regular, parse_json, read_limited
from ..spec import digest
from .fetching import Fetched, is_url, shown_url
from .shard_tables import Table, Unusable, failed, read_table
from .source import PICTURE
from .tars import BLOCK

INDEX = "index.json"
SUFFIX = ".tar"
MAX_SHARDS = 100_000
MAX_INDEX = 32 << 20  # bytes
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")
WAY = "give the folder that they lie in, or their names, as in shards/{000..099}.tar"


class Listed(BaseModel):
    """What an index says of a shard."""

    name: Annotated[str, Field(pattern=r"^[^/\\]{1,255}$")]
    size: Annotated[int, Field(ge=1, lt=1 << 60)]
    count: Annotated[int, Field(ge=0, lt=1 << 40)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Index(BaseModel):
    """What index.json says of the shards beside it: the name of class 0 is the first."""

    format: Literal["ganzoo-shards-1"] = "ganzoo-shards-1"
    shards: list[Listed]
    classes: list[str] = []


@dataclass(eq=False)
class Shard:
    """One tar of samples, on this machine or fetched from an address.

    listed: what an index says of it; known: its samples, once they were read; bad: why they cannot
    """

    name: str
    path: Path | None
    listed: Listed | None = None
    url: str = ""
    fetched: Fetched | None = None
    known: Table | None = None
    bad: Unusable | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def locate(self) -> Path:
        """Where it lies now; fetches it if it has to. Raises BadData where a server is silent."""
        if self.path is not None:
            return self.path
        assert self.fetched is not None
        known = self.listed.sha256 if self.listed else ""
        return self.fetched.file(self.url, self.check_fetched, known)

    def count(self) -> int:
        """How many samples it has: as an index says where there is one, which a file that is here
        must have the size for; else by its headers. Raises Unusable.
        """
        if self.listed is None:
            return len(self.table())
        if self.path is not None and self.known is None:
            try:
                self._check(self.path.stat().st_size)
            except OSError as error:
                raise Unusable(failed(error)) from None
        return self.listed.count

    def table(self) -> Table:
        """Its samples; raises Unusable where there are none to be had."""
        with self.lock:
            if self.known is None and self.bad is None:
                try:
                    self.known = self._read_table()
                except (OSError, ValueError) as error:
                    self.bad = Unusable(failed(error))
        if self.known is None:
            raise self.bad or Unusable("cannot be read")
        return self.known

    def _read_table(self) -> Table:
        path = self.locate()
        self._check(path.stat().st_size)
        found = read_table(path)
        if not len(found):
            raise Unusable("holds no samples")
        self._check(path.stat().st_size, len(found))
        return found

    def _check(self, size: int, count: int | None = None) -> None:
        """Raises Unusable where it is not what the index says."""
        if self.listed is None:
            return
        for found, said, what in (
            (size, self.listed.size, "bytes"),
            (count, self.listed.count, "samples"),
        ):
            if found is not None and found != said:
                raise Unusable(f"has {found:,} {what}, and {INDEX} says {said:,}")

    def check_fetched(self, size: int, sha256: str) -> None:
        """Raises Unusable for another file than the index lists."""
        self._check(size)
        if self.listed is not None and sha256 != self.listed.sha256:
            raise Unusable(f"is not the file that {INDEX} lists: its SHA-256 is another")

    def read(self, place: Sequence[int]) -> bytes:
        """The bytes at an offset, so many; raises Unusable where there are fewer."""
        offset, size = place
        try:
            with os.fdopen(open_regular(self.locate()), "rb", buffering=0) as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise Unusable(failed(error)) from None
        if len(content) < size:
            raise Unusable("cut short")
        return content

    def name_of(self, offset: int) -> str:
        """The name of the member there, as far as its header holds it."""
        with contextlib.suppress(Unusable, tarfile.TarError):
            block = self.read((offset - BLOCK, BLOCK))
            return printable(tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").name)
        return "a sample"

    def known_by(self) -> str:
        """What tells it from others, wherever it lies."""
        if self.listed is not None:
            return self.listed.sha256
        table = self.table()
        return f"{digest(table.places)} {digest(table.labels)}"


def is_pattern(name: str) -> bool:
    """Whether a name is that of shards elsewhere, or of several at once."""
    return is_url(name) or (name.endswith(SUFFIX) and bool(BRACES.search(name)))


def holds_shards(path: Path) -> bool:
    """Whether a path is a shard, or a folder that holds some beside no pictures and no folders."""
    if not path.is_dir():
        return path.suffix == SUFFIX
    found = False
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if PICTURE.search(entry.name) or entry.is_dir():
                return False
            found = found or entry.name.endswith(SUFFIX)
    return found


def open_shards(path: Path | str, fetched: Fetched) -> tuple[list[Shard], list[str]]:
    """The shards of a folder, a file, a pattern or addresses, none of them read yet, and the
    classes that an index names.

    Raises BadData where there are none, for more than MAX_SHARDS, and for an index that is none.
    """
    if is_url(str(path)):
        return _at_addresses(str(path), fetched)
    if Path(path).is_dir():
        found = sorted(each for each in Path(path).glob(f"[!.]*{SUFFIX}"))
    else:
        found = [Path(name).expanduser() for name in expanded(str(path))]
        if not any(each.exists() for each in found):
            raise BadData(f"{path}: there is no shard, as {found[0]}", remedy=WAY)
    folder = found[0].parent
    index = _index_in(folder)
    listed = {each.name: each for each in index.shards} if index else {}
    if index and Path(path).is_dir():
        alone = [each for each in found if each.name not in listed]
        if alone:
            raise BadData(f"{alone[0]} is not in the {INDEX} beside it", remedy="take one away")
        found = [folder / name for name in listed]
    shards = [Shard(printable(each.name), each, listed.get(each.name)) for each in found]
    return shards, index.classes if index else []


def _at_addresses(pattern: str, fetched: Fetched) -> tuple[list[Shard], list[str]]:
    urls = expanded(pattern)
    if not urlsplit(urls[0]).path.endswith(SUFFIX):
        raise BadData(f"{shown_url(pattern)}: no address of shards", remedy=f"end it in {SUFFIX}")
    content = fetched.small(urljoin(urls[0], INDEX), MAX_INDEX)
    index = None if content is None else _index(content, shown_url(urljoin(urls[0], INDEX)))
    listed = {each.name: each for each in index.shards} if index else {}
    shards = []
    for url in urls:
        name = unquote(urlsplit(url).path.rpartition("/")[2])
        shards.append(Shard(printable(name), None, listed.get(name), url, fetched))
    return shards, index.classes if index else []


def expanded(pattern: str) -> list[str]:
    """The names that a pattern stands for: {000..099} for numbers, {a,b} for words.

    Raises BadData for more than MAX_SHARDS of them, or none.
    """
    names = [pattern]
    while match := BRACES.search(names[0]):
        words = _words(match[1])
        if len(words) * len(names) > MAX_SHARDS:
            raise BadData(f"{pattern}: more than {MAX_SHARDS:,} shards")
        parts = [BRACES.split(name, 1) for name in names]
        names = [before + word + after for before, _, after in parts for word in words]
    return names


def _words(inside: str) -> list[str]:
    """What stands in the place of braces."""
    match = RANGE.fullmatch(inside)
    if match is None:
        return inside.split(",")
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise BadData(f"{{{inside}}}: names no shards", remedy="write the smaller number first")
    return [
        str(number).zfill(len(match[1]))
        for number in range(first, min(last, first + MAX_SHARDS) + 1)
    ]


def _index_in(folder: Path) -> Index | None:
    try:
        return _index(read_limited(folder / INDEX, MAX_INDEX), str(folder / INDEX))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadData(f"{folder / INDEX}: {error.strerror or error}") from None


def _index(content: bytes, where: str) -> Index | None:
    """What an index says, None for a file of another program; raises BadData for a wrong one."""
    try:
        tree = parse_json(content)
        ours = isinstance(tree, dict) and str(tree.get("format")).startswith("ganzoo-shards")
        return Index.model_validate(tree) if ours else None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadData(f"{where}: no index of shards ({printable(place)}: {first['msg']})") from None
    except ValueError as error:
        raise BadData(f"{where}: no index of shards ({printable(str(error))})") from None
