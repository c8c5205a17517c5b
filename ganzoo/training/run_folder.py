"""Run folders: made, locked, described, found again."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import tomlkit

from .. import config as configuration
from ..components.catalogue import install_line
from ..errors import SHOWN, BadRun, GanzooError, one_line, plain_line, shown
from ..io import untrusted_folder as inside
from ..io.files import check_folder, write_text
from ..io.untrusted_files import open_regular, read_limited

if TYPE_CHECKING:
    from ..assembly.pipeline import Pipeline
from ..config.tree import Config, Tree

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RUN_FILE = "run.toml"
# What may differ when a run is resumed: how long it goes, where
# it runs, what is kept. Anything else would make another run.
MAY_CHANGE = {
    "train.images",
    "train.device",
    "train.engine",
    "train.precision",
    "train.shard",
    "train.deterministic",
    "train.on_nan",
    "data.resident",
    "data.budget",
    "data.root",
    "checkpoint",
    "log",
    "measure",
    "tracker",
}


def check_root(root: Path) -> None:
    """Raises BadRun when no run folder can be made under
    `root`: better said before the data are read than after.
    """
    check_folder(root, "out")


def new_folder(root: Path, config: Config) -> Path:
    """Make the next numbered run folder under `root`; raises BadRun when it cannot be made."""
    words = [Path(config.data.name).stem, config.gen.name, config.loss.name, *config.reg]
    # Windows takes no other characters, and no dot at the end.
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words))[:80].rstrip(".")
    try:
        root.mkdir(parents=True, exist_ok=True)
        taken = [int(match[1]) for p in root.iterdir() if (match := re.match(r"(\d{4,})-", p.name))]
        number = max(taken, default=0) + 1
        while True:
            folder = root / f"{number:04d}-{label}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:  # another training took the number
                number += 1
    except OSError as error:
        message = f"cannot be written: {error.strerror or one_line(error)}"
        raise BadRun(message, key="out", value=root) from None


class Lock:
    """Held while a training writes to a run folder. The system
    lets go of it when the process dies, so it is never stale.

    left: the process that held it before and ended without letting go, if one did.
    """

    def __init__(self, folder: Path) -> None:
        inside.check(folder)
        path = folder / ".lock"
        self._owner = folder / ".lock-owner"  # beside it: Windows lets nobody read a locked file
        self._lock = filelock.FileLock(path, thread_local=False)
        try:
            os.close(inside.open_to_change(path, folder))  # what is locked is emptied first
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise BadRun(
                f"{folder}: another training (process {self._holder()}) is writing to this run; "
                f"wait for it or stop it"
            ) from None
        except OSError as error:
            raise BadRun(f"{folder}: cannot be written: {error.strerror}") from None
        # Whoever leaves in order takes it away: one that is left is of a process that could not.
        self.left = self._holder() if self._owner.exists() else ""
        write_text(self._owner, str(os.getpid()))

    def _holder(self) -> str:
        """The process that has the lock, as it wrote."""
        try:
            text = read_limited(self._owner, 20, links=False).decode("ascii")
        except (OSError, ValueError):
            text = ""
        return text if text.isdigit() else "unknown"

    def release(self) -> None:
        """Let others write."""
        self._owner.unlink(missing_ok=True)
        self._lock.release()


def held(folder: Path) -> bool:
    """Whether a training is writing to this run; asks without changing anything in the folder.

    Only where an owner's note was left, since asking takes a lock that is shared for a moment.
    """
    if not (folder / ".lock-owner").exists():
        return False
    try:
        handle = open_regular(inside.way(folder / ".lock", folder), links=False)
    except FileNotFoundError:
        return False
    try:
        return not _free(handle)
    finally:
        os.close(handle)


def _free(handle: int) -> bool:
    """Whether nobody holds the lock of an open file: by flock, or on Windows, as filelock does, by
    its first byte.
    """
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        msvcrt: Any = importlib.import_module("msvcrt")
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
    except OSError:
        return False
    return True


def ended_badly(process: str, pipeline: Pipeline) -> str:
    """The line on a process that ended in the middle of a
    training, which nobody could tell while it happened.
    """
    ways = "it was killed, the machine went down, or a part called os._exit"
    others = [
        f"{section} of {owner}"
        for section, owner in pipeline.owners.items()
        if not owner.startswith("ganzoo:")
    ]
    whose = f"; the parts that are not ganzoo's own: {', '.join(others)}" if others else ""
    return f"process {process} ended in the middle of this run: {ways}{whose}"


def describe(folder: Path, pipeline: Pipeline, command: str) -> None:
    """Write run.toml: the complete configuration
    and its sum, with versions and the command line.
    """
    content = {name: section for name, section in pipeline.config.tree().items() if section}
    document = tomlkit.document()
    about = {"command": command, "sha256": _sum(tomllib.loads(tomlkit.dumps(content)))}
    tables = {"versions": dict(pipeline.versions), "plugins": dict(pipeline.owners)}
    document.add("run", about | tables)
    for name, section in content.items():
        document.add(name, section)
    write_text(folder / RUN_FILE, tomlkit.dumps(document))


def intact(tree: Mapping[str, Any]) -> bool:
    """Whether the settings of a run file are those that were written: none edited, none lost."""
    about = tree.get("run")
    try:
        return isinstance(about, dict) and about.get("sha256") == _sum(configuration.settings(tree))
    except ValueError:  # an integer of more digits than Python writes
        return False


def _sum(tree: Tree) -> str:
    """SHA-256 of settings in their order, which is that of the parts."""
    return hashlib.sha256(json.dumps(tree, default=str).encode()).hexdigest()


def adopted(saved: Tree, written: Tree) -> Tree:
    """The saved settings, with what may change as it was written since."""
    for path in MAY_CHANGE:
        section, _, key = path.partition(".")
        if key:
            saved[section][key] = written[section][key]
        else:
            saved[section] = written[section]
    return saved


def check_same(old: Config, new: Config, folder: Path) -> None:
    """Raises BadRun naming the first setting that makes the resumed run another run."""
    for family in [name for name in configuration.FAMILIES if name not in MAY_CHANGE]:
        had, has = (", ".join(sorted(getattr(config, family))) or "none" for config in (old, new))
        if had != has:
            message = f"{family} was {had} and would be {has}; a resumed run keeps its parts"
            raise BadRun(message, key="resume", value=folder)
    before, after = flat(old.tree()), flat(new.tree())
    for key in sorted(
        before.keys() | after.keys(), key=lambda key: (not key.endswith(".name"), key)
    ):
        if before.get(key) != after.get(key) and not any(
            key == may or key.startswith(may + ".") for may in MAY_CHANGE
        ):
            old_value, new_value = (
                shown(before.get(key, "not set")),
                shown(after.get(key, "not set")),
            )
            raise BadRun(
                f"{key} was {old_value} and would be {new_value}; a resumed run keeps its parts "
                f"and "
                "settings (only its length, where it runs, and what is kept and logged may change)",
                key="resume",
                value=folder,
            )


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a tree by their dotted paths;
    a section without any is there as an empty one.
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, path + ".") or {path: {}}
        else:
            found[path] = list(value) if isinstance(value, tuple) else value
    return found


def check_installed(about: Mapping[str, Any], plugins: set[str], folder: Path) -> None:
    """Raises BadRun naming the plugin that a part of this run
    came from and that is gone; `plugins` are those loaded.
    """
    versions = dict(_table(about, "versions"))
    for section, owner in _table(about, "plugins"):
        if owner not in plugins:
            distribution = owner.partition(":")[0]
            was = f"{distribution} {versions.get(distribution, '')}".strip()
            raise BadRun(
                f"{section} came from {was}, which is not loaded: {install_line(distribution)}",
                key="resume",
                value=folder,
            )


def check_versions(about: Mapping[str, Any], pipeline: Pipeline) -> list[str]:
    """Lines on plugins whose version or owner differs from the
    run's; raises BadRun when a part now comes from another plugin.
    """
    lines = []
    for section, owner in _table(about, "plugins"):
        now = pipeline.owners.get(section)
        if now is not None and now != owner:
            raise BadRun(
                f"{section} came from {owner} and would now come from {now}: "
                f"{install_line(owner.partition(':')[0])}"
            )
    for distribution, version in _table(about, "versions"):
        now = pipeline.versions.get(distribution)
        if now is not None and now != version:
            lines.append(
                f"{distribution} was {version} when this run began and is {now} now; results may "
                f"differ"
            )
    return lines


def _table(about: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """What a run file says in a table of texts; anything else in its place says nothing."""
    table = about.get(name)
    pairs = table.items() if isinstance(table, dict) else ()
    return [(key, plain_line(value)[:SHOWN]) for key, value in pairs if isinstance(value, str)]


def find_generator(path: Path, name: str = "generator.safetensors") -> Path:
    """The generator file of a run folder, or another of its files of that name, or the file itself;
    raises GanzooError when there is none.
    """
    try:
        found = path
        if path.is_dir():
            found = inside.way(path / name, path)
        if found.is_file():
            return found
        begun = path.is_dir() and (path / RUN_FILE).exists()
    except OSError as error:  # a name that is too long
        raise GanzooError(f"{path}: {error.strerror}") from None
    if begun and (path / "generator.safetensors").exists():
        raise GanzooError(f"{path}: this run has no {name}: its game has no such net")
    if begun:
        raise GanzooError(
            f"{path}: this run has saved no generator yet",
            remedy="one is written with each checkpoint: let its training go on",
        )
    raise GanzooError(f"{path}: no run or generator file there")
