"""A sweep from its plan to its report: trials begun, weighed, recorded, gone on with."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import config as configuration
from ..assembly.assembling import assemble
from ..components.loading import zoo
from ..components.registry import Registry
from ..config.tree import Tree
from ..errors import BadRun, GanzooError, UsageError, nearest, one_line
from ..io import untrusted_folder as inside
from ..io.files import check_folder
from ..library import layered
from ..training import run_folder
from . import plan as planning
from . import report as reporting
from . import results as recording
from . import settings as setting_up
from .executors import Executor, Local
from .halving import Halving, optuna
from .plan import Plan, Trial
from .results import Result
from .spaces import Space
from .trial import Outcome

LOGS = "logs"
POLL = 0.1  # seconds between two looks at what trials do
LOOK = {
    "device": "cpu",
    "engine": "eager",
    "precision": "fp32",
}  # of the base, which is not trained


@dataclass
class Sweep:
    """A sweep, as far as it came.

    report: what its results say. stopped: it was asked to stop, and can go on
    """

    folder: Path
    results: list[Result]
    report: dict[str, Any] = field(repr=False)
    stopped: bool = False


def sweep(
    config: Mapping[str, Any],
    tries: Mapping[str, Any],
    folder: str | Path,
    *,
    alone: bool = False,
    draws: int = 0,
    seeds: int = 1,
    seconds: float = 0.0,
    score: str = "",
    halving: int = 0,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Sweep:
    """Train a configuration, given as for `train`, under other settings and seeds, each equally
    long: `sweep({"data": {"name": "ring"}}, {"gen.width": [32, 64]}, "widths", seeds=3)`.

    tries: option -> values in a list, `{"log": [low, high]}` (or `uniform`, `int`), or `{"times":
    [factors]}`; `"optim.gen.lr,optim.disc.lr"` are two options of one value. Every combination is
    tried; with `draws` so many at random; `alone`, each value by itself. seconds: of training for
    each trial, which ends sooner where `train.images` are shown. score: METRIC.FIGURE. halving:
    weighs trials in their midst; one in so many goes on. A folder that holds this sweep already is
    gone on with.

    Raises UsageError for settings that no training can have, before the first trial.
    """
    registry = zoo().registry
    base, meant = layered(config, registry)
    plan, _ = prepare(
        base,
        meant,
        planning.tries_of(tries),
        registry,
        design=design_of(alone, draws),
        draws=draws,
        seeds=seeds,
        seconds=seconds,
        score=score,
        halving=halving,
    )
    place = Path(folder)
    if (place / planning.FILE).exists():
        if not planning.same(planning.read(place), plan):
            raise BadRun("holds another sweep", key="folder", value=str(place))
    else:
        begin(place, plan)
    return run(place, jobs=jobs, executor=executor)


def design_of(alone: bool, draws: int) -> str:
    """How settings are made; raises UsageError for two ways at once."""
    if alone and draws:
        raise UsageError("each value is tried by itself, and none is drawn", key="alone")
    if draws:
        return setting_up.RANDOM
    return setting_up.ALONE if alone else setting_up.EVERY


def prepare(
    base: Tree,
    meant: configuration.Meant,
    tries: Mapping[str, Space],
    registry: Registry,
    where: Mapping[str, Space] | None = None,
    **about: Any,
) -> tuple[Plan, list[str]]:
    """The plan of a sweep, each of its settings checked, and lines on what was left out of it;
    raises UsageError, or what the base itself is refused for.

    where: tried if the base has the option. about: further fields of Plan
    """
    planning.check_keys({**tries, **(where or {})})
    tree = configuration.check(base).tree()
    # Whatever number it is: names are checked before the base is built, which takes seconds.
    ones: dict[str, float] = dict.fromkeys(setting_up.paths(tries), 1)
    Plan(tree, dict(tries), meant, numbers=ones, **about).check(registry)
    looked = configuration.merge(tree, {"train": LOOK})
    pipeline = assemble(configuration.check(looked), registry.meaning(meant))
    whole = pipeline.config.tree()
    chosen, notes = dict(tries), []
    for keys, space in (where or {}).items():
        missing = [k for k in setting_up.keys_of(keys) if setting_up.value_at(whole, k) is None]
        if missing:
            notes.append(f"{missing[0]} is not tried: the base has no such option")
        else:
            chosen[keys] = space
    plan = Plan(tree, chosen, meant, numbers=setting_up.numbers_of(chosen, whole), **about)
    _check_score(plan, [*pipeline.metrics])
    if chosen.keys() != tries.keys():
        plan.check(registry)
    return plan, notes


def _check_score(plan: Plan, metrics: list[str]) -> None:
    """Raises UsageError for a score that no metric gives, and for halving without any."""
    metric = plan.score.partition(".")[0]
    if plan.score and metric not in metrics:
        raise UsageError(
            f"names no figure of a metric of the base{nearest(metric, metrics)} "
            f"({', '.join(metrics) or 'there is none'})",
            key="score",
            value=plan.score,
        )
    if not plan.halving:
        return
    if plan.halving < 2 or plan.seconds or not metrics:
        needs = "takes a factor of 2 or more, a budget in images alone, and a metric"
        raise UsageError(f"successive halving {needs}", key="halving", value=plan.halving)
    optuna()


def begin(folder: Path, plan: Plan) -> None:
    """Make a sweep's folder; raises BadRun for one that holds a sweep already, or what is left of
    one: its trials would be gone on with as if they were this one's.
    """
    check_folder(folder, "out")
    for name in (planning.FILE, recording.FILE, planning.TRIALS):
        if (folder / name).exists():
            what = "a sweep already" if name == planning.FILE else f"{name} of another sweep"
            raise BadRun(f"holds {what}", key="out", value=str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRun(f"{folder}: cannot be written: {error.strerror or one_line(error)}") from None
    planning.write(folder, plan)


def run(
    folder: Path,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[Result, Plan], None] = lambda result, plan: None,
) -> Sweep:
    """Train what is not trained yet of the sweep in a folder, and write its report.

    jobs: trials at once, as processes here; executor: another place for them. stop: asked often
    whether to stop; trials are saved then. told: hears every result
    """
    plan = planning.read(folder)
    with _locked(folder):
        recording.mend(folder)
        before = recording.read(folder)
        done = {result.trial for result in before if result.status in recording.FINAL}
        todo = [trial for trial in plan.trials if trial.number not in done]
        for place in (LOGS, *(plan.folder_of(trial.number) for trial in todo)):
            inside.way(folder / place, folder)  # a stranger's folder may hold links elsewhere
        devices = () if ":" in str(plan.base["train"]["device"]) else None
        where = executor or Local(min(jobs, max(len(todo), 1)), folder / LOGS, devices)
        course = _Course(folder, plan, where, told)
        with contextlib.closing(where):
            course.replay([result for result in before if result.trial in done])
            course.train(todo, stop)
        results = recording.read(folder)
        report = reporting.write(folder, plan, results)
    return Sweep(folder, results, report, course.stopped)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises BadRun while another process runs this sweep."""
    lock = run_folder.Lock(folder)
    try:
        yield
    finally:
        lock.release()


class _Course:
    """One go at a sweep."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        executor: Executor,
        told: Callable[[Result, Plan], None],
    ) -> None:
        self.folder, self.plan, self.executor, self.told = folder, plan, executor, told
        self.stopped = False
        self.running: dict[int, Trial] = {}
        self.pruned: set[int] = set()
        self.halving: Halving | None = None
        self._weighed: dict[int, int] = {}  # images of the last score that was weighed

    def replay(self, results: list[Result]) -> None:
        """What was weighed before."""
        measured = [result for result in results if result.measures]
        if self.plan.halving and measured:
            self._weigher(measured[0].larger).replay(measured)

    def train(self, todo: list[Trial], stop: Callable[[], bool]) -> None:
        """Until all have ended, or the sweep is to stop and its trials are saved."""
        waiting = todo[::-1]
        while (waiting and not self.stopped) or self.running:
            while waiting and self.executor.free and not self.stopped:
                self._start(waiting.pop())
            for outcome in self.executor.ended():
                self._end(outcome)
            if self.plan.halving:
                for number in self.running:
                    self._weigh(number)
            if stop() and not self.stopped:
                self.stopped = True
                for number in self.running:
                    self.executor.stop(number)
            time.sleep(POLL)

    def _start(self, trial: Trial) -> None:
        self.running[trial.number] = trial
        self.executor.start(self.plan.task(trial, self.folder))

    def _end(self, outcome: Outcome) -> None:
        trial = self.running.pop(outcome.number)
        pruned = outcome.number in self.pruned
        if outcome.status == "stopped" and not pruned:
            return  # it goes on when the sweep does
        place = self.folder / self.plan.folder_of(trial.number)
        result = recording.result_of(trial, outcome, place, self.plan.score, pruned)
        recording.append(self.folder, result)
        if self.halving is not None:
            self.halving.end(result)
        self.told(result, self.plan)

    def _weigh(self, number: int) -> None:
        """Stop a trial that is not among the best at its rung."""
        place = self.folder / self.plan.folder_of(number)
        if number in self.pruned or not place.is_dir():
            return
        try:
            _, found, _ = recording.measures(place, self.plan.score)
        except GanzooError:  # said when the trial has ended
            return
        for images, figure in found:
            if images <= self._weighed.get(number, 0) or images >= self.plan.images:
                continue
            self._weighed[number] = images
            if self._weigher(figure.larger).weigh(number, images, figure.value):
                self.pruned.add(number)
                self.executor.stop(number)
                return

    def _weigher(self, larger: bool) -> Halving:
        if self.halving is None:
            self.halving = Halving(self.plan.halving, self.plan.rung, larger)
        return self.halving


def read(folder: Path) -> Sweep:
    """A sweep as it stands, with its report written anew; trains nothing."""
    plan = planning.read(folder)
    results = recording.read(folder)
    return Sweep(folder, results, reporting.write(folder, plan, results))
