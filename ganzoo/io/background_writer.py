"""Writing beside the training: one thread, one job at
a time, in order; an error comes back at the next call.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from .side_threads import compute_alone

PENDING = 4  # jobs that may wait; more would hold as many copies of the state in memory


class Writer:
    """Takes jobs that own all they touch (copies of tensors), and runs them in the order given."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "ganzoo-writer", compute_alone)
        self._jobs: list[Future[None]] = []

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job; waits when too many are pending, and raises what an earlier one raised."""
        while self._jobs and (self._jobs[0].done() or len(self._jobs) >= PENDING):
            self._jobs.pop(0).result()
        self._jobs.append(self._pool.submit(job))

    def wait(self) -> None:
        """Return when everything is written; raises what a job raised."""
        while self._jobs:
            self._jobs.pop(0).result()

    def settle(self) -> None:
        """Return when no job runs any more; what one raised is still to come."""
        wait(self._jobs)

    def close(self) -> None:
        """Finish what is queued and end the thread, whatever the jobs raise."""
        self._pool.shutdown(wait=True)
        self._jobs = []
