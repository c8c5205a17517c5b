"""How many mutants of the core the tests kill, from a draw by chance: `python -m
benchmarks.mutations --draw 15 --out mutations.json`; the folder `src`, a link to `plugins`, has to
be there.

mutmut writes the mutants (CONTRIBUTING.md). Here each is tried by the few test files that concern
its module, in a fork of one process that has torch imported; so it takes a second or two, not half
a minute. What survives has survived these files, not all tests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import _pytest.main
import pytest

from ganzoo.io.files import write_text

from . import tables

LIMIT = 240.0  # seconds of a mutant, by the clock, on a machine that may be busy
FOLDER = Path("mutants")
DECIDED = ("killed", "survived")  # else it ran out of time, or there was no test
# Tests that take seconds, or that compile, which what mutmut wraps functions in does not.
LEFT_OUT = """not compile and not one_graph and not walk and not points_and_signals \
and not again_and_again and not mission and not bit_anywhere and not foreign_state"""
OPTIONS = ["-x", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", "-k", LEFT_OUT]
# Of the trainings by hand the one that uses most.
REFERENCES = "tests/training/test_references.py::test_training_by_hand[everything at once]"
STEP = ["tests/engine/test_step.py", "tests/zoo/test_views.py", "tests/zoo/test_penalties.py"]
RUNS = [
    "tests/training/test_loop.py",
    "tests/training/test_log_lines.py",
    "tests/training/test_sick_runs.py",
    "tests/training/test_trackers.py",
]
SAVED = [
    "tests/training/test_nothing_lost.py",
    "tests/training/test_resume.py",
    "tests/training/test_crashes.py",
]
DRAWN = ["tests/generate/test_generator_file.py", "tests/generate/test_generate.py"]
# Each module and the tests that concern it, the quickest first.
TESTS = {
    "step": ("ganzoo.contracts.step", [*STEP, "tests/engine/test_judges.py", REFERENCES]),
    "update": (
        "ganzoo.engine.losses",
        [
            *STEP[:2],
            "tests/engine/test_label_dropout.py",
            "tests/engine/test_judges.py",
            "tests/engine/test_accumulation.py",
            REFERENCES,
        ],
    ),
    "engine": (
        "ganzoo.engine.engine",
        [
            "tests/engine/test_accumulation.py",
            "tests/engine/test_observe.py",
            "tests/engine/test_beside.py",
            "tests/engine/test_frozen.py",
            REFERENCES,
            "tests/engine/test_capture.py",
        ],
    ),
    "average": ("ganzoo.engine.average", ["tests/training/test_references.py", *RUNS[:1]]),
    "snapshot": ("ganzoo.engine.snapshot", ["tests/engine/test_capture.py"]),
    "loader": ("ganzoo.data.loader", ["tests/data/test_feed.py", "tests/data/test_data_order.py"]),
    "generator file": ("ganzoo.generate.generator_file", DRAWN),
    "sampling": ("ganzoo.generate.sampling", [*DRAWN, "tests/core/test_library.py"]),
    "writer": ("ganzoo.io.background_writer", RUNS),
    "checkpoints": ("ganzoo.io.checkpoints", ["tests/security/test_run_folders.py", *SAVED]),
    "loop": (
        "ganzoo.training.loop",
        [*RUNS, REFERENCES, "tests/training/test_scoring.py", *SAVED],
    ),
    "rollback": ("ganzoo.training.rollback", [RUNS[2]]),
    "losses": ("ganzoo_plugins.losses", ["tests/zoo/test_losses.py", REFERENCES]),
    "penalties": ("ganzoo_plugins.penalties", [*STEP[2:], "tests/zoo/test_terms.py", REFERENCES]),
    "stabilizers": (
        "ganzoo_plugins.stabilizers",
        ["tests/zoo/test_spectral.py", "tests/zoo/test_terms.py", "tests/zoo/test_views.py"],
    ),
}


def generate() -> dict[str, list[str]]:
    """The mutants by part, written to the folder `mutants` with all that tests need."""
    from mutmut.__main__ import create_mutants
    from mutmut.utils import file_utils

    os.environ["MUTANT_UNDER_TEST"] = "mutant_generation"
    FOLDER.mkdir(exist_ok=True)
    file_utils.copy_src_dir()
    file_utils.copy_also_copy_files()
    create_mutants(1)
    names = [
        name
        for path in sorted(FOLDER.rglob("*.py.meta"))
        for name in json.loads(path.read_text("utf-8"))["exit_code_by_key"]
    ]
    return {
        part: sorted(n for n in names if n.startswith(module + "."))
        for part, (module, _) in TESTS.items()
    }


class Draw:
    """A pytest plugin that runs the tests found once for each mutant, each time in a process forked
    after they were imported.
    """

    def __init__(self, mutants: list[str], logs: Path, note: Callable[[str, str], None]) -> None:
        self.mutants, self.logs, self.note = mutants, logs, note

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of pytest's own loop; first without a mutant, which nothing may fail on."""
        with (self.logs / "none.log").open("w") as log:
            if attempt(lambda: _run(session, "", log)) != "survived":
                raise session.Failed(f"tests fail without a mutant: {log.name} says which")
        for mutant in self.mutants:
            with (self.logs / f"{mutant}.log").open("w") as log:
                self.note(mutant, attempt(lambda m=mutant, to=log: _run(session, m, to)))
        return True


def _run(session: pytest.Session, mutant: str, log: TextIO) -> int:
    """How many tests failed, of which the first is the last, on this mutant."""
    screen = session.config.get_terminal_writer()._file
    for descriptor in (1, 2, screen.fileno()):
        os.dup2(log.fileno(), descriptor)
    os.environ["MUTANT_UNDER_TEST"] = mutant
    with contextlib.suppress(session.Failed, session.Interrupted):
        _pytest.main.pytest_runtestloop(session)
    return session.testsfailed


def attempt(run: Callable[[], int]) -> str:
    """What became of a mutant: `run`, in a process forked from this one, counts tests that fail."""
    child = os.fork()
    if child == 0:
        os.setsid()
        failed = 1
        with contextlib.suppress(BaseException):
            failed = run()
        os._exit(min(failed, 1))
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            # What ends the process is found as by a test that fails.
            return "survived" if status == 0 else "killed"
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "out of time"


def interval(killed: int, tried: int) -> tuple[float, float]:
    """The 95 % interval of Wilson for a share."""
    if not tried:
        return 0.0, 1.0
    z, share = 1.96, killed / tried
    middle = (share + z * z / (2 * tried)) / (1 + z * z / tried)
    spread = share * (1 - share) / tried + z * z / (4 * tried * tried)
    half = z * math.sqrt(spread) / (1 + z * z / tried)
    return max(0.0, middle - half), min(1.0, middle + half)


def whole(rows: list[tuple[int, int, int]]) -> tuple[float, float]:
    """Share of all mutants that would be killed, and half its 95 % interval, from (mutants, tried,
    killed) of each part: parts weigh as many as they have.

    The variance of a part is that of (killed + 1) of (tried + 2), so that a part of which all were
    killed does not count as certain.
    """
    total = sum(count for count, _, _ in rows)
    share = sum(count * killed / tried for count, tried, killed in rows) / total
    variance = 0.0
    for count, tried, killed in rows:
        likely = (killed + 1) / (tried + 2)
        left = 1 - tried / count
        variance += (count / total) ** 2 * likely * (1 - likely) / tried * left
    return share, 1.96 * math.sqrt(variance)


def markdown(found: dict[str, Any]) -> str:
    """A row for each part, and all of them."""
    rows, counts = [], []
    for part, about in found.items():
        outcomes = [o for o in about["tried"].values() if o in DECIDED]
        killed = outcomes.count("killed")
        low, high = interval(killed, len(outcomes))
        counts.append((about["mutants"], len(outcomes), killed))
        row = [about["mutants"], len(outcomes), killed, len(outcomes) - killed]
        rows.append([part, *(f"{n:,}" for n in row), f"{low:.0%} to {high:.0%}"])
    counts = [row for row in counts if row[1]]
    share, half = whole(counts)
    sums = [sum(column) for column in zip(*counts, strict=True)]
    sums.append(sums[1] - sums[2])
    last = f"{share:.0%}, {max(0.0, share - half):.0%} to {min(1.0, share + half):.0%}"
    rows.append(["**all**", *(f"{n:,}" for n in sums), last])
    return tables.table(["part", "mutants", "decided", "killed", "survived", "95 % interval"], rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draw", type=int, default=15, help="mutants of each part")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--parts", default=",".join(TESTS), help="which, by comma")
    parser.add_argument("--out", type=Path, required=True, help="JSON; what is there is kept")
    parser.add_argument("--document", type=Path, help="write the table between its marks")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    given.out = given.out.absolute()
    mutants = generate()
    found = json.loads(given.out.read_text("utf-8")) if given.out.exists() else {}
    if given.document:
        given.document = given.document.absolute()
    os.chdir(FOLDER)
    here = Path.cwd()
    # Before the checkout, here and in processes that tests start.
    ways = [str(here), str(here / "src"), str(here / "tests" / "helpers")]
    sys.path[:0] = ways
    os.environ["PYTHONPATH"] = os.pathsep.join(ways[:2])
    for name in [n for n in sys.modules if n.partition(".")[0] in ("ganzoo", "ganzoo_plugins")]:
        del sys.modules[name]
    import torch._dynamo

    import ganzoo.cli.train  # noqa: F401

    torch.set_num_threads(1)
    for part in given.parts.split(","):
        names = list(mutants[part])
        random.Random(given.seed).shuffle(names)
        about = found.setdefault(part, {"tried": {}})
        about["mutants"] = len(names)
        due = [name for name in names[: given.draw] if name not in about["tried"]]

        def note(name: str, outcome: str, tried: dict[str, str] = about["tried"]) -> None:
            tried[name] = outcome
            print(f"  {outcome}  {name}", flush=True)
            write_text(given.out, json.dumps(found, indent=2) + "\n")

        if due and pytest.main([*OPTIONS, *TESTS[part][1]], plugins=[Draw(due, here, note)]):
            raise SystemExit(f"{part}: its tests cannot be run")
    text = markdown(found)
    print(text)
    if given.document:
        tables.write(given.document, "mutations", text)


if __name__ == "__main__":
    main()
