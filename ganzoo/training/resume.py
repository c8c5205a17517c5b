"""Going on with a run: what was saved decides, and
nothing begins again unless that is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import config as configuration
from ..config.tree import Config, Tree
from ..contracts import Dataset
from ..errors import BadConfig, BadRun, UsageError, shown
from ..io import checkpoints as checkpoint
from ..io import untrusted_folder as inside
from ..io.checkpoints import MANIFEST, Found
from ..measure import scores_file
from . import average_files
from . import log_file as logbook
from . import run_folder as runs
from .loop import Training

NAMED = 5  # settings in one line


@dataclass
class Opened:
    """A run that is to go on: its configuration, who made its parts, and where it stands."""

    folder: Path
    config: Config
    about: Mapping[str, Any]  # the tables `versions` and `plugins`
    manifest: Mapping[str, Any] | None  # of the newest checkpoint; None: it begins again
    notes: list[str] = field(default_factory=list)
    new_epoch: bool = False  # the data are as many no more, so their order begins anew


def open_run(folder: Path, *, from_scratch: bool = False) -> Opened:
    """Read a run folder; changes nothing.

    The configuration is the one that the newest whole checkpoint was saved with; `run.toml` decides
    only about what may change, and only as ganzoo wrote it. Where it says something else, a note
    does. from_scratch: begin again when there are checkpoints and none can be used.

    Raises BadRun when the path is no run, or when there was a checkpoint and none can be used;
    UsageError for `from_scratch` where one can.
    """
    if not is_run(folder):
        raise BadRun(
            f"no run there (no {runs.RUN_FILE}); a resumed training never starts afresh by itself",
            key="resume",
            value=str(folder),
        )
    inside.check(folder)
    if from_scratch:
        if not checkpoint.is_lost(folder):
            raise UsageError(
                "the run has a whole checkpoint",
                key="from_scratch",
                remedy="leave this out to go on from there",
            )
        config, about = _written(folder)
        return Opened(folder, config, about, None, ["the run begins again, as was asked"])
    with _asking():
        found = checkpoint.peek(folder)
    if found is not None:
        return _saved(folder, *found)
    config, about = _written(folder)
    sign = _sign_of_progress(folder, config)
    if sign:
        raise _lost(f"{folder}: no checkpoint is left, and there was one: {sign}")
    again = "this run was stopped before its first checkpoint, and begins again with its seed"
    return Opened(folder, config, about, None, [again])


def is_run(folder: Path) -> bool:
    """Whether there is a run, if a damaged one; raises OSError for a path that no system has."""
    there = folder.is_dir()
    return there and ((folder / runs.RUN_FILE).is_file() or bool(checkpoint.folders(folder)))


def _lost(message: str, remedy: str = "") -> BadRun:
    """The refusal to begin again by itself."""
    way = f"{remedy}; or begin this run again" if remedy else "to begin this run again"
    return BadRun(message, remedy=way, change={"from_scratch": True})


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Checkpoints of which none can be used end in a line that says how to begin again."""
    try:
        yield
    except BadRun as error:
        raise _lost(error.message, error.remedy) from None


def _sign_of_progress(folder: Path, config: Config) -> str:
    """What shows that this run had a checkpoint once, or nothing."""
    if (folder / "generator.safetensors").exists():
        return "generator.safetensors is written after one"
    if any((aside / MANIFEST).exists() for aside in checkpoint.broken(folder)):
        return "one was set aside as broken"
    goal, every = config.train.images, config.checkpoint.images
    images = logbook.reached(folder)
    first = min(every, goal) if every else goal
    if images >= first:
        return f"{logbook.FILE} has come to {images:,} images, and the first was due at {first:,}"
    return ""


# Which configuration it is.


def _written(folder: Path) -> tuple[Config, Tree]:
    """What run.toml says, where no checkpoint says it; raises BadRun when it was changed or cut."""
    path = folder / runs.RUN_FILE
    tree = configuration.read(path)
    config = _checked(tree, path)
    if not runs.intact(tree):
        raise BadRun(
            f"{path}: damaged or edited (its sum does not match), and there is no checkpoint that "
            "says what it was",
            remedy="begin a new run with this file as its configuration",
        )
    about = tree["run"]
    return config, about if isinstance(about, dict) else {}


def _checked(tree: Mapping[str, Any], path: Path) -> Config:
    """A saved tree as a configuration; a setting that is younger than the run has its default."""
    whole = configuration.merge(configuration.defaults(), configuration.settings(tree))
    return configuration.check(whole, str(path))


def _saved(folder: Path, newest: Path, manifest: Mapping[str, Any]) -> Opened:
    """What the checkpoint was saved with, and notes on a run.toml that says something else."""
    tree = manifest.get("config")
    if not isinstance(tree, dict):
        raise BadRun(f"{newest}: does not say with which configuration it was saved")
    saved = _checked(tree, newest / MANIFEST)
    notes: list[str] = []
    written: Tree = {}
    config = saved
    try:
        written = configuration.read(folder / runs.RUN_FILE)
        other = _checked(written, folder / runs.RUN_FILE)
        if runs.intact(written):  # written when the run was resumed, after the checkpoint
            config = _checked(runs.adopted(saved.tree(), other.tree()), folder / runs.RUN_FILE)
        notes += _differences(tree, written, config, other)
    except BadConfig as error:
        notes.append(_decides(f"{runs.RUN_FILE} is missing or damaged: {error}"))
    about = {**_table(written.get("run")), **_table(manifest)}
    return Opened(folder, config, about, manifest, notes)


def _differences(tree: Tree, written: Tree, config: Config, other: Config) -> list[str]:
    """A note when run.toml lacks settings that were saved, or has others."""
    missing = [
        path
        for path, value in runs.flat(tree).items()
        if value != {} and path not in runs.flat(configuration.settings(written))
    ]
    if missing:
        return [_decides(f"{runs.RUN_FILE} is cut short or emptied: it lacks {_some(missing)}")]
    before, after = runs.flat(config.tree()), runs.flat(other.tree())
    changed = [
        f"{path} = {shown(after.get(path, 'not set'))} (saved: "
        f"{shown(before.get(path, 'not set'))})"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    return [_decides(f"{runs.RUN_FILE} was edited: {_some(changed)}")] if changed else []


def _decides(what: str) -> str:
    return f"{what}; the run goes on as it was saved, and the file is written anew"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _table(tree: object) -> Tree:
    """The tables that say who made the parts of a run."""
    known = tree if isinstance(tree, dict) else {}
    return {key: known[key] for key in ("versions", "plugins") if key in known}


# Its data.


def check_data(opened: Opened, dataset: Dataset, *, accept: bool = False) -> list[str]:
    """Notes on data that are not those the run was trained on; raises BadRun naming the difference
    unless they are accepted. The order of accepted data of another number begins a new epoch.
    """
    if opened.manifest is None:
        return []
    before, now = opened.manifest.get("data"), dataset.fingerprint()
    if not isinstance(before, dict):
        return ["this run did not note its data, so they are not compared"]
    what = difference(before, now)
    if not what:
        return []
    if not accept:
        raise BadRun(
            f"{opened.folder}: the data have changed: {what}",
            remedy="bring the old data back, or insist",
            change={"accept_data": True},
        )
    note = f"the data have changed: {what}; accepted"
    if before.get("count") != now["count"]:
        opened.new_epoch = True
        note += ", and a new epoch begins"
    return [note]


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How two fingerprints of data differ, in words; nothing when they are the same."""
    if before.get("count") != now["count"]:
        return f"{shown(before.get('count'))} samples before, {now['count']} now"
    if before.get("shape") != now["shape"]:
        return f"samples of shape {shown(before.get('shape'))} before, {now['shape']} now"
    if before.get("samples") != now["samples"]:
        return f"as many samples ({now['count']}), but others, or in another order"
    if before.get("labels") != now["labels"]:
        return "the same samples with other labels"
    if before.get("classes") != now["classes"]:
        return "the same samples with other names of classes"
    return ""


# Its state.


def restore(opened: Opened, training: Training, tell: Callable[[str], None]) -> None:
    """Put the training where the run stands, and clean up what a killed process left; the caller
    holds the run's lock. Raises UsageError when its images are more than are wanted.
    """
    if opened.manifest is None:
        checkpoint.start_over(opened.folder)
    else:
        with _asking():
            found = checkpoint.find(opened.folder, training.largest_state)
        if found is None:
            raise _lost(f"{opened.folder}: its checkpoint is gone")
        _load(found, training, opened.new_epoch)
        checkpoint.set_aside(found, tell)
        # A process that was killed between a checkpoint and this leaves one too many.
        checkpoint.prune(opened.folder, training.config.checkpoint.keep, aside=1)
    checkpoint.sweep(opened.folder)
    logbook.forget_after(opened.folder, training.images)
    scores_file.forget_after(opened.folder, training.images)
    average_files.forget_after(opened.folder, training.images)


def _load(found: Found, training: Training, new_epoch: bool) -> None:
    if new_epoch:
        order = found.state["counters"]["order"]
        found.state["counters"]["order"] = {"epoch": int(order["epoch"]) + 1, "position": 0}
    training.load_state_dict(found.state)
    train = training.config.train
    if training.images >= train.images + train.batch_size * train.n_critic:
        raise UsageError(
            f"this run has shown {training.images:,} already",
            section="train",
            key="images",
            value=train.images,
            remedy="give more to extend it",
        )
