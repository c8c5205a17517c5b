"""Writing files so that a reader finds the old content
or the new, never a part: temporary name, fsync, rename.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GanzooError

if TYPE_CHECKING:
    from torch import Tensor


def sync_folder(folder: Path) -> None:
    """Make renames in this folder survive a power cut, where the system opens folders at all."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def stage(name: str) -> None:
    """Called at every point where dying must lose nothing; the crash tests replace it."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write atomically; on an error the old file, if any, is still whole."""
    half = len(content) // 2
    write_chunks(path, (content[:half], content[half:]))


def write_chunks(path: Path, chunks: Iterable[bytes]) -> None:
    """Write atomically what comes in pieces, never
    through a link that stands in the file's place.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    stage(f"before {path.name}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open(
            "xb"
        ) as file:  # never through a link that a stranger's run folder holds
            for chunk in chunks:
                file.write(chunk)
                stage(f"within {path.name}")
            file.flush()
            stage(f"before fsync of {path.name}")
            os.fsync(file.fileno())
        stage(f"before rename of {path.name}")
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise GanzooError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_folder(folder: Path, key: str, value: Path | None = None) -> None:
    """Raises GanzooError, of the argument that gave the folder, when nothing
    can be written to a folder that may not exist yet: better said before the work than after."""
    place: Any = {"key": key, "value": value or folder}
    try:
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    except OSError as error:  # a name that is too long
        raise GanzooError(error.strerror or str(error), **place) from None
    if not there.is_dir():
        raise GanzooError(f"{there} is a file, and a folder is needed there", **place)
    if not os.access(there, os.W_OK | os.X_OK):
        raise GanzooError(f"{there} cannot be written to", **place)


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_bytes(path, text.encode())


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Tensors in the safetensors format, on the CPU and each with memory of its own. Equal ones
    make equal bytes: safetensors itself writes several metadata in a random order.
    """
    from safetensors.torch import (
        save,
    )  # late: a command line that is wrong is refused before torch is loaded

    content = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)
    if not metadata or len(metadata) < 2:
        return content
    (size,) = struct.unpack("<Q", content[:8])
    fields = json.loads(content[8 : 8 + size])
    fields["__metadata__"] = dict(sorted(fields["__metadata__"].items()))
    header = json.dumps(fields, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors begin at a multiple of their largest number
    return b"".join((struct.pack("<Q", len(header)), header, memoryview(content)[8 + size :]))
