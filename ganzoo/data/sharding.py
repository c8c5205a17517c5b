"""A folder or zip of pictures written as shards: tars of samples, with an index beside them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import BadData, GanzooError
from ..io.activity import doing
from ..io.files import check_folder, write_chunks, write_text
from .pairs import layout_of
from .scanning import Progress, Scan, reason, survey
from .shards import INDEX, SUFFIX, Index, Listed
from .source import Source, open_source
from .tars import BLOCK

SEED = (
    0  # of the order in which samples are dealt out, so that each shard holds some of all classes
)


@dataclass(frozen=True)
class Sharded:
    """What was written, and notes for the person to read."""

    index: Index
    notes: Sequence[str]


@dataclass(frozen=True)
class _Set:
    """Pictures, and the end of their members' names before that of the file: "a." of pairs."""

    source: Source
    found: Scan
    end: str


def write_shards(
    path: Path | str, out: Path | str, *, size: int = 1 << 30, progress: Progress | None = None
) -> Sharded:
    """The pictures of a folder or zip as shards of at most about `size` bytes each, as their files
    are, in an order drawn once; then index.json, with the shards' names, sizes, counts and SHA-256.

    Class folders and tables become labels (KEY.cls) and vectors (KEY.json), folders A and B of
    equal names pairs (KEY.a.png, KEY.b.png). Pictures that cannot be decoded are left out. Raises
    BadData for what `load_pictures` refuses and for sets that are no pairs; GanzooError where the
    shards cannot be written, or there are some already.
    """
    out = Path(out)
    check_folder(out, "out")
    there = sorted(out.glob(f"*{SUFFIX}")) if out.is_dir() else []
    if there:
        raise GanzooError(
            f"holds {there[0].name} already", key="out", value=out, remedy="give an empty folder"
        )
    with contextlib.ExitStack() as stack:
        sets = _sets(path, stack, progress)
        needed = sum(_bytes(sets, place) for place in range(len(sets[0].found)))
        out.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(out).free < needed:
            message = f"no room for {needed / 2**30:.2f} GiB"
            raise GanzooError(message, key="out", value=out, remedy="give a folder with room")
        doing(f"writing {len(sets[0].found):,} samples as shards")
        labelled = next((each.found for each in reversed(sets) if each.found.classes), None)
        listed = []
        for number, samples in enumerate(_dealt(sets, size)):
            listed.append(_write(out / f"{number:06d}{SUFFIX}", sets, labelled, samples))
    index = Index(shards=listed, classes=list(labelled.classes) if labelled else [])
    write_text(out / INDEX, index.model_dump_json(indent=1) + "\n")
    broken = [each for one in sets for each in one.found.broken]
    return Sharded(index, [f"left out: {each.name} ({each.reason})" for each in broken])


def _sets(
    path: Path | str, stack: contextlib.ExitStack, progress: Progress | None
) -> Sequence[_Set]:
    """The pictures, or those of A and B, each decoded once to find those that are broken."""
    layout = layout_of(path, "auto")
    if layout and not layout.paired:
        raise BadData(f"{path}: two sets that are no pairs; write shards of each by itself")
    sets = []
    for folder, end in ((layout.a, "a."), (layout.b, "b.")) if layout else (("", ""),):
        source = stack.enter_context(open_source(path))
        source.keep_within(folder, paired=bool(layout))
        found = survey(source, verify=True, progress=progress)
        for broken in found.broken[:1] if layout else ():
            raise BadData(f"{path}: {folder}/{broken.name}: {broken.reason}; it has a partner")
        sets.append(_Set(source, found, end))
    return sets


def _dealt(sets: Sequence[_Set], size: int) -> Iterator[list[tuple[int, int]]]:
    """(number, place) of the samples of each shard."""
    order = torch.randperm(
        len(sets[0].found), generator=torch.Generator().manual_seed(SEED)
    ).tolist()
    shard: list[tuple[int, int]] = []
    taken = 0
    for number, place in enumerate(order):
        needed = _bytes(sets, place)
        if shard and taken + needed > size:
            yield shard
            shard, taken = [], 0
        shard.append((number, place))
        taken += needed
    yield shard


def _bytes(sets: Sequence[_Set], place: int) -> int:
    """Bytes that a sample takes in a tar, about: its files, their headers, what fills them up."""
    files = sum(each.found.entries[place].size + 2 * BLOCK for each in sets)
    beside = sum((each.found.labels, each.found.vectors) != (None, None) for each in sets)
    return files + 2 * BLOCK * beside


def _write(
    path: Path, sets: Sequence[_Set], labelled: Scan | None, samples: Sequence[tuple[int, int]]
) -> Listed:
    """Write a shard; what an index says of it."""
    size, digest = 0, hashlib.sha256()

    def counted() -> Iterator[bytes]:
        nonlocal size
        for number, place in samples:
            for name, content in _members(f"{number:08d}", sets, labelled, place):
                for piece in _member(name, content):
                    size += len(piece)
                    digest.update(piece)
                    yield piece
        size += 2 * BLOCK
        digest.update(bytes(2 * BLOCK))
        yield bytes(2 * BLOCK)

    write_chunks(path, counted())
    return Listed(name=path.name, size=size, count=len(samples), sha256=digest.hexdigest())


def _members(
    key: str, sets: Sequence[_Set], labelled: Scan | None, place: int
) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files of a sample."""
    for each in sets:
        entry = each.found.entries[place]
        try:
            with each.source.open(entry) as file:
                content = file.read()
        except Exception as error:  # it was read before: the disk fails, or somebody changed it
            raise OSError(None, f"{entry.name} cannot be read: {reason(error)}") from None
        yield f"{key}.{each.end}{entry.name.rpartition('.')[2].lower()}", content
    if labelled is not None and labelled.labels is not None:
        yield f"{key}.cls", str(labelled.labels[place]).encode()
    vectors = [each.found.vectors for each in sets if each.found.vectors is not None]
    if vectors:
        yield f"{key}.json", json.dumps({"vector": vectors[-1][place].tolist()}).encode()


def _member(name: str, content: bytes) -> Iterator[bytes]:
    """A file as a tar holds it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    yield info.tobuf(tarfile.USTAR_FORMAT)
    yield content
    yield bytes(-len(content) % BLOCK)
