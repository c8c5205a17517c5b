"""Trackers of a pipeline, which never stop a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..components.isolation import contained
from ..contracts import Tracker
from ..errors import one_line


class Forgiven(Tracker):
    """A tracker of which a failure is told, once, and that hears no more after it.

    called: its section and plugin, for the line. tell: gets the line; may be called by the writer's
    thread, which tells of pictures.
    """

    def __init__(self, tracker: Tracker, called: str, tell: Callable[[str], None]) -> None:
        self.tracker, self.called, self.tell = tracker, called, tell
        self.failed = False

    def _try(self, method: Callable[..., None], *arguments: Any) -> None:
        if self.failed:
            return
        try:
            with contained():
                method(*arguments)
        except Exception as error:
            self.failed = True
            self.tell(
                f"{self.called} fails: {one_line(error)}; the training goes on, and it hears no "
                f"more of it"
            )

    def start(self, run: Mapping[str, Any], folder: Path | None, images: int) -> None:
        """As the tracker's; a training that begins anew gives it another chance."""
        self.failed = False
        self._try(self.tracker.start, run, folder, images)

    def log(self, record: Mapping[str, Any]) -> None:
        """As the tracker's."""
        self._try(self.tracker.log, record)

    def picture(self, name: str, path: Path) -> None:
        """As the tracker's."""
        self._try(self.tracker.picture, name, path)

    def score(self, scores: Mapping[str, float], images: int) -> None:
        """As the tracker's."""
        self._try(self.tracker.score, scores, images)

    def finish(self) -> None:
        """As the tracker's."""
        self._try(self.tracker.finish)
