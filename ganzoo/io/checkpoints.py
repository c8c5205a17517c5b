"""Checkpoints: safetensors files and a manifest with their
sums, written last as the mark that the checkpoint is whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from ..errors import BadFile, BadRun, GanzooError, one_line, shown
from . import files
from . import untrusted_folder as inside
from .files import sync_folder, tensor_bytes, write_bytes
from .transfer import Transfer
from .untrusted_files import parse_json

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 64 << 20  # bytes
FILE = re.compile(r"[a-z_]{1,40}\.safetensors")  # what a manifest may list
# The weights alone; `generator.safetensors` is the run's file that says how to build its net.
CALLED = {"generator": "net_gen"}  # group -> file
GROUP = {file: group for group, file in CALLED.items()}
State = dict[str, dict[str, Any]]  # group -> names to tensors or plain JSON values
T = TypeVar("T")
BLOCK = 1 << 20  # bytes read at once
BROKEN = ".broken"  # what a checkpoint that was set aside is called after its number
# What a file system says of a file that is missing or no regular file. Any other error is about
# reading (a disk, a network, a permission) and says nothing about what is in the file.
STATES = {None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
PAUSES = (0.2, 1.0)  # seconds before a file that could not be read is tried again


class Unfinished(BadFile):
    """A checkpoint without its manifest: it was being written when the process died."""


class Newer(BadFile):
    """A checkpoint in a format that this ganzoo does not know yet."""


@dataclass
class Found:
    """The newest whole checkpoint of a run, and the
    newer ones that are not, with what ails them.
    """

    folder: Path
    state: State
    manifest: dict[str, Any]
    broken: list[tuple[Path, BadFile]] = field(default_factory=list)


def split(group: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A group's tensors, and its plain values."""
    tensors = {k: v for k, v in group.items() if isinstance(v, Tensor)}
    return tensors, {k: v for k, v in group.items() if k not in tensors}


def copied(state: State, device: torch.device) -> Callable[[], State]:
    """A function that gives the state as it is now, on the
    host, so that training can go on while it is written.
    """
    tensors = {
        (group, name): value
        for group, content in state.items()
        for name, value in content.items()
        if isinstance(value, Tensor)
    }
    transfer = Transfer(tensors, device)

    def fetch() -> State:
        found = transfer.fetch()
        return {
            group: {name: found.get((group, name), value) for name, value in content.items()}
            for group, content in state.items()
        }

    return fetch


def save(folder: Path, state: State, about: Mapping[str, Any]) -> None:
    """Write a checkpoint folder; it counts as one only when its manifest is there."""
    try:
        inside.make_folder(folder, _run(folder))
        (folder / MANIFEST).unlink(missing_ok=True)
        sync_folder(_run(folder))
        sync_folder(folder.parent)
    except OSError as error:
        raise GanzooError(f"{folder}: cannot be written: {error.strerror or error}") from error
    listed, values = {}, {}
    for group, content in state.items():
        tensors, values[group] = split(content)
        if tensors:
            data = tensor_bytes(tensors)
            name = f"{CALLED.get(group, group)}.safetensors"
            write_bytes(folder / name, data)
            files.stage("between files")
            listed[name] = {
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
            }
    manifest = {"format": FORMAT, "files": listed, "values": values, **about}
    manifest["sha256"] = _digest(manifest)
    files.stage("before the manifest")
    write_bytes(folder / MANIFEST, _serialised(manifest))
    files.stage("after the manifest")


def _run(folder: Path) -> Path:
    """The run that a checkpoint's folder lies in."""
    return folder.parent.parent


def _serialised(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1).encode()  # in its own order, which regularizers have


def _digest(manifest: Mapping[str, Any]) -> str:
    """The manifest's own sum, so that a flipped bit in it is found like one in a file."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _patiently(read: Callable[[], bytes], path: Path) -> bytes:
    """What `read` gives, tried again after a pause when the system fails to read; raises OSError
    when there is no such file, GanzooError when reading fails for good.
    """
    for pause in PAUSES:
        try:
            return read()
        except OSError as error:
            if error.errno in STATES:
                raise
            time.sleep(pause)
    try:
        return read()
    except OSError as error:
        if error.errno in STATES:
            raise
        raise GanzooError(
            f"{path}: cannot be read: {error.strerror or one_line(error)}; nothing was changed",
            remedy="try again when the disk answers",
        ) from None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The checked manifest; raises Unfinished when it is missing, Newer when it is of a format of
    later versions, another BadFile when it is damaged, GanzooError when it cannot be read.
    """
    path = folder / MANIFEST
    try:
        raw = _patiently(lambda: inside.read(path, _run(folder), MANIFEST_LIMIT), path)
        manifest = parse_json(raw)
        if (
            not isinstance(manifest, dict)
            or not _tables(manifest.get("files"))
            or not _tables(manifest.get("values"))
        ):
            raise BadFile(f"{path}: not a manifest")
    except FileNotFoundError:
        raise Unfinished(f"{folder}: no manifest, so it was never finished") from None
    except ValueError as error:
        raise BadFile(f"{path}: damaged: {one_line(error)}") from None
    except OSError as error:
        raise BadFile(f"{path}: {one_line(error)}") from None
    if manifest.get("sha256") != _digest(manifest) or raw != _serialised(manifest):
        raise BadFile(f"{path}: damaged (its sum does not match)")
    found = manifest.get("format")
    if found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        kind = Newer if newer else BadFile
        raise kind(f"{path}: format {shown(found)}, this ganzoo reads {FORMAT}")
    return manifest


def _tables(tree: Any) -> bool:
    """Whether it is a table of tables."""
    return isinstance(tree, dict) and all(isinstance(value, dict) for value in tree.values())


def load(folder: Path, most: int | None = None) -> tuple[State, dict[str, Any]]:
    """(state, manifest) of a checkpoint, every file checked
    against its sum; raises BadFile saying what is wrong.

    most: bytes that its files may have together; nothing of a larger one is read.
    """
    manifest = read_manifest(folder)
    state: State = {group: dict(values) for group, values in manifest["values"].items()}
    left = most
    for name, expected in manifest["files"].items():
        path = folder / _known(folder, name)
        size = expected.get("bytes")
        try:
            data = _patiently(partial(_content, path, size, left), path)
        except FileNotFoundError:
            raise BadFile(f"{path}: missing or cut short (not {shown(size)} bytes)") from None
        except OSError as error:
            raise BadFile(f"{path}: {error.strerror or one_line(error)}") from None
        left = None if left is None else left - len(data)
        if hashlib.sha256(data).hexdigest() != expected.get("sha256"):
            raise BadFile(f"{path}: damaged (its sum does not match)")
        state.setdefault(GROUP.get(path.stem, path.stem), {}).update(tensors_of(data, path))
    return state, manifest


def _content(path: Path, size: object, most: int | None) -> bytes:
    """A checkpoint's file, not read unless it has the size
    that its manifest says and that is no more than `most`.
    """
    with inside.open_file(path, _run(path.parent)) as file:
        found = os.fstat(file.fileno()).st_size
        if found != size:
            raise BadFile(f"{path}: missing or cut short (not {shown(size)} bytes)")
        if most is not None and found > most:
            raise BadFile(f"{path}: {found >> 20:,} MiB, which no state of this run has")
        return file.read(found)


def tensors_of(data: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises BadFile naming the path."""
    try:
        return load_tensors(data)
    except (
        SafetensorError,
        ValueError,
        KeyError,
        AssertionError,
    ) as error:  # KeyError: a type that torch has not
        raise BadFile(f"{path}: damaged or cut short: {one_line(error)}") from None


def folders(run: Path) -> list[Path]:
    """The checkpoint folders of a run, newest (most images) first; raises OSError when the system
    fails to list them, which is not the same as none.
    """
    found = [(int(path.name), path) for path in _below(run) if path.name.isdecimal()]
    return [path for _, path in sorted(found, reverse=True)]


def broken(run: Path) -> list[Path]:
    """The checkpoints of a run that were set aside, newest first."""
    found = [path for path in _below(run) if path.suffix == BROKEN and path.stem.isdecimal()]
    return sorted(found, key=lambda path: int(path.stem), reverse=True)


def _below(run: Path) -> list[Path]:
    return inside.folders(run / "checkpoints", run)


def peek(run: Path) -> tuple[Path, dict[str, Any]] | None:
    """Folder and manifest of the newest checkpoint whose files are there in their sizes; what is in
    them is not read. None and errors as for `find`.
    """
    found = _newest(run, _looks_whole)
    return found and found[:2]


def find(run: Path, most: int | None = None) -> Found | None:
    """The newest whole checkpoint of a run; None when none was ever finished. Changes nothing.

    most: as for `load`. Raises BadRun when there are some and none of them can be used, or when one
    is of a newer format; GanzooError when a file cannot be read, which says nothing about what is
    in it.
    """
    found = _newest(run, lambda folder: load(folder, most))
    return found and Found(found[0], *found[1], found[2])


def is_lost(run: Path) -> bool:
    """Whether no checkpoint of the run can be used, however much of them has to be read."""
    try:
        return _newest(run, _verify) is None
    except BadRun:
        return True


def _newest(
    run: Path, read: Callable[[Path], T]
) -> tuple[Path, T, list[tuple[Path, BadFile]]] | None:
    """The newest checkpoint that can be read, what
    was read, and the newer ones with their faults.
    """
    broken: list[tuple[Path, BadFile]] = []
    for folder in folders(run):
        try:
            return folder, read(folder), broken
        except Newer as error:
            raise BadRun(
                f"{run}: checkpoint {folder.name} was written by a newer ganzoo: {error}",
                remedy="go on with that version of ganzoo",
            ) from None
        except BadFile as error:
            broken.append((folder, error))
    damaged = [error for _, error in broken if not isinstance(error, Unfinished)]
    if damaged:
        which = "its checkpoint is" if len(broken) == 1 else f"all {len(broken)} checkpoints are"
        raise BadRun(f"{run}: {which} broken: {damaged[0]}")
    return None


def _looks_whole(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose files have their sizes; raises BadFile otherwise."""
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = inside.way(folder / _known(folder, name), _run(folder))
        if not path.is_file() or path.stat().st_size != expected.get("bytes"):
            raise BadFile(
                f"{path}: missing or cut short (not {shown(expected.get('bytes'))} bytes)"
            )
    return manifest


def _verify(folder: Path) -> None:
    """Raises BadFile unless every file of a checkpoint
    is the one that was written; reads a block at a time.
    """
    for name, expected in _looks_whole(folder)["files"].items():
        with inside.open_file(folder / name, _run(folder)) as file:
            found = hashlib.sha256()
            for block in iter(partial(file.read, BLOCK), b""):
                found.update(block)
            if found.hexdigest() != expected.get("sha256"):
                raise BadFile(f"{folder / name}: damaged (its sum does not match)")


def _known(folder: Path, name: str) -> str:
    """The name of a checkpoint's file; raises BadFile for any other, which could lead anywhere."""
    if not FILE.fullmatch(name):
        raise BadFile(
            f"{folder}: the manifest names {shown(name)}, which is no file of a checkpoint"
        )
    return name


def newest(
    run: Path, tell: Callable[[str], None], most: int | None = None
) -> tuple[State, dict[str, Any]] | None:
    """State and manifest of the newest whole checkpoint, as `find` has it; broken ones on the way
    are set aside, and `tell` is given a line for each.
    """
    found = find(run, most)
    if found is None:
        return None
    set_aside(found, tell)
    return found.state, found.manifest


def set_aside(found: Found, tell: Callable[[str], None]) -> None:
    """Rename the broken checkpoints that are newer than the one found; one of them is kept."""
    for folder, error in found.broken:
        aside = _rename(folder)
        where = f"; set aside as {aside.name}" if aside else ""
        tell(f"checkpoint {folder.name} is broken: {error}{where}; taking the one before")
    forget_broken(found.folder.parent.parent, keep=1)


def start_over(run: Path) -> None:
    """Set aside every checkpoint, so that the run can begin again; the newest is kept."""
    for folder in folders(run):
        if _rename(folder) is None:
            raise BadRun(f"{folder}: cannot be renamed, and would be taken for the new run's")
    forget_broken(run, keep=1)


def _rename(folder: Path) -> Path | None:
    """The folder under its name for broken ones, or None when it cannot be renamed."""
    aside = folder.with_name(folder.name + BROKEN)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        return folder.rename(aside)
    except OSError:
        return None


def forget_broken(run: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints that were set aside."""
    for folder in broken(run)[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(run: Path) -> None:
    """Delete temporary files that a killed training left; only whoever holds the run's lock may."""
    checkpoints = run / "checkpoints"
    for place in (run, run / "samples", checkpoints, *inside.folders(checkpoints, run)):
        for path in inside.listing(place, run):
            if path.name.startswith(".") and path.name.endswith(".tmp"):
                path.unlink(missing_ok=True)


def prune(run: Path, keep: int, aside: int = 0) -> None:
    """Delete all but the newest `keep` whole checkpoints, and what is broken or unfinished once a
    newer one is whole; the last whole one never, nor one that cannot be read just now.

    aside: how many of those that were set aside as broken are left
    """
    whole = 0
    for folder in folders(run):
        try:
            read_manifest(folder)
            whole += 1
            needed = whole <= keep
        except BadFile:
            needed = whole == 0
        except GanzooError:
            needed = True
        if not needed:
            # First the mark: a half-deleted checkpoint must not look whole.
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
    if whole:
        forget_broken(run, keep=aside)
