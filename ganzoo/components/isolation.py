"""Running plugins' code: what it does to leave Python,
or to write where a command's answer goes, is held back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from ..errors import Left, plain_line


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """A plugin's code runs within: sys.exit there, or an interrupt that nobody sent, becomes Left.

    A person's Ctrl-C stays a KeyboardInterrupt, even if the code
    swallows it. The two are told apart by whether the signal came;
    outside the main thread, where none arrives, it is always the code's.
    """
    with _interrupts() as pressed:
        try:
            yield
        except (Exception, GeneratorExit):
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and pressed:
                raise
            text = plain_line(f"{type(error).__name__}: {error}").rstrip(": ")
            raise Left(text).with_traceback(error.__traceback__) from error
        if pressed and pressed[-1] is signal.default_int_handler:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupts() -> Iterator[list[object]]:
    """A list that fills when SIGINT comes, with what handled it before and still does."""
    pressed: list[object] = []
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    if not callable(before):
        yield pressed
        return

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(before)
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def off_stdout() -> Iterator[None]:
    """What is printed within, by Python or through file descriptor
    1, comes out on stderr: stdout holds a command's answer.
    """
    kept = None
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there may be none
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            _flush_c()
            os.dup2(kept, 1)
            os.close(kept)


def _flush_c() -> None:
    """C's own buffer, which holds what a library printed until it is told otherwise."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).fflush(None)
