"""Decoded pictures on disk: one safetensors file a data
set, written once, checked and memory-mapped ever after.

Its tensors are `samples` [n, c, h, w] uint8, `about` (JSON: class names and notes) and, where the
pictures have them, `labels` [n] int64 and `vectors` [n, d] float32. The header has a fixed length,
so that samples can be written before their number is known, and start at a page of the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import shutil
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock
import platformdirs
import torch
from torch import Tensor

from ..contracts import Dataset
from ..io.files import sync_folder
from ..spec import digest
from .decoding import Pixels

VERSION = "ganzoo-pictures-1"
HEADER = 4096
BLOCK = 1 << 20
BLOCKS = 256  # as many blocks are read to check a store, spread over it: all of one up to 256 MiB
TYPES = {"I64": torch.int64, "F32": torch.float32}
YOUNG = 60.0  # seconds that a temporary file may be unlocked: it was just made


def cache_folder() -> Path:
    """GANZOO_CACHE, else where this system keeps caches:
    ~/.cache/ganzoo, ~/Library/Caches/ganzoo, AppData.
    """
    chosen = os.environ.get("GANZOO_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("ganzoo", appauthor=False)


def store_path(identity: str, options: Sequence[Any]) -> Path:
    """Where pictures of this identity, treated with these options, are or will be."""
    text = json.dumps([VERSION, identity, list(options)])
    return (
        cache_folder()
        / "pictures"
        / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"
    )


def read_store(path: Path) -> Dataset | None:
    """The data set in a store, its samples mapped from
    the file; None if there is no store or it is damaged.
    """
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEADER)
        if struct.unpack("<Q", head[:8])[0] != HEADER - 8:
            return None
        fields = json.loads(head[8:])
        meta, samples = fields["__metadata__"], fields["samples"]
        whole = torch.from_file(str(path), shared=False, size=length, dtype=torch.uint8)[HEADER:]
        end, tail = samples["data_offsets"][1], fields["about"]["data_offsets"]
        checked = (
            meta["format"] == VERSION
            and meta["key"] == path.stem
            and meta["sha256"] == _digest(fields, whole[end:])
        )
        if not checked or meta["crc"] != _spot_check(whole[:end]):
            return None
        about = json.loads(bytes(whole[slice(*tail)].numpy()))
        labels, vectors = (_stored(whole, fields, name) for name in ("labels", "vectors"))
        given = {} if vectors is None else {"vector": vectors}
        content = about.get("digest", "")
        pixels = whole[:end].view(samples["shape"])
        return Dataset(pixels, labels, about["classes"], about["notes"], content, given)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError, struct.error):
        return None


def _stored(whole: Tensor, fields: dict[str, Any], name: str) -> Tensor | None:
    """A tensor of a store that need not be there."""
    if name not in fields:
        return None
    about = fields[name]
    kept = whole[slice(*about["data_offsets"])].clone()
    return kept.view(TYPES[about["dtype"]]).view(about["shape"])


class Writer:
    """A store in the making: `write` pictures, then `commit`;
    without it, leaving the context removes what was written.

    Raises OSError when the cache folder cannot be written or has no room.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], count: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(path.parent)
        if shutil.disk_usage(path.parent).free < count * (math.prod(shape) + 8) + (16 << 20):
            raise OSError(f"no room in {path.parent}")
        self._path, self._shape, self._count = path, shape, 0
        self._temporary = path.with_name(f".{path.stem}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
        self._lock = filelock.FileLock(_lock_of(self._temporary), thread_local=False)
        self._lock.acquire(blocking=False)
        self._file = self._temporary.open("x+b")
        self._file.seek(HEADER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)
        self._lock.release()
        _lock_of(self._temporary).unlink(missing_ok=True)

    def write(self, pixels: Pixels) -> None:
        """Add pictures [k, c, h, w]."""
        self._file.write(pixels.tobytes())
        self._count += len(pixels)

    def commit(
        self,
        labels: Tensor | None,
        classes: Sequence[str],
        notes: Sequence[str],
        vectors: Tensor | None = None,
    ) -> None:
        """Write the rest and give the file its name, durably."""
        end = self._count * math.prod(self._shape)
        self._file.flush()
        size = HEADER + end
        whole = torch.from_file(str(self._temporary), shared=False, size=size, dtype=torch.uint8)
        content = digest(whole[HEADER:].view(self._count, *self._shape))
        names = {"classes": list(classes), "notes": list(notes), "digest": content}
        about = json.dumps(names).encode()
        about += b" " * (-(end + len(about)) % 8)  # labels begin at a multiple of their size
        tail = about
        fields: dict[str, Any] = {
            "samples": {
                "dtype": "U8",
                "shape": [self._count, *self._shape],
                "data_offsets": [0, end],
            },
            "about": {
                "dtype": "U8",
                "shape": [len(about)],
                "data_offsets": [end, end + len(about)],
            },
        }
        for name, kind, tensor in (("labels", "I64", labels), ("vectors", "F32", vectors)):
            if tensor is not None:
                start = end + len(tail)
                tail += tensor.contiguous().numpy().tobytes()
                span = [start, end + len(tail)]
                shape = list(tensor.shape)
                fields[name] = {"dtype": kind, "shape": shape, "data_offsets": span}
        self._file.write(tail)
        self._file.flush()
        size = HEADER + end + len(tail)
        whole = torch.from_file(str(self._temporary), shared=False, size=size, dtype=torch.uint8)[
            HEADER:
        ]
        meta = {"format": VERSION, "key": self._path.stem, "crc": _spot_check(whole[:end])}
        fields["__metadata__"] = meta | {"sha256": _digest(fields, whole[end:])}
        del whole
        self._file.seek(0)
        self._file.write(
            struct.pack("<Q", HEADER - 8) + json.dumps(fields).encode().ljust(HEADER - 8)
        )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()  # Windows renames no open file
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)


def _lock_of(temporary: Path) -> Path:
    """What the writer of a temporary file holds."""
    return temporary.with_suffix(".lock")


def remove_orphans(folder: Path) -> None:
    """Delete temporary files whose writer is gone, and the files that it locked."""
    for left in [*folder.glob(".*.tmp"), *folder.glob(".*.lock")]:
        with contextlib.suppress(OSError, filelock.Timeout):
            if time.time() - left.stat().st_mtime < YOUNG:
                continue
            with filelock.FileLock(_lock_of(left), blocking=False):
                left.with_suffix(".tmp").unlink(missing_ok=True)
            _lock_of(left).unlink(missing_ok=True)


def _digest(fields: dict[str, Any], tail: Tensor) -> str:
    """The checksum of the header's figures and of all that is not samples."""
    figures = {name: value for name, value in fields.items() if name != "__metadata__"}
    last = max(value["data_offsets"][1] for value in figures.values())
    text = json.dumps([figures, last], sort_keys=True).encode()
    return hashlib.sha256(text + tail.numpy().tobytes()).hexdigest()


def _spot_check(samples: Tensor) -> str:
    """The CRC-32 of up to 256 blocks spread over the samples."""
    pixels, length, crc = samples.numpy(), len(samples), 0
    blocks = min(BLOCKS, math.ceil(length / BLOCK))
    for i in range(blocks):
        start = i * BLOCK if blocks < BLOCKS else i * (length - BLOCK) // (BLOCKS - 1)
        crc = zlib.crc32(pixels[start : start + BLOCK].tobytes(), crc)
    return f"{crc:08x}"
