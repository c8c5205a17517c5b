"""The runs in a folder, a stranger's among them: what each is, how far it came, how it does."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import config as configuration
from ..config.counts import parse_count
from ..errors import GanzooError, UsageError, nearest, one_line, plain_line
from ..io import untrusted_folder as inside
from ..measure import scores_file
from ..training.log_file import ENDED
from ..training.log_file import FILE as LOG
from ..training.run_folder import RUN_FILE, flat, held
from . import log as run_log

State = Literal["running", "finished", "stopped", "broken"]


@dataclass
class Run:
    """One run folder.

    trouble: of a broken one, what is broken. images, goal: shown, and to be shown. line: the last
    one of the log that has figures. scores: the last of each, as `METRIC.FIGURE`. changed: when
    anything was last written, in seconds since 1970. settings: by their dotted names. above: how
    many folders above are a part of its name, as `tell_apart` found.
    """

    folder: Path
    state: State = "broken"
    trouble: str = ""
    images: int = 0
    goal: int = 0
    line: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    changed: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    above: int = 0

    @property
    def name(self) -> str:
        """The folder's name."""
        return plain_line("/".join(self.folder.resolve().parts[-1 - self.above :]))

    @property
    def health(self) -> str:
        """The verdict of the last line of the log."""
        return plain_line(str(self.line.get("health", "")))

    @property
    def verdict(self) -> str:
        """The verdict without its figure."""
        return self.health.partition(": ")[0].partition(" (")[0]

    @property
    def data(self) -> str:
        """The data set, or the name of the folder or zip."""
        return plain_line(Path(str(self.settings.get("data.name", ""))).name)

    @property
    def parts(self) -> dict[str, Any]:
        """The names of its nets and its loss, and the names of its regularizers."""
        found: dict[str, Any] = {
            section: plain_line(str(self.settings.get(f"{section}.name", "")))
            for section in ("gen", "disc", "loss")
        }
        return found | {"reg": self.of_family("reg")}

    def of_family(self, family: str) -> list[str]:
        """The names of the parts of a section that may hold several."""
        names = [path.partition(".")[2] for path in self.settings if path.startswith(f"{family}.")]
        return list(dict.fromkeys(plain_line(name.partition(".")[0]) for name in names))

    def age(self, now: float | None = None) -> float:
        """Seconds since anything was last written."""
        return max((time.time() if now is None else now) - self.changed, 0.0)

    def values(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "state": self.state,
            "trouble": self.trouble,
            "images": self.images,
            "goal": self.goal,
            "data": self.data,
            "parts": self.parts,
            "health": self.health,
            "scores": self.scores,
            "age": round(self.age()),
            "settings": self.settings,
        }


def is_run(folder: Path) -> bool:
    """Whether a folder is a run, if a damaged one."""
    if os.path.lexists(folder / RUN_FILE):
        return True
    return (folder / LOG).is_file() and (folder / "checkpoints").is_dir()


def find(folder: Path) -> list[Path]:
    """The folder, if it is a run, else the runs that lie in it, by name; links are none.

    Raises GanzooError when there is no such folder.
    """
    try:
        if is_run(folder):
            return [folder]
        return [path for path in inside.folders(folder, folder) if is_run(path)]
    except OSError as error:
        raise GanzooError(f"{folder}: {error.strerror or one_line(error)}") from None


def read_run(folder: Path) -> Run:
    """What a run is and how far it came; a broken one says what is broken."""
    run = Run(folder)
    try:
        run.changed = _changed(folder)
        tree = configuration.parse(
            inside.read(folder / RUN_FILE, folder, configuration.SIZE), str(folder / RUN_FILE)
        )
        whole = configuration.merge(configuration.defaults(), configuration.settings(tree))
        config = configuration.check(whole, str(folder / RUN_FILE))
        run.settings, run.goal = flat(config.tree()), config.train.images
        lines = run_log.last_lines(folder)
        run.images = max((run_log.images_of(line) for line in lines), default=0)
        measured = [line for line in lines if "event" not in line]
        run.line = measured[-1] if measured else {}
        run.scores = _scores(folder)
        ended = [run_log.images_of(line) for line in lines if line.get("event") == ENDED]
        run.state = _state(run, run.images in ended)
    except GanzooError as error:
        run.trouble = _below(error, folder)
    except OSError as error:
        run.trouble = f"{RUN_FILE}: {error.strerror or one_line(error)}"
    return run


def _below(error: GanzooError, folder: Path) -> str:
    """An error without the folder, which its row names already."""
    return str(error).replace(f"{plain_line(str(folder))}{os.sep}", "")


def _state(run: Run, early: bool) -> State:
    """early: it ended in order before its goal."""
    if held(run.folder):
        return "running"
    return "finished" if early or run.images >= run.goal else "stopped"


def _changed(folder: Path) -> float:
    """When the log, or else the configuration, was last written."""
    for name in (LOG, RUN_FILE):
        try:
            return (folder / name).lstat().st_mtime
        except FileNotFoundError:
            continue
    return folder.lstat().st_mtime


def _scores(folder: Path) -> dict[str, float]:
    """The last of each, under whatever protocol."""
    found: dict[str, float] = {}
    for score in scores_file.read(folder):
        found |= {f"{score.metric}.{name}": each.value for name, each in score.figures.items()}
    return found


# Sorted and chosen.

COLUMNS = ("name", "state", "images", "data", "health", "age")


def value_of(run: Run, key: str) -> Any:
    """What a run has under a key: a column, a score, or a setting by its dotted name. A part that
    it has, named as `reg.NAME`, is true.
    """
    if key in COLUMNS:
        return run.age() if key == "age" else getattr(run, "verdict" if key == "health" else key)
    if key in run.scores:
        return run.scores[key]
    if key in run.settings and run.settings[key] != {}:
        return run.settings[key]
    family, _, name = key.partition(".")
    return (name in run.of_family(family)) if family in configuration.FAMILIES else None


def check_key(runs: Sequence[Run], key: str, argument: str) -> None:
    """Raises UsageError for a key that no run has."""
    known = {*COLUMNS}
    for run in runs:
        known |= {*run.scores, *run.settings}
    family = key.partition(".")[0]
    if runs and key not in known and (family not in configuration.FAMILIES or "." not in key):
        near = nearest(key, known)
        also = "" if near else f" (columns: {', '.join(COLUMNS)})"
        raise UsageError(
            f"no run has this column, score or setting{near}{also}", key=argument, value=key
        )


def order(runs: Sequence[Run], key: str) -> list[Run]:
    """Sorted by a key, numbers before words, those without it last. Raises UsageError."""
    check_key(runs, key, "sort")

    def rank(run: Run) -> tuple[int, float, str]:
        value = value_of(run, key)
        if isinstance(value, int | float):
            return 0, float(value), ""
        return (2, 0.0, "") if value is None else (1, 0.0, str(value))

    return sorted(runs, key=rank)


def choose(runs: Sequence[Run], text: str) -> list[Run]:
    """Those for which `KEY=VALUE` holds. Raises UsageError."""
    key, equals, wanted = text.partition("=")
    key, wanted = key.strip(), wanted.strip()
    if not equals or not key:
        raise UsageError("write KEY=VALUE, as in loss.name=hinge", key="filter", value=text)
    check_key(runs, key, "filter")
    return [run for run in runs if _equal(value_of(run, key), wanted)]


def _equal(value: Any, wanted: str) -> bool:
    """Whether a value is what a person wrote: 100000 is 100k, 0.1 is 0.10, true is true."""
    if isinstance(value, bool):
        return wanted.lower() == str(value).lower()
    if isinstance(value, int | float):
        try:
            return float(value) == float(parse_count(wanted))
        except (ValueError, OverflowError):
            pass
        try:
            return float(value) == float(wanted)
        except (ValueError, OverflowError):
            return False
    return value is not None and str(value) == wanted


def tell_apart(runs: Sequence[Run]) -> None:
    """Give runs of one name those of the folders above, as far up as they differ."""
    named: dict[str, list[Run]] = {}
    for run in runs:
        named.setdefault(run.name, []).append(run)
    for alike in named.values():
        places = {run.folder.resolve() for run in alike}
        for above in range(max(len(place.parts) for place in places)):
            for run in alike:
                run.above = above
            if len({run.name for run in alike}) == len(places):
                break


def whole_run(folder: Path) -> Run:
    """As read_run; raises GanzooError for a folder that is no run, or a broken one."""
    if not is_run(folder):
        raise GanzooError(f"{folder}: no run there (no {RUN_FILE})")
    run = read_run(folder)
    if run.state == "broken":
        raise GanzooError(f"{folder}: {run.trouble}")
    return run
