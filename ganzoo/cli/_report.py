"""What a person sees of a training: a progress line on a
terminal, one plain line a report elsewhere; all of it on stderr.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..contracts import Tracker
from ..errors import printable
from ..io.activity import doing
from ._patience import Teller
from ._shared import plain

if TYPE_CHECKING:
    from ..assembly.pipeline import Pipeline
    from ..training.loop import Training

PLAIN_EVERY = 5.0  # seconds between two lines where there is no terminal
QUIET = 10.0  # seconds without a line of the log, after which the images are told alone


class Stderr:
    """Standard error as it is now. Where nobody reads it any more (the terminal was closed, a pipe
    ended), nothing is written: a training goes on, or saves and leaves.
    """

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError, ValueError):
            self._now().write(text)
        return len(text)

    def flush(self) -> None:
        """Send what can be sent."""
        with contextlib.suppress(OSError, ValueError):
            self._now().flush()

    def _now(self) -> Any:
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # a bar stands before it

    def __getattr__(self, name: str) -> Any:
        if name == "rich_proxied_file":  # rich would write past this one
            raise AttributeError(name)
        return getattr(self._now(), name)


CONSOLE = Console(file=cast("TextIO", Stderr()))


def say(text: str) -> None:
    """One line on stderr."""
    CONSOLE.print(Text(plain(text)), soft_wrap=True)


_told = [-math.inf]  # when something was said now and then


def now_and_then(text: str, now: bool = False) -> None:
    """One line on stderr of what takes long in a training, beside its bar: the first, and another
    after some seconds; what is to be said now, always.
    """
    if text and (now or time.monotonic() - _told[0] >= PLAIN_EVERY):
        _told[0] = time.monotonic()
        say(text)


def figures(record: Mapping[str, Any]) -> str:
    """What a log line knows, for a person: losses,
    logits, gradient norms, and the health's figure.
    """
    disc, gen = record.get("discriminator", {}), record.get("generator", {})
    pairs = {
        "loss": {"D": disc.get("total"), "G": gen.get("total")},
        "": {"D(real)": record.get("D(real)"), "D(fake)": record.get("D(fake)")},
        "grad": {"D": disc.get("gradient"), "G": gen.get("gradient")},
    }
    parts = []
    for name, values in pairs.items():
        known = [f"{key} {_short(value)}" for key, value in values.items() if value is not None]
        parts.append(" ".join([name, *known]).strip() if known else "")
    return " | ".join(
        part for part in (*parts, str(record.get("health", "")).partition(": ")[2]) if part
    )


def _short(value: float) -> str:
    """Two decimals; two digits of a small number, none after the point of a large one."""
    size = abs(value)
    if 0 < size < 0.1 or size >= 1e5:
        return f"{value:.2g}"
    return f"{value:.0f}" if size >= 100 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """1:03 or 2:01:03."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Lines(Progress):
    """A bar, and under it one line of figures that is cut to the terminal's width."""

    figures = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is drawn, ten times a second."""
        yield self.make_tasks_table(self.tasks)
        line = Text(self.figures, no_wrap=True)
        line.truncate(
            max(CONSOLE.width - 3, 1), overflow="ellipsis"
        )  # room for the ^C that a terminal may add
        yield line


class Reporter(Tracker):
    """Shows a training's progress: two lines that stay in
    place on a terminal, one plain line a report elsewhere.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.total = pipeline.config.train.images
        self.began, self.first, self.said = (
            time.monotonic(),
            0,
            0.0,
        )  # first: images that speed is not counted of
        self.fresh = True  # no update yet
        self.health = ""  # in a word or two
        self.heard = 0.0  # when anything was said
        self.teller = Teller()
        self.bar: Lines | None = None
        self.task: TaskID | None = None

    def start_from(self, images: int) -> None:
        """A resumed training has done this much."""
        self.first = images
        say(f"resumed at {images:,} images")

    def start(self, run: Mapping[str, Any], folder: Path | None, images: int) -> None:
        """Begin to count time, and draw the bar on a terminal."""
        self.began = self.heard = time.monotonic()
        if not CONSOLE.is_terminal:
            self.teller.tell("the first update")
        if CONSOLE.is_terminal:
            columns = (
                BarColumn(bar_width=None),
                TextColumn("{task.fields[counted]}", markup=False),
            )
            self.bar = Lines(*columns, console=CONSOLE, expand=True)
            self.task = self.bar.add_task(
                "", total=self.total, completed=self.first, counted=self._counted(self.first)
            )
            self.bar.start()

    def tick(self, images: int) -> None:
        """After every update. Speed is counted from the first
        one, in which the update may have been compiled.
        """
        if self.fresh:
            self.teller.tell("")
            self.began, self.first, self.fresh = time.monotonic(), images, False
        if self.bar is None and time.monotonic() - self.heard >= QUIET:
            self.heard = time.monotonic()
            say(self._counted(images))
        self._move(images)

    def _move(self, images: int) -> None:
        """The bar, where there is one, at so many images."""
        if self.bar is not None and self.task is not None:
            self.bar.update(
                self.task, completed=min(images, self.total), counted=self._counted(images)
            )

    def _counted(self, images: int) -> str:
        """Images done, and once they are known, their speed, the time left and the health."""
        text = f"{images:,}/{self.total:,} images"
        if images <= self.first:
            return text
        speed = (images - self.first) / max(time.monotonic() - self.began, 1e-9)
        text += f" | {speed:,.0f} images/s | {duration((self.total - images) / speed)} left"
        return f"{text} | {self.health}" if self.health else text

    def log(self, record: Mapping[str, Any]) -> None:
        """After every line of log.jsonl."""
        images = record["images"]
        self.health = str(record.get("health", "")).partition(": ")[0]
        if self.bar is not None:
            self.bar.figures = figures(record)
            self._move(images)  # its health is this line's, too
        elif images >= self.total or time.monotonic() - self.said >= PLAIN_EVERY:
            self.said = self.heard = time.monotonic()
            say(f"{self._counted(images)} | {figures(record)}")

    def score(self, scores: Mapping[str, float], images: int) -> None:
        """What the metrics found."""
        found = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        say(f"scores after {images:,} images: {found}")

    def announce(self, text: str) -> None:
        """Show a line at once; safe in a signal handler, where printing is not."""
        if self.bar is not None:
            self.bar.figures = text
        else:
            write_now(f"{printable(text)}\n".encode())

    def finish(self) -> None:
        """Leave the last figures on the screen."""
        self.teller.tell("")
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


@contextlib.contextmanager
def data_progress(what: str = "reading pictures") -> Iterator[Callable[[int, int], None]]:
    """A bar for reading pictures, or something else, shown from the first call on."""
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=CONSOLE,
        transient=True,
    )
    task = bar.add_task("", total=None)

    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if CONSOLE.is_terminal:
            if not bar.live.is_started:
                doing("")  # there is room for one moving line
            bar.start()
            bar.update(task, completed=done, total=total)
        elif time.monotonic() - said >= PLAIN_EVERY:
            said = time.monotonic()
            say(f"{what}: {done:,} of {total:,}")

    try:
        yield progress
    finally:
        if bar.live.is_started:  # else stopping prints an empty line
            bar.stop()


def write_now(content: bytes) -> None:
    """Bytes on standard error from a signal handler, where an error would end the training."""
    with contextlib.suppress(OSError):
        os.write(2, content)


# Asked for by a person, by a machine that goes down, by a terminal that is closed. Windows has not
# the last one.
STOPS = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def stopping(training: Training, announce: Callable[[str], None]) -> Iterator[None]:
    """A signal to stop asks the training to finish its update, save and leave."""

    def ask(number: int) -> None:
        training.stop = number
        announce("stopping after this update, then saving; once more quits at once")

    with stops(ask):
        yield


@contextlib.contextmanager
def stops(ask: Callable[[int], None]) -> Iterator[None]:
    """Within, `ask` is told of the first SIGINT, SIGTERM or SIGHUP, and a second one quits at
    once. What the process was told to ignore (nohup) stays ignored.
    """
    asked: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if asked:
            if CONSOLE.is_terminal:
                write_now(b"\x1b[?25h\n")  # a bar hides the cursor
            os._exit(128 + number)
        asked.append(number)
        ask(number)

    numbers = [getattr(signal, name) for name in STOPS if hasattr(signal, name)]
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, hear) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
