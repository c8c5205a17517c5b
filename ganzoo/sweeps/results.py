"""What became of a sweep's trials: results.jsonl, a line a trial, which is what counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ..engine.health import ALIKE, NARROW
from ..errors import BadFile, GanzooError, plain_line
from ..io import untrusted_folder as inside
from ..io.untrusted_files import parse_json
from ..measure import scores_file
from ..measure.records import Figure, Value
from ..runs.listing import read_run
from ..runs.log import number
from .plan import Trial
from .trial import Outcome

FILE = "results.jsonl"
LARGEST = 1 << 28  # bytes of a file: 10,000 trials have 20 MB
FINAL = ("finished", "pruned", "not finite", "refused")  # what is not tried again

Line = Annotated[str, Field(max_length=2000), AfterValidator(plain_line)]


class Result(BaseModel):
    """One trial.

    status: how it ended: `finished`; `pruned` by successive halving; `not finite`; `refused`, since
        its parts cannot train together; `failed`, which a resumed sweep tries again
    survived: finite to its end, and its samples not alike by the log's last figures
    health: the verdict of the last line of its log
    measures: (images, value) of the sweep's score
    score: the last of them, of a trial that was trained to its end; larger: whether a larger one is
        better; protocol: of the score
    """

    model_config = ConfigDict(extra="forbid")
    trial: int = Field(ge=0)
    setting: int = Field(ge=0)
    seed: int = Field(ge=0)
    values: dict[Line, Any] = Field(max_length=100)
    status: Literal["finished", "pruned", "not finite", "refused", "failed"]
    reason: Line = ""
    survived: bool
    images: int = Field(ge=0, default=0)
    seconds: FiniteFloat = 0.0
    health: Line = ""
    measured: Line = ""
    measures: list[tuple[int, FiniteFloat]] = Field(max_length=10_000, default=[])
    score: FiniteFloat | None = None
    larger: bool = False
    protocol: dict[Line, Value] = Field(max_length=64, default={})


def result_of(trial: Trial, outcome: Outcome, folder: Path, score: str, pruned: bool) -> Result:
    """What a trial's folder says when it has ended; score: METRIC.FIGURE, or nothing for any."""
    status = "pruned" if pruned and outcome.status == "stopped" else outcome.status
    about: dict[str, Any] = {
        "trial": trial.number,
        "setting": trial.setting,
        "seed": trial.seed,
        "values": trial.values,
        "status": "failed" if status == "stopped" else status,
        "reason": outcome.reason[:2000] if status not in ("finished", "pruned") else "",
        "survived": False,
    }
    if not folder.is_dir():
        return Result(**about)
    run = read_run(folder)
    spread, variety = (number(run.line.get(name)) for name in ("spread", "variety"))
    alike = (spread is not None and spread < NARROW) or (variety is not None and variety < ALIKE)
    about["survived"] = status in ("finished", "pruned") and not alike
    about |= {"images": run.images, "health": run.verdict}
    about["seconds"] = number(run.line.get("seconds")) or 0.0
    try:
        measured, figures, protocol = measures(folder, score)
    except GanzooError as error:  # a damaged file costs one trial, and not the sweep
        broken = {"status": "failed", "survived": False, "reason": str(error)[:2000]}
        return Result(**about | broken)
    if figures:
        values = [(images, figure.value) for images, figure in figures]
        last = figures[-1][1]
        about |= {
            "measured": measured,
            "measures": values,
            "score": last.value if status == "finished" else None,
            "larger": last.larger,
            "protocol": protocol,
        }
    return Result(**about)


def measures(folder: Path, score: str) -> tuple[str, list[tuple[int, Figure]], dict[str, Any]]:
    """The name of the score, all that was measured of it, by images, and the last's protocol."""
    found: dict[int, Figure] = {}
    protocol: dict[str, Any] = {}
    for each in scores_file.read(folder):
        for name, figure in each.figures.items():
            score = score or f"{each.metric}.{name}"
            if score == f"{each.metric}.{name}":
                found[each.images], protocol = figure, each.protocol
    return score, sorted(found.items()), protocol


def append(folder: Path, result: Result) -> None:
    """Add a line; raises GanzooError where that cannot be written."""
    path = folder / FILE
    try:
        inside.append(path, folder, result.model_dump_json().encode() + b"\n")
    except OSError as error:
        raise GanzooError(f"{path}: cannot be written: {error.strerror}") from error


def read(folder: Path) -> list[Result]:
    """The results of a sweep, the last of each trial, in the order in which they ended; a last line
    that a crash cut is left out. Raises BadFile naming a line that is none.
    """
    path = folder / FILE
    try:
        content = inside.read(path, folder, LARGEST)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    found: dict[int, Result] = {}
    for place, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            result = Result.model_validate(parse_json(line))
        except (ValueError, ValidationError):
            raise BadFile(f"{path}: line {place} is no result", remedy="delete that line") from None
        found.pop(result.trial, None)
        found[result.trial] = result
    return [*found.values()]


def mend(folder: Path) -> None:
    """Take away a last line that a crash cut, before another is added to it."""
    path = folder / FILE
    if not path.exists():
        return
    content = inside.read(path, folder, LARGEST)
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        from ..io.files import write_bytes

        write_bytes(inside.way(path, folder), whole)
