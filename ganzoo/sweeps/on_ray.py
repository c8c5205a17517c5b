"""Trials on a cluster, by Ray's own scheduler, behind the extra `ray`."""

from __future__ import annotations

import importlib
import time
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import GanzooError, UsageError, one_line
from .executors import LEAVING, Executor
from .trial import Outcome, Task, work

PAUSE = 5.0  # seconds, times losses, before a lost trial begins again: Ray misses a machine late
LOSSES = 3  # of a trial; one that ends its own process each time is not begun for ever


class _Trainer:
    """An actor: trains one trial after another, and hears meanwhile that one shall stop."""

    def __init__(self) -> None:
        self.stopped: set[int] = set()

    def train(self, values: dict[str, Any]) -> dict[str, Any]:
        """A trial, to its outcome."""
        task = Task(**values)
        return asdict(work(task, lambda: task.number in self.stopped))

    def there(self) -> None:
        """Answers once there is room for it."""

    def stop(self, number: int) -> None:
        """That trial shall save and leave."""
        self.stopped.add(number)


@dataclass
class _Running:
    """A trial that an actor trains.

    there: a call that the actor has answered once Ray has found room for it. losses: how often the
    trial was lost with an actor
    """

    task: Task
    actor: Any
    there: Any
    losses: int = 0


class OnRay(Executor):
    """Actors on the cluster that Ray is connected to, else on this machine alone.

    The sweep's folder has to lie where all machines reach it by the same path. A trial whose
    machine or process is lost goes on elsewhere, from its checkpoint.

    jobs: trials at once. gpus: that a trial takes, or a share of one; None for one, where there are
    any
    """

    def __init__(self, jobs: int, gpus: float | None = None) -> None:
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError:
            raise GanzooError(
                "trials on a cluster are Ray's, which is not installed",
                remedy="pip install 'ganzoo[ray]'",
            ) from None
        if not self.ray.is_initialized():
            self.ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        most = self.ray.cluster_resources().get("GPU", 0)
        if gpus is not None and gpus > most:
            raise UsageError(
                f"the cluster has {most:g} GPUs, so no trial would ever begin",
                key="gpus",
                value=gpus,
            )
        takes = min(most, 1) if gpus is None else gpus
        if takes > 1 and takes % 1:
            raise UsageError("give a share of one, or whole ones", key="gpus", value=gpus)
        # Two calls at once: the one that trains, and the one that stops it.
        self._actor = self.ray.remote(num_cpus=1, num_gpus=takes, max_concurrency=2)(_Trainer)
        self._idle: list[Any] = []
        self._jobs = jobs
        self._running: dict[Any, _Running] = {}  # by the reference of its answer
        self._lost: list[tuple[float, Task, int]] = []  # when they begin again, and their losses
        self._stopped: set[int] = set()

    @property
    def free(self) -> int:
        """Trials that are not begun yet; Ray keeps one waiting until there is room for it."""
        return self._jobs - len(self._running) - len(self._lost)

    def start(self, task: Task) -> None:
        """By an actor that is idle, else by a new one."""
        self._begin(task)

    def _begin(self, task: Task, losses: int = 0) -> None:
        actor = self._idle.pop() if self._idle else self._actor.remote()
        running = _Running(task, actor, actor.there.remote(), losses)
        self._running[actor.train.remote(task.values())] = running

    def ended(self) -> list[Outcome]:
        """Those whose answer has come, or never will."""
        waiting = [*self._running]
        done, _ = (
            self.ray.wait(waiting, num_returns=len(waiting), timeout=0) if waiting else ([], [])
        )
        found = []
        for reference in done:
            running = self._running.pop(reference)
            try:
                found.append(Outcome(**self.ray.get(reference)))
                self._release(running.actor)
            except self.ray.exceptions.RayError as error:  # the machine, or the actor, is gone
                found += self._lose(running.task, running.losses + 1, one_line(error))
        for lost in [*self._lost]:
            when, task, losses = lost
            if task.number in self._stopped:
                self._lost.remove(lost)
                found.append(Outcome(task.number, "stopped", "its machine was lost"))
            elif time.monotonic() >= when:
                self._lost.remove(lost)
                self._begin(task, losses)
        return found

    def _lose(self, task: Task, losses: int, reason: str) -> list[Outcome]:
        """Have a trial begun again that was lost with its actor, if that was not too often."""
        if losses > LOSSES:
            return [Outcome(task.number, "failed", f"lost {losses} times: {reason}")]
        self._lost.append((time.monotonic() + PAUSE * losses, task, losses))
        return []

    def _release(self, actor: Any) -> None:
        """Keep an actor for the next trial, unless one waits for the room that it takes."""
        calls = [running.there for running in self._running.values()]
        there, _ = self.ray.wait(calls, num_returns=len(calls), timeout=0) if calls else ([], [])
        if len(there) < len(calls):
            self.ray.kill(actor)
        else:
            self._idle.append(actor)

    def stop(self, number: int) -> None:
        """Tell the actor that trains it."""
        self._stopped.add(number)
        for running in self._running.values():
            if running.task.number == number:
                running.actor.stop.remote(number)

    def close(self) -> None:
        """Stop all, wait until they are saved, and give the actors back."""
        for running in [*self._running.values()]:
            self.stop(running.task.number)
        if self._running:
            self.ray.wait([*self._running], num_returns=len(self._running), timeout=LEAVING)
        for actor in (*self._idle, *(running.actor for running in self._running.values())):
            self.ray.kill(actor)
