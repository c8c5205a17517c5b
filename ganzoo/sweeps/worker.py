"""A process that trains the trials of a sweep, one after another, as it is told on its input.

Each line is a task, or `{"stop": NUMBER}`. Where the input ends, because it was closed or whoever
wrote it is dead, the trial is saved and the process leaves.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict

from ..io.untrusted_files import parse_json
from .trial import Task, work


class _Told:
    """What came on the input so far."""

    def __init__(self) -> None:
        self.tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.stopped: set[int] = set()
        self.over = threading.Event()

    def listen(self) -> None:
        """Read to the end of the input."""
        for line in sys.stdin.buffer:
            told = parse_json(line)
            if "stop" in told:
                self.stopped.add(told["stop"])
            else:
                self.tasks.put(Task(**told))
        self.end()

    def end(self, *signal: object) -> None:
        """Save and leave; safe in a signal handler."""
        self.over.set()
        self.tasks.put(None)


def main() -> None:
    """Train until the input ends; answers are lines on standard output, and nothing else is."""
    for name in ("SIGINT", "SIGHUP"):  # of the terminal, and meant for the sweep, which tells us
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what parts print is no answer
    told = _Told()
    signal.signal(signal.SIGTERM, told.end)
    threading.Thread(target=told.listen, daemon=True).start()
    while (task := told.tasks.get()) is not None and not told.over.is_set():
        number = task.number
        outcome = work(task, lambda: told.over.is_set() or number in told.stopped)  # noqa: B023
        answers.write(json.dumps(asdict(outcome)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
