"""Where trials are trained: one interface, and processes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ..errors import plain_line
from ..io import untrusted_folder as inside
from .trial import Outcome, Task

TAIL = 4096  # bytes of what a process wrote before it died
LEAVING = 60.0  # seconds that a process may take to save and leave


class Executor(ABC):
    """Trains trials, several at once. It is told of one at a time, and asked how they end."""

    @property
    @abstractmethod
    def free(self) -> int:
        """How many more trials can begin now."""

    @abstractmethod
    def start(self, task: Task) -> None:
        """Begin a trial."""

    @abstractmethod
    def ended(self) -> list[Outcome]:
        """Trials that ended since this was last asked; does not wait."""

    @abstractmethod
    def stop(self, number: int) -> None:
        """Ask a trial to save and leave; does not wait."""

    @abstractmethod
    def close(self) -> None:
        """Stop what runs still, and wait until it is saved."""


class _Worker:
    """A process, and the trial that it trains."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self.task: Task | None = None
        self.log = log
        flags = os.O_WRONLY | os.O_APPEND
        with os.fdopen(inside.open_to_change(log, log.parent, flags), "ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ganzoo.sweeps.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,  # a Ctrl-C is the sweep's, which tells it
            )
        self.answers: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        stream: IO[bytes] | None = self.process.stdout
        for line in stream or ():
            self.answers.put(line)

    def tell(self, value: dict[str, Any]) -> None:
        """Write a line, if anybody is there to read it."""
        with contextlib.suppress(OSError, ValueError):
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(value).encode() + b"\n")
            self.process.stdin.flush()

    def outcome(self) -> Outcome | None:
        """How its trial ended, if it did; a process that died says nothing."""
        if self.task is None:
            return None
        dead = self.process.poll() is not None
        try:
            answer = self.answers.get(timeout=1.0 if dead else 0.0)
        except queue.Empty:
            return Outcome(self.task.number, "failed", self._last_words()) if dead else None
        return Outcome(**json.loads(answer))

    def _last_words(self) -> str:
        code = self.process.returncode
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - TAIL, 0))
            lines = file.read(TAIL).decode("utf-8", "replace").splitlines()
            if lines and code > 0:
                return f"its process ended with {code}: {plain_line(lines[-1])}"
        return f"its process was killed by signal {-code}" if code < 0 else f"ended with {code}"

    def leave(self) -> None:
        """End its input: it saves and leaves."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()


class Local(Executor):
    """Processes on this machine, which share its cores, and its GPUs in turn.

    jobs: trials at once. logs: a folder for what processes say when they die. devices: numbers of
    GPUs; by default those that PyTorch finds
    """

    def __init__(self, jobs: int, logs: Path, devices: Sequence[str] | None = None) -> None:
        self.logs = logs
        self.devices = [*(_devices() if devices is None else devices)]
        self._slots: list[_Worker | None] = [None] * jobs

    @property
    def free(self) -> int:
        """Slots without a trial."""
        return sum(worker is None or worker.task is None for worker in self._slots)

    def start(self, task: Task) -> None:
        """In a process that has ended its last trial, else in a new one."""
        slot = next(i for i, w in enumerate(self._slots) if w is None or w.task is None)
        worker = self._slots[slot]
        if worker is None or worker.process.poll() is not None:
            self.logs.mkdir(parents=True, exist_ok=True)
            worker = _Worker(self.logs / f"worker-{slot}.txt", self.environment(slot))
            self._slots[slot] = worker
        worker.task = task
        worker.tell(task.values())

    def environment(self, slot: int) -> dict[str, str]:
        """A slot's: its share of the cores, and its GPU."""
        own = dict(os.environ)
        if len(self._slots) > 1:
            own.setdefault("OMP_NUM_THREADS", str(max(_cores() // len(self._slots), 1)))
        if self.devices:
            own["CUDA_VISIBLE_DEVICES"] = self.devices[slot % len(self.devices)]
        return own

    def ended(self) -> list[Outcome]:
        """Those that answered, or whose process died."""
        found = []
        for worker in self._slots:
            outcome = worker.outcome() if worker is not None else None
            if worker is not None and outcome is not None:
                worker.task = None
                found.append(outcome)
        return found

    def stop(self, number: int) -> None:
        """Tell the process that trains it."""
        for worker in self._slots:
            if worker is not None and worker.task is not None and worker.task.number == number:
                worker.tell({"stop": number})

    def close(self) -> None:
        """End every process's input; one that does not leave is killed."""
        workers = [worker for worker in self._slots if worker is not None]
        for worker in workers:
            worker.leave()
        for worker in workers:
            try:
                worker.process.wait(LEAVING)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _devices() -> list[str]:
    """Numbers of the GPUs that this process may use."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    known = [name.strip() for name in named.split(",") if name.strip()]
    return known or [str(number) for number in range(torch.cuda.device_count())]
