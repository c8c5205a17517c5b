"""What a page says of a run, in plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import config as configuration
from ..components.registry import Registry
from ..doctor import rules
from ..doctor.case import open_case
from ..doctor.finding import Finding
from ..errors import GanzooError, UsageError, shown
from ..io import untrusted_folder as inside
from ..io.activity import doing
from ..measure import scores_file
from ..measure.records import text_of
from ..runs import log as run_log
from ..runs.listing import Run, tell_apart, whole_run
from ..training.run_folder import RUN_FILE
from . import curves, drawn

MOST = 20  # runs of a page
EVENTS = 50  # of a run's log, the last ones


@dataclass(frozen=True)
class Commands:
    """Words of whoever runs commands: that which trains a run anew, and that with what a finding
    changes.
    """

    repeat: Callable[[Path], str]
    remedy: Callable[[Path, Finding], str]


def of_runs(
    folders: Sequence[Path], registry: Registry, commands: Commands
) -> list[dict[str, Any]]:
    """What is said of each run. Raises UsageError for none, for too many or for one that is given
    twice; GanzooError for what is no run, or a broken one.
    """
    if not 0 < len(folders) <= MOST:
        raise UsageError(f"a page has one to {MOST} runs", key="runs", value=len(folders))
    places = [folder.resolve() for folder in folders]
    twice = next((f for i, f in enumerate(folders) if places[i] in places[:i]), None)
    if twice is not None:
        raise UsageError(f"{twice} is given twice")
    runs = [whole_run(folder) for folder in folders]
    tell_apart(runs)
    return [_of_run(run, registry, commands, len(runs)) for run in runs]


def _of_run(run: Run, registry: Registry, commands: Commands, runs: int) -> dict[str, Any]:
    doing("reading the log")
    lines = [*run_log.log_lines(run.folder)]
    measured = [run_log.figures(each) for each in lines if _measured(each)]
    log = curves.of_log(measured, runs)
    scores = scores_file.read(run.folder)
    command, versions = _made_by(run.folder)
    return {
        **run.values(),
        "seed": run.settings.get("train.seed"),
        "settings": {key: _text(value) for key, value in run.settings.items() if value != {}},
        "log": log,
        "figures": curves.summary(log),
        "scores": curves.of_scores(scores),
        "measured": [*_last(scores).values()],
        "events": [_event(each) for each in lines if "event" in each][-EVENTS:],
        "health": _health(run, registry, commands),
        "drawn": drawn.of_run(run, registry, runs),
        "command": command,
        "versions": [*versions.items()],
        "repeat": commands.repeat(run.folder),
    }


def _measured(line: Mapping[str, Any]) -> bool:
    return "event" not in line and run_log.images_of(line) > 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else shown(value)


def _event(line: Mapping[str, Any]) -> dict[str, Any]:
    more = {k: _text(v) for k, v in line.items() if k not in ("images", "event", "updates")}
    said = ", ".join(f"{key} {value}" for key, value in more.items())
    return {"images": run_log.images_of(line), "name": _text(line["event"]), "more": said}


def _last(scores: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """The last of each figure, with its floor and its protocol."""
    return {
        f"{score.metric}.{name}": {
            "name": f"{score.metric}.{name}",
            "value": figure.value,
            "spread": figure.spread,
            "floor": figure.floor,
            "larger": figure.larger,
            "images": score.images,
            "protocol": text_of(score.protocol),
        }
        for score in scores
        for name, figure in score.figures.items()
    }


def _health(run: Run, registry: Registry, commands: Commands) -> dict[str, Any]:
    """The verdict, what the doctor finds, or why it cannot judge."""
    about: dict[str, Any] = {"verdict": run.health, "findings": [], "why": ""}
    try:
        found = rules.of_log(open_case(run.folder, registry))
    except GanzooError as error:
        return about | {"why": str(error)}
    findings = [{**each.values(), "command": commands.remedy(run.folder, each)} for each in found]
    return about | {"findings": findings, "rules": len(rules.LOG)}


def _made_by(folder: Path) -> tuple[str, dict[str, str]]:
    """The command and the versions that a run began with, as far as its file says them."""
    content = inside.read(folder / RUN_FILE, folder, configuration.SIZE)
    about = configuration.parse(content, str(folder / RUN_FILE)).get("run")
    if not isinstance(about, dict):
        return "", {}
    versions = about.get("versions")
    known = versions if isinstance(versions, dict) else {}
    return _text(about.get("command", "")), {key: _text(value) for key, value in known.items()}
