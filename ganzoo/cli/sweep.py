"""`ganzoo sweep`: many trainings under other settings and seeds, and a report of them."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from . import train
from ._complete import settings
from ._echo import echo
from ._patience import patience
from ._shared import Real, Whole, counted, loaded, print_json, table
from ._words import FLAGS, MANY

if TYPE_CHECKING:
    from ..components.registry import Registry
    from ..sweeps.executors import Executor
    from ..sweeps.plan import Plan
    from ..sweeps.results import Result
    from ..sweeps.running import Sweep
    from ..sweeps.spaces import Space

# What train takes beside a pipeline: one run's own.
NO_PART = ("out", "resume", "from_scratch", "accept_data", "save_recipe", "dry_run", "as_json")

OWN = ("tries", "preset", "draws", "alone", "seeds", "seconds", "score", "halving")


@click.command(
    "sweep",
    short_help="Train under many settings and seeds, and say what mattered.",
    params=[option for option in train.command.params if option.name not in NO_PART],
)
@click.option(
    "--try",
    "tries",
    metavar="SECTION.KEY=VALUES",
    multiple=True,
    shell_complete=settings,
    help="gen.width=32,64, optim.gen.lr=log(1e-4,1e-2); also uniform(a,b), int(a,b), "
    "times(0.1,10). KEY,KEY= gives two options one value; loss=NAME,NAME tries parts.",
)
@click.option("--preset", metavar="NAME", help="lucic-wide, lucic-narrow, robustness.")
@click.option("--draws", type=Whole(min=1), help="Settings to draw at random; else every one.")
@click.option("--alone", is_flag=True, help="Each value by itself, the rest as it is.")
@click.option("--seeds", type=Whole(min=1), help="Trials of each setting; 1 by default.")
@click.option(
    "--seconds",
    type=Real(min=0.0, min_open=True),
    help="Of training for each trial, at most; --images is the budget otherwise.",
)
@click.option("--score", metavar="METRIC.FIGURE", help="What trials are compared by.")
@click.option(
    "--halving",
    type=Whole(min=2),
    metavar="N",
    help="In its midst, only the best one in N of the trials goes on (ASHA).",
)
@click.option("--jobs", type=Whole(min=1), default=1, show_default=True, help="Trials at once.")
@click.option(
    "--executor",
    "executor_name",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Processes here, or actors of a Ray cluster.",
)
@click.option(
    "--gpus",
    type=Real(min=0.0),
    metavar="SHARE",
    help="GPUs of a trial on Ray: 0.25 for four trials on one; 1 by default.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The sweep's folder; sweep by default.",
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with a sweep."
)
@click.option(
    "--report",
    "report_of",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Print the report of a sweep as it stands.",
)
@click.option("--dry-run", is_flag=True, help="List the trials and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    out: Path | None,
    resume: Path | None,
    report_of: Path | None,
    jobs: int,
    executor_name: str,
    gpus: float | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Train one pipeline, named as for `ganzoo train`, under other settings and seeds, each equally
    long, and say which survive, which is best, and what mattered.

    \b
    ganzoo sweep --try gen.width=32,64 --seeds 3 --images 20k --metric swd
    ganzoo sweep --try "optim.gen.lr=log(1e-4,1e-2)" --draws 20 --jobs 2
    """
    with patience():
        from ..sweeps import plan as planning
        from ..sweeps import running
    if resume is not None or report_of is not None:
        _refuse_more(given, out, resume, report_of)
        folder = resume or report_of
        assert folder is not None
        if report_of is not None:
            _show(running.read(report_of), as_json)
            return 0
        plan = planning.read(folder)
    else:
        folder = out or Path("sweep")
        if not dry_run:
            running.check_new(folder)
        plan = _plan(given)
    if dry_run:
        _list(plan, as_json)
        return 0
    executor = _executor(executor_name, jobs, gpus)
    if resume is None:
        running.begin(folder, plan)
    return _run(folder, jobs, executor, as_json)


def _executor(name: str, jobs: int, gpus: float | None) -> Executor | None:
    """Where trials are trained, if not here."""
    if name == "local":
        if gpus is not None:
            raise UsageError("--gpus: goes with --executor ray; here each trial has one by turns")
        return None
    from ..sweeps.on_ray import OnRay

    with patience("asking for the cluster"):
        return OnRay(jobs, gpus)


def _refuse_more(
    given: Mapping[str, Any], out: Path | None, resume: Path | None, report_of: Path | None
) -> None:
    """Raises UsageError for what a sweep that there is cannot take any more."""
    flag = "--resume" if resume is not None else "--report"
    if out or (resume and report_of) or any(given.values()):
        raise UsageError(f"{flag}: a sweep keeps what was asked for; leave the rest out")


def _plan(given: dict[str, Any]) -> Plan:
    """What the command line asks for."""
    from ..sweeps import preset as presets
    from ..sweeps import running
    from ._layers import configure, words
    from ._report import data_progress, say

    own = {key: given.pop(key) for key in OWN}
    registry = loaded().registry
    layers = configure(registry, given, words=words())
    chosen = presets.preset(own["preset"]) if own["preset"] else None
    tries: dict[str, Space] = dict(chosen.tries) if chosen else {}
    tries |= _tries(own["tries"], registry)
    if not tries:
        raise UsageError("--try: give something to try, as in --try gen.width=32,64, or a --preset")
    where = {key: space for key, space in (chosen.where if chosen else {}).items()
             if key not in tries}  # fmt: skip
    draws = own["draws"] or (chosen.draws if chosen and not own["alone"] else 0)
    alone = own["alone"] or bool(chosen and chosen.alone and not own["draws"])
    with patience("opening the data"), data_progress():
        plan, notes = running.prepare(
            layers.tree,
            layers.meant,
            tries,
            registry,
            where,
            design=running.design_of(alone, draws),
            draws=draws,
            seeds=own["seeds"] or (chosen.seeds if chosen else 1),
            seconds=own["seconds"] or 0.0,
            score=own["score"] or "",
            halving=own["halving"] or 0,
        )
    for note in [*layers.notes, *notes]:
        say(f"note: {note}")
    return plan


def _tries(texts: Sequence[str], registry: Registry) -> dict[str, Space]:
    """What --try asks for; the words of each are kept for what is wrong with it."""
    from ..sweeps import spaces
    from ._layers import words

    found: dict[str, Space] = {}
    for text in texts:
        typed, equals, values = text.partition("=")
        names = [_path(part.strip()) for part in typed.split(",")]
        if not equals or not all(names):
            raise UsageError(f"--try {text}: write SECTION.KEY=VALUES, as in gen.width=32,64")
        for name in names:
            words().give(name, f"--try {text}")
        key = ",".join(names)
        if key in found:
            raise UsageError(f"--try {text}: {typed} is tried twice")
        found[key] = spaces.parse(values, key)
    return found


def _path(name: str) -> str:
    """The option that a flag of train stands for, else the option as it is written."""
    flag = name.replace("-", "_")
    return FLAGS.get(flag, name) if flag not in MANY else flag


def _list(plan: Plan, as_json: bool) -> None:
    """The trials, for --dry-run."""
    from ..sweeps.page import tried

    if as_json:
        about = {"design": plan.design, "images": plan.images, "seconds": plan.seconds}
        trials = [
            {**trial._asdict(), "folder": plan.folder_of(trial.number)} for trial in plan.trials
        ]
        print_json({**about, "trials": trials})
        return
    rows = [
        [plan.folder_of(trial.number), str(trial.seed), tried(trial.values)]
        for trial in plan.trials
    ]
    table("", ["trial", "seed", "setting"], rows)


def _run(folder: Path, jobs: int, executor: Executor | None, as_json: bool) -> int:
    """Train what is not trained yet, and show the report; returns the exit code."""
    from ..sweeps import running
    from ._report import say, stops, write_now

    heard: list[int] = []

    def ask(number: int) -> None:
        heard.append(number)
        write_now(b"stopping: trials save and leave; once more quits at once\n")

    def told(result: Result, plan: Plan) -> None:
        say(f"{plan.folder_of(result.trial)}: {_line(result)}")

    say(f"sweep folder: {folder}")
    with stops(ask), patience(""):
        done = running.run(
            folder, jobs=jobs, executor=executor, stop=lambda: bool(heard), told=told
        )
    if done.stopped:
        say(
            f"stopped; {counted(len(done.results), 'trial')} ended, the others are saved; continue "
            f"with: ganzoo sweep --resume {shlex.quote(str(folder))}"
        )
        return 128 + next(iter(heard), signal.SIGTERM)  # if not we, a trial was asked to
    _show(done, as_json)
    return 0


def _line(result: Result) -> str:
    """What a trial came to."""
    from ..sweeps.page import tried

    score = "" if result.score is None else f", {result.measured} {result.score:.4g}"
    health = f", {result.health}" if result.health else ""
    reason = f": {result.reason}" if result.reason else ""
    setting = f"{tried(result.values)}, seed {result.seed}"
    return f"{setting}: {result.status} after {result.images:,} images{health}{score}{reason}"


def _show(done: Sweep, as_json: bool) -> None:
    """The report, as it is written."""
    from ..sweeps.page import page

    if as_json:
        print_json(done.report)
        return
    for line in page(done.report).splitlines():
        echo(line)
    echo()
    echo(f"report     {done.folder / 'report.md'}   (and report.json)")
    failed = sum(result.status == "failed" for result in done.results)
    if failed:
        echo(f"failed     {counted(failed, 'trial')}, which --resume tries again")
