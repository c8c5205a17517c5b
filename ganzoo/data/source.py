"""Where pictures come from: the files of a folder or the
members of a zip, listed and read without unpacking to disk.

A zip is untrusted: nothing in it is ever written anywhere, member
names are labels only, and what it may expand to is bounded.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from ..errors import BadData, one_line

PICTURE = re.compile(
    r"\.(a?png|jpe?g|jpe|jfif|gif|webp|bmp|dib|tiff?|p[bgnp]m|avif|jp2|j2k)$", re.IGNORECASE
)
TABLES = (
    "labels.json",
    "labels.csv",
    "vectors.csv",
    "dataset.json",
)  # beside the pictures: what each is
MAX_FILES = 2_000_000  # pictures in one folder
MAX_MEMBERS = 500_000  # files in one zip: zipfile takes 600 bytes and 13 us for each, wanted or not
MAX_WALKED = 2 * MAX_FILES  # pictures and others
SYSTEM = ("proc", "sys", "dev")  # trees in which reading a file does something, or never ends
MAX_BYTES = 256 << 20  # one picture, unpacked
MAX_LISTING = 64 << 20  # bytes of a zip's central directory, read whole into memory
MAX_EXPANSION = (
    200  # a zip's pictures together, against the size of the zip; above MAX_EXPANSION_FREE only
)
MAX_EXPANSION_FREE = 512 << 20
LISTING_FREE = 1 << 20  # bytes that a listing may be longer than what it lists
LISTED = 46  # bytes of a member in the listing, at least
LOCAL_HEADER = 30  # bytes before each member's own, its name not counted


class Entry(NamedTuple):
    """One picture file, not opened yet."""

    name: str  # relative to the folder or zip, with /
    size: int  # bytes, unpacked
    stamp: (
        int  # what changes when the content does: the time of change (folder) or the CRC-32 (zip)
    )
    where: Path | zipfile.ZipInfo


class Broken(NamedTuple):
    """A file that is no usable picture, and why."""

    name: str
    reason: str


class Source:
    """A folder or zip of pictures: its entries in
    the order of their names, and what was left out.
    """

    kind: str

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.refused: list[Broken] = []
        self.others = 0  # files that do not claim to be pictures
        self.tables: list[tuple[Entry, str | None]] = []  # with why one cannot be read
        self.within = ""  # the folder that alone is kept, with its slash
        self.beside: frozenset[str] = frozenset()  # pictures of other folders
        self.paired = False  # whether those have the names of these

    def open(self, entry: Entry) -> BinaryIO:
        """The bytes of one entry."""
        raise TypeError(f"{type(self).__name__} must define open")

    @property
    def stored(self) -> int:
        """Bytes on disk."""
        return sum(e.size for e in self.entries)

    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def identity(self) -> str:
        """A hash that changes when a picture is added, removed, renamed or changed."""
        known = [*self.entries, *(table for table, _ in self.tables)]
        listing = "\n".join(f"{e.name}\0{e.size}\0{e.stamp}" for e in known)
        return hashlib.sha256(
            f"{self.kind}\n{listing}".encode("utf-8", "surrogatepass")
        ).hexdigest()

    def keep_within(self, folder: str, *, paired: bool = False) -> None:
        """Forget the pictures that are not in that folder, and its name in the others'; nothing if
        empty. Tables that lie in it or above it stay, and keep their names.

        paired: whether a table above may say once what holds for pictures of one name
        """
        if not folder:
            return
        start = f"{folder}/"
        self.within, self.paired = start, paired
        self.tables = [
            (table, reason)
            for table, reason in self.tables
            if table.name.startswith(start) or start.startswith(folder_of(table.name))
        ]
        named = [entry.name for entry in self.entries] + [each.name for each in self.refused]
        self.beside = frozenset(name for name in named if not name.startswith(start))
        self.entries = [
            entry._replace(name=entry.name.removeprefix(start))
            for entry in self.entries
            if entry.name.startswith(start)
        ]
        self.refused = [
            broken._replace(name=broken.name.removeprefix(start))
            for broken in self.refused
            if broken.name.startswith(start)
        ]

    def _take(self, entry: Entry, reason: str | None) -> None:
        """File an entry under pictures, refused or others."""
        if entry.name.rpartition("/")[2] in TABLES:
            self.tables.append((entry, reason))
        elif not PICTURE.search(entry.name):
            self.others += 1
        elif reason is None and entry.size == 0:
            self.refused.append(Broken(entry.name, "empty"))
        elif reason is None and entry.size > MAX_BYTES:
            self.refused.append(Broken(entry.name, f"larger than {MAX_BYTES >> 20} MiB"))
        elif reason is not None:
            self.refused.append(Broken(entry.name, reason))
        else:
            self.entries.append(entry)

    def _listed(self) -> None:
        """The last act of listing."""
        if len(self.entries) > MAX_FILES:
            raise BadData(f"{self.path}: more than {MAX_FILES:,} pictures; split it")
        self.entries.sort(key=lambda e: e[:3])  # a zip may hold the same member twice
        self.tables.sort(key=lambda table: table[0][:3])


class Folder(Source):
    """The picture files below a folder; links are followed, hidden files left out."""

    kind = "folder"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        refuse_system(path)
        for number, (name, file) in enumerate(_walk(path)):
            if number >= MAX_WALKED:
                raise BadData(
                    f"{path}: more than {MAX_WALKED:,} files; give the folder of pictures"
                )
            try:
                found = file.stat()
            except OSError as error:
                self._take(Entry(name, 0, 0, file), error.strerror or "cannot be read")
                continue
            if stat.S_ISREG(found.st_mode):  # a pipe or device would block
                self._take(Entry(name, found.st_size, found.st_mtime_ns, file), None)
        self._listed()

    def open(self, entry: Entry) -> BinaryIO:
        assert isinstance(entry.where, Path)
        return entry.where.open("rb")


class Zip(Source):
    """The picture members of a zip."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with path.open("rb") as file:
                _check_listing(file, path)
            self._zip = zipfile.ZipFile(path)
        except BadData:
            raise
        except Exception as error:  # zipfile raises much more than BadZipFile on a damaged listing
            raise BadData(f"{path}: not a readable zip: {one_line(error)}") from None
        for info in self._zip.infolist():
            name = info.filename.replace("\\", "/")
            if not name.endswith("/") and not _hidden(name):
                self._take(Entry(name, info.file_size, info.CRC, info), _objection(info, name))
        try:
            self._listed()
            self._refuse_bombs()
        except BadData:
            self.close()
            raise

    def _refuse_bombs(self) -> None:
        """Raise BadData when the members would expand to far
        more than the zip, or share bytes so that they could.
        """
        total = sum(e.size for e in self.entries)
        if total > max(MAX_EXPANSION_FREE, MAX_EXPANSION * self.stored):
            raise BadData(
                f"{self.path}: expands from {self.stored >> 20} MiB to {total >> 20} MiB; refused "
                f"as a zip bomb"
            )
        members = sorted(self._zip.infolist(), key=lambda info: info.header_offset)
        for info, after in pairwise(members):
            if info.header_offset + LOCAL_HEADER + info.compress_size > after.header_offset:
                raise BadData(
                    f"{self.path}: its members {info.filename!r} and {after.filename!r} overlap; "
                    f"refused as a zip bomb"
                )

    @property
    def stored(self) -> int:
        return self.path.stat().st_size

    def open(self, entry: Entry) -> BinaryIO:
        assert isinstance(entry.where, zipfile.ZipInfo)
        with self._zip.open(entry.where) as member:
            return io.BytesIO(
                member.read(entry.size)
            )  # a member that is longer than it says ends here

    def close(self) -> None:
        self._zip.close()


def folder_of(name: str) -> str:
    """The folder that a file lies in, with its slash; empty for none."""
    return name[: name.rfind("/") + 1]


def open_source(path: Path | str) -> Source:
    """The pictures of a folder or zip; raises BadData when it is neither."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise BadData(
            f"{path}: cannot be read ({reason}); give a folder or zip of pictures"
        ) from None
    if stat.S_ISDIR(mode):
        return Folder(path)
    if not stat.S_ISREG(mode):
        raise BadData(f"{path}: neither a folder nor a zip of pictures")
    if PICTURE.search(path.name):
        raise BadData(f"{path}: a single picture; give the folder or zip that it lies in")
    return Zip(path)


def is_system(path: Path) -> bool:
    """Whether a path leads to a system's own tree, or to the root of the file system."""
    try:
        parts = path.resolve().parts
    except (OSError, RuntimeError):  # links in a circle
        return False
    return len(parts) < 2 or (len(path.resolve().anchor) == 1 and parts[1] in SYSTEM)


def refuse_system(path: Path) -> None:
    """Raises BadData for a tree that is the system's own and none of pictures."""
    if is_system(path):
        raise BadData(f"{path}: the system's own files; give a folder or zip of pictures")


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """(relative name, file) of every visible file below
    the folder, through links but never in a circle.
    """
    seen: set[tuple[int, int]] = set()

    def failed(error: OSError) -> None:
        raise BadData(f"{error.filename}: cannot be listed ({error.strerror})")

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=failed):
        found = Path(parent).stat()
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(f for f in folders if not _hidden(f) and not is_system(Path(parent, f)))
        base = Path(parent).relative_to(folder).as_posix()
        for file in files:
            if not _hidden(file):
                yield file if base == "." else f"{base}/{file}", Path(parent, file)


def _hidden(name: str) -> bool:
    """Whether it is a system's own file: .DS_Store, __MACOSX, a hidden folder's."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX"
        for part in name.split("/")
    )


def _objection(info: zipfile.ZipInfo, name: str) -> str | None:
    """Why a member is not read, if so."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its name points outside the zip"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link"
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):  # zipfile unpacks the others without a limit
        return "packed by other means than deflate"
    return None


def _check_listing(file: BinaryIO, path: Path) -> None:
    """Refuse a zip whose central directory is too long, before zipfile reads it into memory."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - 65_557))  # the end record and the longest comment
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < 22:
        raise BadData(f"{path}: neither a folder nor a zip of pictures")
    count, size = struct.unpack_from("<HL", tail, at + 10)
    ends = length - len(tail) + at  # the listing does, where the end record begins
    if (
        at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7"
    ):  # zip64: the true figures are in a record of their own
        (record,) = struct.unpack_from("<Q", tail, at - 12)
        ends -= 76
        file.seek(min(record, length))
        true = file.read(56)
        if len(true) < 56:
            raise BadData(f"{path}: not a readable zip: its zip64 record is missing")
        count, size = struct.unpack_from("<QQ", true, 32)
    if 2 * size > length + LISTING_FREE:
        raise BadData(f"{path}: more listing than content, as no zip of pictures has")
    many = count > MAX_MEMBERS or size > MAX_LISTING
    if many or _members(file, ends - size, size) > MAX_MEMBERS:
        raise BadData(
            f"{path}: lists more than {MAX_MEMBERS:,} files or {MAX_LISTING >> 20} MiB of names; "
            "unpack it and give the folder"
        )


def _members(file: BinaryIO, start: int, size: int) -> int:
    """How many members a long listing has, whatever
    its end record says; counted without keeping any.
    """
    if size <= MAX_MEMBERS * LISTED:  # so many do not fit
        return 0
    found, at = 0, max(0, start)
    while at < start + size and found <= MAX_MEMBERS:
        file.seek(at)
        entry = file.read(LISTED)
        if len(entry) < LISTED:
            break
        at += LISTED + sum(struct.unpack_from("<HHH", entry, 28))
        found += 1
    return found
