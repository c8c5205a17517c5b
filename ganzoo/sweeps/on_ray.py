"""Trials on a cluster, by Ray's own scheduler, behind the extra `ray`."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from typing import Any

from ..errors import GanzooError, one_line
from .executors import LEAVING, Executor
from .trial import Outcome, Task, work


class _Trainer:
    """An actor: trains one trial after another, and hears meanwhile that one shall stop."""

    def __init__(self) -> None:
        self.stopped: set[int] = set()

    def train(self, values: dict[str, Any]) -> dict[str, Any]:
        """A trial, to its outcome."""
        task = Task(**values)
        return asdict(work(task, lambda: task.number in self.stopped))

    def stop(self, number: int) -> None:
        """That trial shall save and leave."""
        self.stopped.add(number)


class OnRay(Executor):
    """Actors on the cluster that Ray is connected to, else on this machine alone.

    The sweep's folder has to lie where all machines reach it by the same path. Where there are
    GPUs, each trial has one.

    jobs: trials at once
    """

    def __init__(self, jobs: int) -> None:
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError:
            raise GanzooError(
                "trials on a cluster are Ray's, which is not installed",
                remedy="pip install 'ganzoo[ray]'",
            ) from None
        if not self.ray.is_initialized():
            self.ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        gpus = 1 if self.ray.cluster_resources().get("GPU", 0) else 0
        # Two calls at once: the one that trains, and the one that stops it.
        self._actor = self.ray.remote(num_cpus=1, num_gpus=gpus, max_concurrency=2)(_Trainer)
        self._idle: list[Any] = []
        self._jobs = jobs
        self._running: dict[Any, tuple[int, Any]] = {}  # reference -> (number, actor)

    @property
    def free(self) -> int:
        """Trials that are not begun yet; Ray keeps one waiting until there is room for it."""
        return self._jobs - len(self._running)

    def start(self, task: Task) -> None:
        """By an actor that is idle, else by a new one."""
        actor = self._idle.pop() if self._idle else self._actor.remote()
        self._running[actor.train.remote(task.values())] = task.number, actor

    def ended(self) -> list[Outcome]:
        """Those whose answer has come, or never will."""
        waiting = [*self._running]
        done, _ = self.ray.wait(waiting, num_returns=len(waiting), timeout=0)
        found = []
        for reference in done:
            number, actor = self._running.pop(reference)
            try:
                found.append(Outcome(**self.ray.get(reference)))
                self._idle.append(actor)
            except self.ray.exceptions.RayError as error:  # the machine, or the actor, is gone
                found.append(Outcome(number, "failed", one_line(error)))
        return found

    def stop(self, number: int) -> None:
        """Tell the actor that trains it."""
        for other, actor in self._running.values():
            if other == number:
                actor.stop.remote(number)

    def close(self) -> None:
        """Stop all, wait until they are saved, and give the actors back."""
        for number, _ in [*self._running.values()]:
            self.stop(number)
        if self._running:
            self.ray.wait([*self._running], num_returns=len(self._running), timeout=LEAVING)
        for actor in (*self._idle, *(actor for _, actor in self._running.values())):
            self.ray.kill(actor)
