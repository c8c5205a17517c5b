"""How many mutants of the core the tests kill, from a draw by chance: `python -m
benchmarks.mutations --draw 25 --out mutations.json`; the folder `src`, a link to `plugins`, has to
be there. Then `--again` tries what survived once more, and `--document docs/mutations.md` writes
the table.

mutmut writes the mutants (CONTRIBUTING.md). Here each is tried in a fork of one process that has
torch and the tests imported, by those tests of the files chosen for its part that reach its
function, the quickest first; so it takes a second or two, not half a minute. What survives has
survived these files, not all tests.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import _pytest.main
import pytest

from ganzoo.io.files import write_text

from . import tables

LIMIT = 30.0  # seconds of a mutant beside five times what its tests take, by the clock
FOLDER = Path("mutants")
DECIDED = ("killed", "survived")  # else it ran out of time
# Tests that take many seconds, or that compile, which what mutmut wraps functions in does not.
LEFT_OUT = """not compiles and not one_graph and not walk and not points_and_signals \
and not again_and_again and not mission and not bit_anywhere and not the_kit_takes \
and not in_every_game and not resumes_bit_for_bit"""
OPTIONS = ["-x", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", "-k", LEFT_OUT]
# Each part of the core, by the start of its mutants' names.
PARTS = {
    "step": "ganzoo.contracts.step.",
    "update": "ganzoo.engine.losses.",
    "engine": "ganzoo.engine.engine.",
    "average": "ganzoo.engine.average.",
    "snapshot": "ganzoo.engine.snapshot.",
    "loader": "ganzoo.data.loader.",
    "generator file": "ganzoo.generate.generator_file.",
    "sampling": "ganzoo.generate.sampling.",
    "writer": "ganzoo.io.background_writer.",
    "checkpoints": "ganzoo.io.checkpoints.",
    "loop": "ganzoo.training.loop.",
    "rollback": "ganzoo.training.rollback.",
    "losses": "ganzoo_plugins.losses.",
    "penalties": "ganzoo_plugins.penalties.",
    "stabilizers": "ganzoo_plugins.stabilizers.",
}
# Where their tests are; which of them a mutant is tried by is found out.
TESTS = [
    "tests/engine/test_step.py",
    "tests/engine/test_judges.py",
    "tests/engine/test_label_dropout.py",
    "tests/engine/test_accumulation.py",
    "tests/engine/test_observe.py",
    "tests/engine/test_beside.py",
    "tests/engine/test_frozen.py",
    "tests/engine/test_gen_batch.py",
    "tests/engine/test_capture.py",
    "tests/engine/test_optimizers.py",
    "tests/zoo/test_views.py",
    "tests/zoo/test_penalties.py",
    "tests/zoo/test_losses.py",
    "tests/zoo/test_terms.py",
    "tests/zoo/test_spectral.py",
    "tests/zoo/test_differences.py",
    "tests/zoo/test_unrolled.py",
    "tests/zoo/test_games.py",
    "tests/training/test_loop.py",
    "tests/training/test_log_lines.py",
    "tests/training/test_sick_runs.py",
    "tests/training/test_references.py",
    "tests/training/test_pictures.py",
    "tests/training/test_scoring.py",
    "tests/training/test_trackers.py",
    "tests/training/test_resume.py",
    "tests/training/test_nothing_lost.py",
    "tests/data/test_conditions.py::test_conditions_go_on_from_each_other",
    "tests/data/test_feed.py",
    "tests/data/test_data_order.py",
    "tests/generate",
    "tests/security/test_run_folders.py",
    "tests/core/test_library.py",
    "tests/measure/test_evaluate.py::"
    "test_a_new_score_takes_the_place_of_one_under_the_same_protocol",
]


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
        part: sorted(name for name in names if name.startswith(start))
        for part, start in PARTS.items()
    }


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text("utf-8")


class Draw:
    """A pytest plugin that tries mutants, each in a process forked from the one that has imported
    all tests, by those tests that reach its function, until they take `seconds` together: those of
    files that name its module first, then the quickest, and of them those that have killed most.
    Before, without a mutant, each test is asked how long it takes and what it reaches; those that
    fail then are told and left out.
    """

    def __init__(
        self,
        mutants: list[str],
        seconds: float,
        known: bool,
        hits: set[str],
        note: Callable[[str, str], None],
    ) -> None:
        self.mutants, self.seconds, self.known = mutants, seconds, known
        self.hits, self.note = hits, note
        self.reached: dict[str, tuple[float, list[str]]] = {}
        self.kills: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Notes the seconds of a test that passes, and the functions that mutmut saw called."""
        self.hits.clear()
        failed, began = item.session.testsfailed, time.process_time()
        done = yield
        if item.session.testsfailed == failed:
            took = time.process_time() - began
            self.reached[item.nodeid] = took, sorted(self.hits)
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Says what failed, since the process ends before pytest does."""
        if report.failed:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{report.nodeid}\n{report.longreprtext}\n")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of pytest's own loop."""
        kept = Path("reached.json")
        if self.known and kept.exists():
            self.reached = json.loads(kept.read_text("utf-8"))
        due = [item for item in session.items if item.nodeid not in self.reached]

        def measure() -> int:
            session.config.option.maxfail = 0
            self.run(session, due, "stats")
            kept.write_text(json.dumps(self.reached), "utf-8")
            return 0

        forked(measure)
        self.reached = json.loads(kept.read_text("utf-8"))
        for item in due:
            if item.nodeid not in self.reached:
                print(f"  left out, since it fails without a mutant: {item.nodeid}", flush=True)
        tests = [item for item in session.items if item.nodeid in self.reached]
        for mutant in self.mutants:
            self.note(mutant, self.tried(session, tests, mutant))
        return True

    def tried(self, session: pytest.Session, tests: list[pytest.Item], mutant: str) -> str:
        """What became of a mutant. A test that now fails without one, too, kills none."""
        log = Path(f"{mutant}.log")
        while True:
            chosen, took = self.chosen(tests, mutant.partition("__mutmut_")[0])
            log.unlink(missing_ok=True)
            run = functools.partial(self.run, session, chosen, mutant)
            outcome = attempt(run, LIMIT + 5 * took)
            if not log.exists():  # all passed, or what ended the process may be another's fault
                return outcome if outcome != "killed" else "broke off"
            killer = log.read_text("utf-8").partition("\n")[0]
            alone = [test for test in chosen if test.nodeid == killer]
            fails = functools.partial(self.run, session, alone, "none")
            if killer in self.kills or not forked(fails):
                self.kills[killer] += 1
                return outcome
            print(f"  left out, since it fails without a mutant: {killer}", flush=True)
            tests.remove(*alone)

    def chosen(self, tests: list[pytest.Item], function: str) -> tuple[list[pytest.Item], float]:
        """The tests that a function's mutants are tried by, and their seconds."""
        found: list[pytest.Item] = []
        total = 0.0
        able = [test for test in tests if function in self.reached[test.nodeid][1]]
        module = function.split(".")[-2]
        for test in sorted(able, key=lambda test: self.price(test, module)):
            seconds = self.reached[test.nodeid][0]
            if total + seconds <= self.seconds or not found:
                found.append(test)
                total += seconds
        return found, total

    def price(self, test: pytest.Item, module: str) -> tuple[bool, float]:
        """Whether a test's file does not name the module, and the test's seconds, the less the more
        it has killed.
        """
        seconds = self.reached[test.nodeid][0] / (1 + self.kills[test.nodeid])
        return module not in text_of(test.path), seconds

    def run(self, session: pytest.Session, tests: list[pytest.Item], mutant: str) -> int:
        """How many of the tests failed, of which the first is the last, on this mutant."""
        self.log = Path(f"{mutant}.log")
        screen = session.config.get_terminal_writer()._file
        with Path(os.devnull).open("w") as nowhere:
            for descriptor in (1, 2, screen.fileno()):
                os.dup2(nowhere.fileno(), descriptor)
        os.environ["MUTANT_UNDER_TEST"] = mutant
        session.items = tests
        with contextlib.suppress(session.Failed, session.Interrupted):
            _pytest.main.pytest_runtestloop(session)
        return session.testsfailed


def forked(run: Callable[[], int], limit: float = math.inf) -> int | None:
    """The exit status of `run` in a process forked from this one; None after `limit` seconds."""
    child = os.fork()
    if child == 0:
        os.setsid()
        failed = 1
        with contextlib.suppress(BaseException):
            failed = run()
        os._exit(min(failed, 1))
    until = time.monotonic() + limit
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def attempt(run: Callable[[], int], limit: float) -> str:
    """What became of a mutant: `run` counts tests that fail; what ends its process counts too."""
    return {0: "survived", None: "out of time"}.get(forked(run, limit), "killed")


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
    if not total:
        return 0.0, 1.0
    share = sum(count * killed / tried for count, tried, killed in rows) / total
    variance = 0.0
    for count, tried, killed in rows:
        likely = (killed + 1) / (tried + 2)
        left = 1 - tried / count
        variance += (count / total) ** 2 * likely * (1 - likely) / tried * left
    return share, 1.96 * math.sqrt(variance)


def short(name: str) -> str:
    """A mutant's name as the document has it: `loop.Training.save 3`."""
    path, _, number = name.partition("__mutmut_")
    module, _, function = path.rpartition(".")
    function = function.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return f"{module.rpartition('.')[2]}.{function} {number}"


def markdown(found: dict[str, Any], explained: str = "") -> str:
    """A row for each part, and all of them; `explained` holds the names of those that are."""
    rows, counts = [], []
    for part, about in found.items():
        tried = about["tried"]
        decided = [name for name in tried if tried[name] in DECIDED]
        left = [name for name in decided if tried[name] == "survived"]
        again = {name: about.get("again", {}).get(name, "survived") for name in left}
        alike = [name for name in left if f"`{short(name)}`" in explained]
        later = [name for name in left if again[name] == "killed" and name not in alike]
        killed = len(decided) - len(left)
        low, high = interval(killed + len(alike), len(decided))
        row = [about["mutants"], len(decided), killed, len(later), len(alike)]
        row.append(len(left) - len(later) - len(alike))
        counts.append(row)
        rows.append([part, *(f"{n:,}" for n in row), f"{low:.0%} to {high:.0%}"])
    share, half = whole([(row[0], row[1], row[2] + row[4]) for row in counts if row[1]])
    sums = [sum(row[column] for row in counts) for column in range(6)]
    last = f"{share:.0%}, {max(0.0, share - half):.0%} to {min(1.0, share + half):.0%}"
    rows.append(["**all**", *(f"{n:,}" for n in sums), last])
    columns = ["part", "mutants", "decided", "killed", "killed since", "explained", "neither"]
    return tables.table([*columns, "killed at first or explained"], rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draw", type=int, default=25, help="mutants of each part")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, by comma")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the tests of a mutant")
    parser.add_argument("--again", action="store_true", help="try what survived, too")
    parser.add_argument("--known", action="store_true", help="ask only tests that are new")
    parser.add_argument("--out", type=Path, required=True, help="JSON; what is there is kept")
    parser.add_argument("--document", type=Path, help="write the table between its marks")
    return parser.parse_args()


def drawn(
    given: argparse.Namespace, found: dict[str, Any], mutants: dict[str, list[str]]
) -> dict[str, dict[str, str]]:
    """The mutants that are to be tried, each with where its outcome goes."""
    due: dict[str, dict[str, str]] = {}
    for part in given.parts.split(","):
        about = found.setdefault(part, {"tried": {}, "again": {}})
        about["mutants"] = len(mutants[part])
        tried, again = about["tried"], about["again"]
        if given.again:
            left = [name for name, outcome in tried.items() if outcome != "killed"]
            due |= {name: again for name in left if again.get(name) != "killed"}
        names = list(mutants[part])
        random.Random(given.seed).shuffle(names)
        due |= {name: tried for name in names[: given.draw] if name not in tried}
    return due


def main() -> None:
    given = arguments()
    given.out = given.out.absolute()
    document = given.document and given.document.absolute()
    found = json.loads(given.out.read_text("utf-8")) if given.out.exists() else {}
    due = drawn(given, found, generate())
    os.chdir(FOLDER)
    here = Path.cwd()
    # Before the checkout, here and in processes that tests start.
    ways = [str(here), str(here / "src"), str(here / "tests" / "helpers")]
    sys.path[:0] = ways
    os.environ["PYTHONPATH"] = os.pathsep.join(ways[:2])
    for name in [n for n in sys.modules if n.partition(".")[0] in ("ganzoo", "ganzoo_plugins")]:
        del sys.modules[name]
    import torch._dynamo
    from mutmut.state import state

    import ganzoo.cli.train  # noqa: F401

    torch.set_num_threads(1)

    def note(name: str, outcome: str) -> None:
        due[name][name] = outcome
        print(f"  {outcome}  {name}", flush=True)
        write_text(given.out, json.dumps(found, indent=2) + "\n")

    plugin = Draw(list(due), given.seconds, given.known, state()._stats, note)
    if due and pytest.main([*OPTIONS, *TESTS], plugins=[plugin]):
        raise SystemExit("the tests cannot be run")
    text = markdown(found, document.read_text("utf-8") if document else "")
    print(text)
    if document:
        tables.write(document, "mutations", text)


if __name__ == "__main__":
    main()
