"""Which ranks are gone, where a message between them has failed. Each beats in the store where all
have met; whoever does not any more has ended, stands still, or is cut off.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from typing import Any

BEAT = 0.4  # seconds between two
SECONDS = 2.0  # in which each that is left beats
NAMED = 4  # ranks in a line, at most


class RollCall:
    """The names of all machines, and later who still answers.

    asks: whether this rank is to know: the first one on its machine
    """

    def __init__(self, store: Any, rank: int, count: int, asks: bool) -> None:
        self.store, self.rank, self.count, self.asks = store, rank, count, asks
        store.set(f"machine/{rank}", platform.node())
        keys = [f"machine/{number}" for number in range(count)]
        names = store.multi_get(keys) if asks else []
        self.machines = [name.decode(errors="replace") for name in names]
        self._over = threading.Event()
        # Daemons: where this machine is cut off, the store may never return.
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def _beat(self) -> None:
        with contextlib.suppress(Exception):
            while not self._over.wait(BEAT):
                self.store.add(f"beats/{self.rank}", 1)

    def end(self) -> None:
        """Beat no more. A program that ends while its thread is within the store is aborted."""
        self._over.set()
        self._beating.join(SECONDS)

    def missing(self) -> str:
        """Who does not answer, in words. Those that ask are told that this rank is here, whatever
        becomes of it.
        """
        self._over.set()
        found: list[int] | None = None

        def call() -> None:
            nonlocal found
            with contextlib.suppress(Exception):
                found = self._silent()

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(2 * SECONDS if self.asks else BEAT)
        if not self.asks:
            return "another rank"
        if found is None:
            place = os.environ.get("MASTER_ADDR", "")
            return f"{place}, where the ranks met (this machine is cut off, or that one),"
        named = [f"rank {rank} on {self.machines[rank]}" for rank in found[:NAMED]]
        more = [f"{len(found) - NAMED} more"] * (len(found) > NAMED)
        return ", ".join([*named, *more]) or "a message between ranks, and none of them,"

    def _silent(self) -> list[int]:
        """The ranks that do not beat, but for those that ended since they miss others."""
        self.store.set(f"here/{self.rank}", "")
        if not self.asks:
            return []
        before = self._beats()
        threading.Event().wait(SECONDS)
        after = self._beats()
        others = [rank for rank in range(self.count) if rank != self.rank]
        still = [rank for rank in others if before[rank] == after[rank]]
        return [rank for rank in still if not self.store.check([f"here/{rank}"])]

    def _beats(self) -> list[int]:
        return [self.store.add(f"beats/{rank}", 0) for rank in range(self.count)]
