"""Nothing takes more than a second in silence: what is being
done is shown, by a spinner on a terminal, by a line elsewhere.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ..io.activity import heard
from ._echo import echo
from ._shared import plain
from ._voice import speaks

PATIENCE = 1.0  # seconds that a step may take unsaid


class Teller:
    """Shows a phrase on stderr once it has been true
    for PATIENCE seconds, until another one is told.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._what = ""
        self._timer: threading.Timer | None = None
        self._spinner: Any = None

    def tell(self, what: str, now: bool = False) -> None:
        """From here on this is done; an empty phrase is nothing, and takes the spinner away."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._spinner is not None:
                self._spinner.stop()
            self._what, self._timer, self._spinner = what, None, None
        if what and now:
            self._show(what)
        elif what:
            self._timer = threading.Timer(PATIENCE, self._show, (what,))
            self._timer.daemon = True
            self._timer.start()

    def _show(self, what: str) -> None:
        with self._lock:
            if self._what != what:  # it was done just now
                return
            if not sys.stderr.isatty():
                echo(f"{plain(what)} ...", err=True)
                return
            from rich.console import Console
            from rich.text import Text

            self._spinner = Console(stderr=True).status(Text(plain(what)))
            self._spinner.start()


@contextlib.contextmanager
def patience(first: str = "loading PyTorch") -> Iterator[None]:
    """Within, steps that take longer than a second are shown;
    `first` is what is done until the first one speaks. Of several ranks, by the first alone.
    """
    if not speaks():
        yield
        return
    teller = Teller()
    with heard(teller.tell):
        teller.tell(first)
        try:
            yield
        finally:
            teller.tell("")
