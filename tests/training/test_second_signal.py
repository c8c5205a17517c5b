"""The first signal asks a training to save and leave; the second one leaves at once."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys, time
from ganzoo.cli._report import stopping

class Training:
    stop = None

training, number = Training(), int(sys.argv[1])
signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may ignore it
with stopping(training, lambda line: print(line, flush=True)):
    os.kill(os.getpid(), number)
    print("asked", training.stop, flush=True)
    os.kill(os.getpid(), number)
    time.sleep(60)
print("late", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_at_once(number):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(int(number))], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 128 + number, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2 and "once more quits at once" in said[0]
    assert said[1] == f"asked {int(number)}"
