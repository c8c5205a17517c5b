"""Mutated generator files, run files, checkpoints, zips of pictures and other forms of data: only
one-line errors of ours, or success, come of them.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "helpers" / "fuzzing.py"
KINDS = ("generator", "run", "manifest", "zip", "form", "shards")


def fuzz(kinds, count, first, seconds):
    """The reports of a process of its own, whose memory is limited and which a crash would end."""
    command = [sys.executable, str(SCRIPT), ",".join(kinds), str(count), str(first)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-2000:]
    reports = json.loads(done.stdout)
    for report in reports:
        print({key: value for key, value in report.items() if key != "failures"})
    return reports


def check(report, count):
    assert report["failures"] == []
    assert report["tried"] == count == report["accepted"] + report["refused"]
    # A mutator that nothing survives, or that nothing notices, tests nothing.
    assert report["accepted"] > count / 50 and report["refused"] > count / 4
    assert report["slowest"] < 5 and report["grown_mib"] < 1024


def test_a_hundred_mutated_files_of_each_kind():
    """The first of those that the slow test tries."""
    for report in fuzz(KINDS, 100, 0, seconds=300):
        check(report, 100)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", KINDS)
def test_six_thousand_mutated_files_of_each_kind(kind):
    (report,) = fuzz([kind], 6000, 0, seconds=1200)
    check(report, 6000)


def test_the_fuzzer_sees_what_it_looks_for(monkeypatch):
    """Each sort of misbehaviour is a failure of its own."""
    import fuzzing

    from ganzoo.errors import BadFile

    monkeypatch.setattr(fuzzing, "SECONDS", 0.2)

    class Raw(BadFile):
        def __str__(self):
            return "two\nlines"

    def throw(error):
        raise error

    def hang():
        while True:
            pass

    with fuzzing.watched():
        assert fuzzing.attempt(lambda: None)[0] == "accepted"
        assert fuzzing.attempt(lambda: throw(BadFile("a file: bad")))[0] == "refused"
        for call in (
            lambda: throw(Raw("a")),
            lambda: throw(BadFile("can't allocate memory")),
            lambda: throw(KeyError("x")),
            hang,
        ):
            assert fuzzing.attempt(call)[0] == "failed"
