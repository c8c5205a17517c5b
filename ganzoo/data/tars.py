"""The members of a tar by their headers, from which nothing is unpacked. Somebody else wrote it:
names are labels only, and no header is read into memory that is longer than a stated size.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from ..errors import one_line, printable

BLOCK = tarfile.BLOCKSIZE
MAX_HEADER = 64 << 10  # bytes of what stands before a member: its long name, its other fields
MAX_NAME = 1024  # bytes of a name
MAX_BLOCKS = 2_000_000  # headers of one tar
MAX_MAP = 1024  # blocks that list where the holes of a file are
LONG_NAME = tarfile.GNUTYPE_LONGNAME
FIELDS = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
BEFORE = (LONG_NAME, *FIELDS, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE)  # stand before a member
RECORD = re.compile(rb"([0-9]{1,6}) ([^=\n]{1,256})=")  # of a PAX header: length, name
WITHOUT_DATA = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)


class Damaged(ValueError):
    """A tar whose members cannot be told from there on."""


class Member(NamedTuple):
    """A file in a tar, where its bytes lie, and why it is not read, if so."""

    name: str
    offset: int
    size: int
    reason: str | None


@dataclass
class _Fields:
    """What headers before a member say of it."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False
    reason: str | None = None


def members(file: BinaryIO, length: int) -> Iterator[Member]:
    """The files of an open tar of that length, in their order; folders are passed over.

    Raises Damaged for a header that is none, for a member that is longer than the tar, and beyond
    MAX_BLOCKS headers.
    """
    at, fields = 0, _Fields()
    for _ in range(MAX_BLOCKS):
        header = _header(file, at)
        if header is None:
            return
        before = header.type in BEFORE
        size = header.size if before or fields.size is None else fields.size
        data = 0 if header.type in WITHOUT_DATA else size
        start = at + BLOCK
        if header.type == tarfile.GNUTYPE_SPARSE:
            start = _after_sparse(file, start)
        at = start + -(-data // BLOCK) * BLOCK
        if at > length:
            name = printable(header.name)
            raise Damaged(f"{name} is cut short: {data:,} bytes of {max(length - start, 0):,}")
        if before:
            _read_fields(fields, file, header.type, size)
        else:
            name = _name(header, fields)
            if header.type != tarfile.DIRTYPE:
                yield Member(name, start, size, _objection(header, fields, name))
            fields = _Fields()
    raise Damaged(f"more than {MAX_BLOCKS:,} headers")


def _header(file: BinaryIO, at: int) -> tarfile.TarInfo | None:
    """The header there; None where the tar ends."""
    file.seek(at)
    block = file.read(BLOCK)
    if not block or not any(block):
        return None
    try:
        found = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise Damaged(f"no header at byte {at:,} ({one_line(error)})") from None
    if found.size < 0:
        raise Damaged(f"a member of less than no bytes at byte {at:,}")
    return found


def _after_sparse(file: BinaryIO, at: int) -> int:
    """Where the data of a sparse member begin: behind further blocks of its map."""
    file.seek(at - BLOCK)
    more = file.read(BLOCK)[482:483]
    for blocks in range(MAX_MAP):
        if more in (b"", b"\0"):
            return at + blocks * BLOCK
        more = file.read(BLOCK)[504:505]
    raise Damaged(f"a file with more holes than {MAX_MAP:,} blocks list")


def _read_fields(fields: _Fields, file: BinaryIO, kind: bytes, size: int) -> None:
    """Learn what a header says of the member that follows."""
    if kind != LONG_NAME and kind not in FIELDS:  # of a link, of all members: nothing that is read
        return
    if size > MAX_HEADER:
        fields.reason = f"a header of {size:,} bytes before it"
        return
    content = file.read(size)
    if kind == LONG_NAME:
        fields.name = content.partition(b"\0")[0]
    else:
        _read_records(fields, content)


def _read_records(fields: _Fields, content: bytes) -> None:
    """The records of a PAX header: a length, a name and a value each."""
    at = 0
    while at < len(content):
        head = RECORD.match(content, at)
        if head is None or not head.end() - at < int(head[1]) <= len(content) - at:
            raise Damaged("fields of a member that cannot be read")
        value = content[head.end() : at + int(head[1]) - 1]
        at += int(head[1])
        if head[2] == b"path":
            fields.name = value
        elif head[2] == b"size":
            if not re.fullmatch(rb"[0-9]{1,18}", value):
                raise Damaged("a member whose size is no number")
            fields.size = int(value)
        elif head[2].startswith(b"GNU.sparse."):
            fields.sparse = True


def _name(header: tarfile.TarInfo, fields: _Fields) -> str:
    if fields.name is None:
        return header.name
    return fields.name[: MAX_NAME + 1].decode("utf-8", "surrogateescape")


def _objection(header: tarfile.TarInfo, fields: _Fields, name: str) -> str | None:
    """Why a member is not read, if so."""
    if fields.reason:
        return fields.reason
    if len(name) > MAX_NAME:
        return f"a name of more than {MAX_NAME:,} letters"
    if header.type in (tarfile.LNKTYPE, tarfile.SYMTYPE):
        return "a link"
    if fields.sparse or header.type == tarfile.GNUTYPE_SPARSE:
        return "a file with holes"
    if header.type not in tarfile.REGULAR_TYPES:
        return "no regular file"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its name points outside the tar"
    return None
