"""What is being done at the moment: long steps say a phrase
when they begin, and whoever listens shows it if they take long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

LARGE = 64 << 20  # bytes of pictures; above, their size is said before they are decoded
Listener = Callable[[str, bool], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def doing(what: str, *, now: bool = False) -> None:
    """Say what begins here, such as "building the nets"; with
    `now`, to be shown at once. Empty: nothing to be said any more.
    """
    listener = _listener.get()
    if listener is not None:
        listener(what, now)


@contextlib.contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Within, `listener` is told (what, whether to show it at once)."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def mebibytes(size: int) -> str:
    """A size in bytes, for a person."""
    return f"{size / 2**20:,.0f} MiB"
