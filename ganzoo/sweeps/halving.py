"""Successive halving, asynchronous (ASHA: Li et al. 2020): a trial goes on past a rung only where
it is among the best that have come to it. Optuna's, behind the extra `sweep`.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

from ..errors import GanzooError
from .results import Result


def optuna() -> Any:
    """The package; raises GanzooError with how to get it."""
    try:
        return importlib.import_module("optuna")
    except ImportError:
        raise GanzooError(
            "successive halving is optuna's, which is not installed",
            remedy="pip install 'ganzoo[sweep]'",
        ) from None


class Halving:
    """Weighs trials as their scores come in.

    Its study is in memory alone, and made again of the results of a sweep that goes on: nothing of
    optuna's is stored, so nothing is unpickled.

    factor: of the trials at a rung one in so many goes on. first: images of the first rung; each
    other has `factor` times as many
    """

    def __init__(self, factor: int, first: int, larger: bool) -> None:
        package = optuna()
        package.logging.set_verbosity(package.logging.WARNING)
        pruner = package.pruners.SuccessiveHalvingPruner(
            min_resource=first, reduction_factor=factor
        )
        sampler = package.samplers.RandomSampler(seed=0)
        self.study = package.create_study(
            direction="maximize" if larger else "minimize", pruner=pruner, sampler=sampler
        )
        self._states = package.trial.TrialState
        self._trials: dict[int, Any] = {}

    def weigh(self, number: int, images: int, value: float) -> bool:
        """Take in a score; whether the trial shall end here."""
        if number not in self._trials:
            self._trials[number] = self.study.ask()
        self._trials[number].report(value, images)
        return bool(self._trials[number].should_prune())

    def end(self, result: Result) -> None:
        """A trial has ended."""
        trial = self._trials.pop(result.trial, None)
        if trial is None:
            return
        if result.status == "finished" and result.score is not None:
            self.study.tell(trial, result.score)
            return
        pruned = result.status == "pruned"
        self.study.tell(trial, state=self._states.PRUNED if pruned else self._states.FAIL)

    def replay(self, results: list[Result]) -> None:
        """Take in trials that ended before."""
        for result in results:
            for images, value in result.measures:
                if math.isfinite(value):
                    self.weigh(result.trial, images, value)
            self.end(result)
