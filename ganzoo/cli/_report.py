"""What a person sees of a training: a progress line on a terminal, one plain line a report elsewhere; all of it on stderr."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..contracts import Tracker
from ._shared import plain

if TYPE_CHECKING:
    from ..pipeline import Pipeline
    from ..training import Training

PLAIN_EVERY = 5.0  # seconds between two lines where there is no terminal
CONSOLE = Console(stderr=True)


def say(text: str) -> None:
    """One line on stderr."""
    CONSOLE.print(Text(plain(text)), soft_wrap=True)


def losses(record: Mapping[str, Any]) -> str:
    """A log line's figures for a person."""
    disc, gen = record.get("discriminator", {}), record.get("generator", {})
    parts = [f"loss D {disc.get('total', 0):.3f} G {gen.get('total', 0):.3f}"]
    parts.append(f"D(real) {record.get('D(real)', 0):+.2f} D(fake) {record.get('D(fake)', 0):+.2f}")
    parts.append(f"grad D {disc.get('gradient', 0):.2g} G {gen.get('gradient', 0):.2g}")
    return "  ".join(parts)


class Reporter(Tracker):
    """Shows a training's progress."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        self.total, self.folder = pipeline.config.train.images, folder
        self.began, self.first, self.said = time.monotonic(), 0, 0.0
        self.bar: Progress | None = None
        self.task: TaskID | None = None

    def start_from(self, images: int) -> None:
        """A resumed training has done this much."""
        self.first = images
        say(f"resumed at {images:,} images")

    def start(self, run: Mapping[str, Any]) -> None:
        self.began = time.monotonic()
        if CONSOLE.is_terminal:
            self.bar = Progress(
                TextColumn("{task.fields[speed]}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[losses]}\n{task.fields[health]}", markup=False), console=CONSOLE,
            )  # fmt: skip
            self.bar.start()
            self.task = self.bar.add_task("", total=self.total, completed=self.first, speed="", losses="", health="")

    def tick(self, images: int) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=min(images, self.total), speed=f"{self._speed(images):,.0f} images/s")

    def _speed(self, images: int) -> float:
        return (images - self.first) / max(time.monotonic() - self.began, 1e-9)

    def log(self, record: Mapping[str, Any]) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, losses=losses(record), health=str(record["health"]))
            return
        if time.monotonic() - self.said < PLAIN_EVERY:
            return
        self.said = time.monotonic()
        images = record["images"]
        left = (self.total - images) / max(self._speed(images), 1e-9)
        speed = f"{self._speed(images):,.0f} images/s  {left:.0f} s left"
        say(f"{images:,}/{self.total:,} images  {speed}  {losses(record)}  {record['health']}")

    def finish(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


@contextlib.contextmanager
def data_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar for reading pictures, shown from the first call on."""
    bar = Progress(
        TextColumn("reading pictures"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=CONSOLE,
        transient=True,
    )
    task = bar.add_task("", total=None)

    def progress(done: int, total: int) -> None:
        if CONSOLE.is_terminal:
            bar.start()
            bar.update(task, completed=done, total=total)

    try:
        yield progress
    finally:
        if bar.live.is_started:  # else stopping prints an empty line
            bar.stop()


@contextlib.contextmanager
def stopping(training: Training) -> Iterator[None]:
    """SIGINT and SIGTERM ask the training to finish its update, save and leave; a second one quits at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if training.stop is not None:
            os._exit(128 + number)
        training.stop = number
        click.echo("\nstopping after this update, then saving; once more quits at once", err=True)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
