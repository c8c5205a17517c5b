"""One trial of a sweep: an ordinary run in a folder, begun, or gone on with where it stands."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..config.tree import Tree
from ..errors import GanzooError, UsageError, one_line

Status = Literal["finished", "stopped", "not finite", "refused", "failed"]
PATIENCE = 60.0  # seconds that a trial waits for whoever trains it still, and is about to leave


@dataclass(frozen=True)
class Task:
    """What a trial is: plain values, so that another process or machine can be told.

    number: of the trial. folder: of its run. config: its whole configuration. meant: (kind, name,
    distribution) of names that several have. seconds: of training, after which it ends; 0 for none
    """

    number: int
    folder: str
    config: Tree
    meant: list[list[str]] = field(default_factory=list)
    seconds: float = 0.0

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    finished: in order. stopped: it was asked to, and can go on. not finite: a loss or weight was.
    refused: parts or settings that cannot train together. failed: anything else, which may be the
    machine's fault
    """

    number: int
    status: Status
    reason: str = ""


def work(task: Task, stopped: Callable[[], bool]) -> Outcome:
    """Train a trial to its end; never raises what a setting or the machine may be to blame for.

    stopped: asked after every update whether to save and leave
    """
    import torch

    from ..training.loop import Interrupted
    from ..training.meters import NotFinite

    try:
        _train(task, stopped)
    except Interrupted as error:
        return Outcome(task.number, "stopped", str(error))
    except NotFinite as error:
        return Outcome(task.number, "not finite", str(error))
    except UsageError as error:
        return Outcome(task.number, "refused", str(error))
    except (GanzooError, OSError, torch.OutOfMemoryError) as error:
        return Outcome(task.number, "failed", one_line(error))
    except Exception as error:  # a part's own fault must not end the sweep
        return Outcome(task.number, "failed", f"unexpected {one_line(error)}")
    return Outcome(task.number, "finished")


def _train(task: Task, stopped: Callable[[], bool]) -> None:
    from ..training import run_folder as runs

    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback(_lock(folder, stopped).release)
        _run(task, folder, runs, stopped)


def _lock(folder: Path, stopped: Callable[[], bool]) -> Any:
    """The run's lock; who has it still is about to leave: the sweep that began it was killed."""
    from ..training import run_folder as runs

    until = time.monotonic() + PATIENCE
    while True:
        try:
            return runs.Lock(folder)
        except GanzooError:
            if stopped() or time.monotonic() > until or not runs.held(folder):
                raise
            time.sleep(0.2)


def _run(task: Task, folder: Path, runs: Any, stopped: Callable[[], bool]) -> None:
    from .. import config as configuration
    from ..assembly import memory
    from ..assembly.assembling import assemble
    from ..components.loading import zoo
    from ..engine.randomness import forked
    from ..training import resume as resuming
    from ..training import rollback as recovery
    from ..training.loop import Training

    registry = zoo().registry
    opened = resuming.open_run(folder) if resuming.is_run(folder) else None
    meant = {(kind, name): owner for kind, name, owner in task.meant}
    config = configuration.check(task.config) if opened is None else opened.config
    if opened is not None:
        meant = configuration.recorded(config.tree(), opened.about.get("plugins"))
    pipeline = assemble(config, registry.meaning(meant))
    if opened is not None:
        resuming.check_data(opened, pipeline.dataset)
    memory.check_fits(pipeline)

    def tick(images: int) -> None:
        if stopped():
            training.stop = int(signal.SIGTERM)
        elif task.seconds and training.seconds >= task.seconds:
            training.enough = f"its {task.seconds:g} seconds of training are over"

    with forked(pipeline.device):
        training = Training(pipeline, folder, (), tick)
        if opened is not None:
            resuming.restore(opened, training, lambda line: None)
        runs.describe(folder, pipeline, "ganzoo.sweep")
        recovery.run(training, lambda line: None)
