"""The rules of the log while a training goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..assembly.pipeline import Pipeline
from ..contracts import GradientPenalty, Tracker
from ..errors import GanzooError
from ..runs import log as run_log
from ..training.run_folder import flat
from .case import ENDS, LINES, Case
from .rules import of_log

YOUNG = 0.25  # of the training, in which a generator that has learnt nothing looks collapsed
TIMES = 100  # that the rules are asked in a training, at most about


class Watch(Tracker):
    """Tells each ailment of the log once, when it has lasted.

    tell: gets one line
    """

    def __init__(self, pipeline: Pipeline, tell: Callable[[str], None]) -> None:
        regularizers = pipeline.parts.regularizers.items()
        held = [
            name
            for name, each in regularizers
            if isinstance(each, GradientPenalty) and each.at in ENDS
        ]
        settings = flat(pipeline.config.tree())
        self.case = Case(settings, 0, pipeline.config.train.images, [], [], held, live=True)
        self.tell = tell
        self.told: set[str] = set()

    def start(self, run: Mapping[str, Any], folder: Path | None, images: int) -> None:
        """Read the lines of a training that goes on."""
        self.case.lines = []
        if folder is None or not images:
            return
        with contextlib.suppress(GanzooError):
            lines = [line for line in run_log.log_lines(folder) if "event" not in line]
            self.case.lines = [run_log.figures(line) for line in lines if run_log.images_of(line)]

    def log(self, record: Mapping[str, Any]) -> None:
        """Ask the rules."""
        case = self.case
        case.lines.append(run_log.figures(record))
        case.images = int(record["images"])
        count = len(case.lines)
        if count < LINES or case.images < YOUNG * case.goal or count % (count // TIMES + 1):
            return
        for finding in of_log(case):
            if finding.rule not in self.told:
                self.told.add(finding.rule)
                since = f"since {finding.since:,} images"
                self.tell(f"doctor: {finding.rule} {since}: {finding.evidence}")
