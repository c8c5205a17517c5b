"""What README and quickstart promise to be done in
minutes on two cores is, by the commands that stand there.
"""

import os
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
NUMBERS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
CORES = 2


def promised(page, pattern):
    """(the words of a command, seconds) that a page promises in one place, the minutes in words."""
    (found,) = re.finditer(pattern, (ROOT / page).read_text("utf-8"), re.S)
    command = found["command"].partition("ganzoo ")[2]
    return shlex.split(command), 60 * NUMBERS[found["minutes"].lower()]


def took(words, folder):
    """Seconds that a command took; if others had the machine
    meanwhile, what its work makes on cores of its own.

    A processor that several share does the same work in
    more of its time: half as much again is allowed then.
    """
    code = "import torch; torch.set_num_threads(2); from ganzoo.cli import main; main()"
    env = {**os.environ, "OMP_NUM_THREADS": str(CORES)}
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    seconds, after = time.monotonic() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{' '.join(words)}: {seconds:.0f} s, {work:.0f} s of work")
    return seconds if os.getloadavg()[0] < CORES + 1 else min(seconds, work / CORES / 1.5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("page", "pattern"),
    [
        (
            "README.md",
            r"/(?P<command>ganzoo train[^\n]*)\n```\n\n(?P<minutes>\w+) minutes? later, on two CPU",
        ),
        (
            "docs/quickstart.md",
            r"in (?P<minutes>\w+) minutes?[^`]*```console\n\$ (?P<command>ganzoo train[^\n]*)",
        ),
    ],
)
def test_a_first_training_takes_the_minutes_that_are_promised(page, pattern, tmp_path):
    words, promise = promised(page, pattern)
    assert took(words, tmp_path) <= promise
    (run,) = (tmp_path / "runs").iterdir()
    with Image.open(max((run / "samples").iterdir())) as picture:
        assert min(picture.size) > 100
