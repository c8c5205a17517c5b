"""Checkpoints: safetensors files and a manifest with their sums, written last as the mark that the checkpoint is whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from . import files, inside
from .errors import BadFile, GanzooError, one_line, shown
from .files import sync_folder, tensor_bytes, write_bytes
from .transfer import Transfer
from .untrusted import parse_json

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 64 << 20  # bytes
FILE = re.compile(r"[a-z_]{1,40}\.safetensors")  # what a manifest may list
State = dict[str, dict[str, Any]]  # group -> names to tensors or plain JSON values


def split(group: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A group's tensors, and its plain values."""
    tensors = {k: v for k, v in group.items() if isinstance(v, Tensor)}
    return tensors, {k: v for k, v in group.items() if k not in tensors}


def copied(state: State, device: torch.device) -> Callable[[], State]:
    """A function that gives the state as it is now, on the host, so that training can go on while it is written."""
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
        sync_folder(folder.parent)
    except OSError as error:
        raise GanzooError(f"{folder}: cannot be written: {error.strerror or error}") from error
    listed, values = {}, {}
    for group, content in state.items():
        tensors, values[group] = split(content)
        if tensors:
            data = tensor_bytes(tensors)
            write_bytes(folder / f"{group}.safetensors", data)
            files.stage("between files")
            listed[f"{group}.safetensors"] = {
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
    return json.dumps(manifest, indent=1, sort_keys=True).encode()


def _digest(manifest: Mapping[str, Any]) -> str:
    """The manifest's own sum, so that a flipped bit in it is found like one in a file."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The checked manifest; raises BadFile when it is missing, damaged or of another format."""
    path = folder / MANIFEST
    try:
        raw = inside.read(path, _run(folder), MANIFEST_LIMIT)
        manifest = parse_json(raw)
        if (
            not isinstance(manifest, dict)
            or not _tables(manifest.get("files"))
            or not _tables(manifest.get("values"))
        ):
            raise BadFile(f"{path}: not a manifest")
    except FileNotFoundError:
        raise BadFile(f"{folder}: no manifest, so it was never finished") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: {one_line(error)}") from None
    if manifest.get("sha256") != _digest(manifest) or raw != _serialised(manifest):
        raise BadFile(f"{path}: damaged (its sum does not match)")
    if manifest.get("format") != FORMAT:
        raise BadFile(f"{path}: format {shown(manifest.get('format'))}, this ganzoo reads {FORMAT}")
    return manifest


def _tables(tree: Any) -> bool:
    """Whether it is a table of tables."""
    return isinstance(tree, dict) and all(isinstance(value, dict) for value in tree.values())


def load(folder: Path, most: int | None = None) -> tuple[State, dict[str, Any]]:
    """(state, manifest) of a checkpoint, every file checked against its sum; raises BadFile saying what is wrong.

    most: bytes that its files may have together; nothing of a larger one is read.
    """
    manifest = read_manifest(folder)
    state: State = {group: dict(values) for group, values in manifest["values"].items()}
    left = most
    for name, expected in manifest["files"].items():
        path = folder / name
        if not FILE.fullmatch(name):
            raise BadFile(
                f"{folder}: the manifest names {shown(name)}, which is no file of a checkpoint"
            )
        data = _content(path, expected.get("bytes"), left)
        left = None if left is None else left - len(data)
        if hashlib.sha256(data).hexdigest() != expected.get("sha256"):
            raise BadFile(f"{path}: damaged (its sum does not match)")
        state.setdefault(path.stem, {}).update(tensors_of(data, path))
    return state, manifest


def _content(path: Path, size: Any, most: int | None) -> bytes:
    """A checkpoint's file, not read unless it has the size that its manifest says and that is no more than `most`."""
    try:
        with inside.open_file(path, _run(path.parent)) as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise BadFile(f"{path}: missing or cut short (not {shown(size)} bytes)")
            if most is not None and found > most:
                raise BadFile(f"{path}: {found >> 20:,} MiB, which no state of this run has")
            return file.read(found)
    except FileNotFoundError:
        raise BadFile(f"{path}: missing or cut short (not {shown(size)} bytes)") from None
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or one_line(error)}") from None


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
    """The checkpoint folders of a run, newest (most images) first."""
    found = inside.folders(run / "checkpoints", run)
    return sorted((p for p in found if p.name.isdigit()), reverse=True)


def newest(
    run: Path, tell: Callable[[str], None], most: int | None = None
) -> tuple[State, dict[str, Any]] | None:
    """The newest checkpoint that is whole; broken ones on the way are set aside, and `tell` is given a line for each.

    most: as for `load`.
    """
    for folder in folders(run):
        try:
            return load(folder, most)
        except BadFile as error:
            aside = folder.with_name(f"{folder.name}.broken")
            shutil.rmtree(aside, ignore_errors=True)
            try:
                folder.rename(aside)
                where = f"; set aside as {aside.name}"
            except OSError:
                where = ""
            tell(f"checkpoint {folder.name} is broken: {error}{where}; taking the one before")
    return None


def sweep(run: Path) -> None:
    """Delete temporary files that a killed training left; only whoever holds the run's lock may."""
    checkpoints = run / "checkpoints"
    for place in (run, run / "samples", checkpoints, *inside.folders(checkpoints, run)):
        for path in inside.listing(place, run):
            if path.name.startswith(".") and path.name.endswith(".tmp"):
                path.unlink(missing_ok=True)


def prune(run: Path, keep: int) -> None:
    """Delete all but the newest `keep` whole checkpoints; unfinished older ones go too, the last whole one never."""
    whole = 0
    for folder in folders(run):
        try:
            read_manifest(folder)
            whole += 1
        except BadFile:
            if whole == 0:
                continue
        if whole > keep:
            (folder / MANIFEST).unlink(
                missing_ok=True
            )  # first the mark: a half-deleted checkpoint must not look whole
            shutil.rmtree(folder, ignore_errors=True)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's state as one flat group of tensors and numbers."""
    state = optimizer.state_dict()
    flat = {
        f"state.{i}.{key}": value
        for i, entry in state["state"].items()
        for key, value in entry.items()
        if value is not None
    }
    settings = [
        {k: v for k, v in group.items() if k != "params"} for group in state["param_groups"]
    ]
    plain = [
        {k: float(v) if isinstance(v, Tensor) else v for k, v in group.items()}
        for group in settings
    ]
    return {**flat, "groups": json.loads(json.dumps(plain))}


FORM = (
    "fused",
    "foreach",
    "capturable",
)  # how an optimizer computes: a matter of the machine, not of the run


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Any]) -> None:
    """Put back what `optimizer_state` took; tuples and learning-rate tensors keep the optimizer's own form.

    Raises BadFile when it is the state of another optimizer.
    """
    try:
        _restore(optimizer, flat)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise BadFile(
            f"the saved state does not fit {type(optimizer).__name__}: {one_line(error)}"
        ) from None


def _restore(optimizer: torch.optim.Optimizer, flat: Mapping[str, Any]) -> None:
    own = optimizer.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for name, value in flat.items():
        if name.startswith("state."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    groups = []
    for mine, saved in zip(own["param_groups"], flat["groups"], strict=True):
        merged = dict(mine)
        for key, value in saved.items():
            if key not in FORM:
                merged[key] = tuple(value) if isinstance(mine.get(key), tuple) else value
        groups.append(merged)
    rates = [group["lr"] for group in optimizer.param_groups]
    before = {parameter: dict(entry) for parameter, entry in optimizer.state.items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(rate, Tensor):
            group["lr"] = rate.fill_(float(group["lr"]))
    for parameter, entry in optimizer.state.items():
        for key, value in entry.items():
            if isinstance(value, Tensor):
                entry[key] = _placed(value, before.get(parameter, {}).get(key), parameter)


def _placed(value: Tensor, held: Any, parameter: Tensor) -> Tensor:
    """A loaded state tensor as the optimizer needs it: in the tensor that was there, which a recorded update goes on using, or
    laid out in memory as its parameter, without which one kernel for all parameters is refused.
    """
    if isinstance(held, Tensor) and held.shape == value.shape:
        return held.copy_(value)
    return (
        torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        if value.shape == parameter.shape
        else value
    )
