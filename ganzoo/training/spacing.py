"""Things that are due by images, kept apart in time."""

from __future__ import annotations

import time


class Spacing:
    """Says when something that is due may happen: at once, or `seconds` after the last time.

    A fast GPU passes 50,000 images every second, and
    a checkpoint every second is of no use to anybody.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last, self._waits = -float("inf"), False

    def due(self, now_due: bool) -> bool:
        """Whether it is to happen now; what comes too
        early is made up for when the time has passed.
        """
        self._waits = self._waits or now_due
        if not self._waits or time.monotonic() - self._last < self.seconds:
            return False
        self._last, self._waits = time.monotonic(), False
        return True
