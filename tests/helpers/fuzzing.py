"""Mutates files that ganzoo reads and checks that
only one-line errors of ours, or success, come of it.

Run it: python tests/helpers/fuzzing.py KIND[,KIND...] COUNT [FIRST], KIND being generator, run,
manifest, zip, form or shards. Input number i of a kind is the same in every run, whatever FIRST is,
so a failure is repeated with `python tests/helpers/fuzzing.py KIND 1 i`. Memory is limited to 1 GiB
beyond what the process has after its imports, and one input to 5 s. Prints JSON reports.
"""

import contextlib
import json
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import pytest
import torch
from fuzz_targets import KINDS, Material, warm_up

from ganzoo.errors import GanzooError

resource = pytest.importorskip("resource", reason="memory is limited by means of POSIX")

SECONDS = 5.0  # of this process's own time, for one input
WAITING = 12  # times that by the clock: a machine may be busy, and a pipe may never answer
MEMORY = 1 << 30  # beyond what imports and a first round of sound inputs take
LONGEST = 2000  # letters of a message


class Slow(BaseException):
    """One input took too long."""


def attempt(call):
    """("accepted" or "refused", seconds, "") of one input, or ("failed", seconds, why)."""
    began = time.process_time()
    try:
        with timed(SECONDS):
            call()
        outcome, why = "accepted", ""
    except GanzooError as error:
        text = str(error)
        sound = (
            text.isprintable()
            and 0 < len(text) <= LONGEST
            and "allocate" not in text
            and "MemoryError" not in text
        )
        outcome, why = (
            ("refused", "") if sound else ("failed", f"message {text[:200]!r} of {len(text)}")
        )
    except BaseException as error:  # a Rust panic is no Exception
        where = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "ganzoo/" in f.filename]
        outcome, why = (
            "failed",
            f"{type(error).__name__}: {str(error)[:150]!r} at {' '.join(ours[-4:])}",
        )
    return outcome, time.process_time() - began, why


@contextlib.contextmanager
def timed(seconds):
    """Within `watched`, ends what takes so many seconds
    of this process's time, or many times as long.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WAITING * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def watched():
    """Within it, `timed` ends what takes too long."""

    def slow(*_):
        raise Slow("took too long")

    before = [signal.signal(number, slow) for number in (signal.SIGALRM, signal.SIGPROF)]
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGPROF, before[1])


@contextlib.contextmanager
def little_memory():
    """Within it, no more than MEMORY can be allocated beyond what there is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def fuzz(kind, count, first, material):
    """The report on inputs first .. first + count."""
    report = {
        "kind": kind,
        "tried": 0,
        "accepted": 0,
        "refused": 0,
        "failed": 0,
        "slowest": 0.0,
        "failures": [],
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with watched(), little_memory():
        for number in range(first, first + count):
            outcome, seconds, why = attempt(
                KINDS[kind](random.Random(f"{kind} {number}"), material)
            )
            report["tried"] += 1
            report[outcome] += 1
            report["slowest"] = max(report["slowest"], round(seconds, 2))
            if why:
                report["failures"].append(f"{kind} {number}: {why}")
    report["grown_mib"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return report


def main(kinds, count, first="0"):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        material = Material(Path(scratch))
        warm_up(material)
        print(
            json.dumps(
                [fuzz(kind, int(count), int(first), material) for kind in kinds.split(",")],
                indent=1,
            )
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
