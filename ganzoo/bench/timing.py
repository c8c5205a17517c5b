"""Timing updates: laps on the device's own clock, and several
variants in turn, so that the machine's moods meet all alike.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..engine.devices import choose_precision
from ..training.loop import Training

ROUNDS = 8  # turns that each variant gets
WARM_UP = 3  # updates before any is timed


def wait(device: torch.device) -> None:
    """Return when the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Laps:
    """Times between marks on the device's own clock; a
    mark on a GPU is an event, which nobody waits for.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._runs: list[list[Any]] = []

    def start(self) -> None:
        """The first mark of a run of laps."""
        self._runs.append([self._mark()])

    def lap(self) -> None:
        """A mark; the time since the last one is a lap."""
        self._runs[-1].append(self._mark())

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            wait(self.device)
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def runs(self) -> list[list[float]]:
        """Seconds of every lap, a list for each run."""
        wait(self.device)
        return [[self._gap(a, b) for a, b in itertools.pairwise(marks)] for marks in self._runs]

    def _gap(self, a: Any, b: Any) -> float:
        return float(a.elapsed_time(b) / 1e3 if self.device.type == "cuda" else b - a)

    def seconds(self) -> list[float]:
        """Seconds of every lap."""
        return [lap for run in self.runs() for lap in run]

    def clear(self) -> None:
        """Forget all laps."""
        self._runs = []


def set_switches(precision: str, device: torch.device) -> None:
    """PyTorch's global switches for a precision; "default" is how
    they stand when nobody touches them: TF32 in convolutions.
    """
    choose_precision("fp32" if precision == "default" else precision, device)
    if precision == "default":
        torch.backends.cudnn.allow_tf32 = True


@dataclass
class Variant:
    """One way of running updates. `run(n)` runs n of them,
    each a lap; an update shows `images` real images.
    """

    name: str
    images: int
    run: Callable[[int], None]
    laps: Laps
    precision: str = "fp32"
    first: float = 0.0  # seconds of the first update, compilation included
    block: int = 1  # updates in a turn

    def warm_up(self) -> None:
        """The first updates, which compile and allocate."""
        set_switches(self.precision, self.laps.device)
        began = time.perf_counter()
        self.run(1)
        wait(self.laps.device)
        self.first = time.perf_counter() - began
        self.run(WARM_UP)
        wait(self.laps.device)

    def turn(self) -> None:
        """A block of updates, in the precision that
        this variant wants of PyTorch's global switches.
        """
        set_switches(self.precision, self.laps.device)
        self.run(self.block)
        wait(self.laps.device)

    @property
    def median(self) -> float:
        """Seconds of an update."""
        return statistics.median(self.laps.seconds())

    @property
    def mean(self) -> float:
        """Seconds of an update."""
        return statistics.mean(self.laps.seconds())


def interleave(variants: Sequence[Variant], seconds: float, rounds: int = ROUNDS) -> None:
    """Time each variant, warmed up already, for about as long,
    block by block in turn, every second round backwards.
    """
    for variant in variants:
        pace = statistics.median(variant.laps.seconds()[-WARM_UP:])
        variant.block = max(1, round(seconds / rounds / pace))
        variant.laps.clear()
    for number in range(rounds):
        for variant in variants if number % 2 == 0 else reversed(variants):
            variant.turn()


def paired_ratio(
    slow: Variant, quick: Variant, of: Callable[[Sequence[float]], float] = statistics.mean
) -> float:
    """How many times the other's time an update takes: the median
    over rounds of the ratio of a round's means (or medians).

    The means hold what happens now and then, such as log lines;
    the median drops rounds in which the machine did other things.
    """
    pairs = zip(slow.laps.runs(), quick.laps.runs(), strict=True)
    return statistics.median(of(a) / of(b) for a, b in pairs)


def repeated(step: Callable[[], object], laps: Laps) -> Callable[[int], None]:
    """`run` of a variant that calls a function for every update."""

    def run(count: int) -> None:
        laps.start()
        for _ in range(count):
            step()
            laps.lap()

    return run


class Ticking:
    """A training as a variant: `run` moves its goal
    on by so many updates, and its ticks are the laps.
    """

    def __init__(self, device: torch.device) -> None:
        self.laps = Laps(device)
        self.training: Training | None = None  # whoever makes it needs `tick` first
        self._fresh = True

    def tick(self, images: int) -> None:
        """For Training: the end of an update. The first one of
        a run starts the laps: it holds the run's own beginning.
        """
        if self._fresh:
            self.laps.start()
        else:
            self.laps.lap()
        self._fresh = False

    def run(self, count: int) -> None:
        """So many laps, and one update before them."""
        training = self.training
        assert training is not None
        train = training.config.train
        training.goal = training.images + (count + 1) * train.batch_size * train.n_critic
        self._fresh = True
        training.run()
