"""What README and quickstart promise to be done in minutes is, by the commands that stand there."""

import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
NUMBERS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
ABOUT = 1.25  # times as long is still about as long
PLACES = {  # page -> what stands around a command and its minutes there
    "README.md": r"/(?P<command>ganzoo train[^\n]*)\n```\n\nAbout (?P<minutes>\w+) minute",
    "docs/quickstart.md": (
        r"in (?P<minutes>\w+) minutes?[^`]*```console\n\$ (?P<command>ganzoo train[^\n]*)"
    ),
}


def promised(page):
    """(the words of a command, seconds) that a page promises in one place."""
    (found,) = re.finditer(PLACES[page], (ROOT / page).read_text("utf-8"), re.S)
    command = found["command"].partition("ganzoo ")[2]
    return shlex.split(command), 60 * NUMBERS[found["minutes"].lower()]


def work(words, folder):
    """Seconds of one processor that a command takes,
    which a busy machine changes less than the clock.
    """
    code = "import torch; torch.set_num_threads(1); from ganzoo.cli import main; main()"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PLACES)
def test_a_first_training_takes_the_minutes_that_are_promised(page, tmp_path):
    words, promise = promised(page)
    seconds = work(words, tmp_path)
    print(f"ganzoo {' '.join(words)}: {seconds:.0f} s of one processor")
    assert seconds <= ABOUT * promise
    (run,) = (tmp_path / "runs").iterdir()
    with Image.open(max((run / "samples").iterdir())) as picture:
        assert min(picture.size) > 100
