"""Work on many small things in a few threads, results
in order and never far ahead of who takes them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_chunks(
    function: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    *,
    threads: int,
    chunk: int = 64,
) -> Iterator[Result]:
    """`function` of each run of `chunk` items, in order;
    an abandoned iterator leaves no thread behind.
    """
    runs = (items[start : start + chunk] for start in range(0, len(items), chunk))
    if threads <= 1:
        yield from map(function, runs)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for run in runs:
                waiting.append(pool.submit(function, run))
                if len(waiting) > 3 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
