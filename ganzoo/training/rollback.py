"""Going back to the last good checkpoint when a loss or gradient is not finite any more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

from ..components.isolation import contained
from ..distributed.states import given_state
from ..errors import BadRun, GanzooError
from ..io import checkpoints as checkpoint
from ..io.checkpoints import State
from . import log_file as logbook
from .loop import Training, Verdict
from .meters import NotFinite

# Rollbacks in one run; one that still diverges at an eighth of its learning rate needs a person
LIMIT = 3


def run(training: Training, tell: Callable[[str], None]) -> None:
    """Run the training; with `train.on_nan = "rollback"`, go on from the last good checkpoint with
    other random numbers and half the learning rates, at most LIMIT times. Raises NotFinite when
    that is not asked for, not possible, or not enough.
    """
    while True:
        try:
            _train(training)
            return
        except NotFinite as error:
            state = None
            if training.ranks.first:
                _note(training, error)
                state = _good_state(training, error, tell)
                training.announce(Verdict.NOT_FINITE)
            rollbacks = training.rollbacks + 1
            training.load_state_dict(given_state(training.ranks, state))
            training.roll_back(rollbacks, str(error))
            tell(
                f"{error}; went back to {training.images:,} images with half the learning rates "
                f"(rollback {rollbacks} of {LIMIT})"
            )


def _good_state(training: Training, error: NotFinite, tell: Callable[[str], None]) -> State:
    """What the last good checkpoint holds; raises NotFinite where there is no way back."""
    if training.config.train.on_nan != "rollback" or training.folder is None:
        raise error
    if training.rollbacks >= LIMIT:
        raise NotFinite(f"{error} (after {LIMIT} rollbacks)") from None
    try:
        found = checkpoint.newest(training.folder, tell, training.largest_state)
    except BadRun as broken:
        raise NotFinite(f"{error} (no checkpoint to go back to: {broken})") from None
    if found is None:
        raise NotFinite(f"{error} (no checkpoint to go back to)") from None
    return found[0]


def _note(training: Training, error: NotFinite) -> None:
    """Write into the log what went wrong; a rollback drops the line, and writes one of its own."""
    if training.folder is not None:
        line = {"images": training.images, "event": "not finite", "reason": str(error)}
        with contextlib.suppress(GanzooError):  # a disk that is full is not what went wrong
            logbook.append(training.folder, line)


def _train(training: Training) -> None:
    """The training; an error that is not ours and arose in a
    part's code becomes one that names the part and its plugin.
    """
    try:
        with contained():
            training.run()
    except (GanzooError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if training.ranks.count > 1 and (lost := training.ranks.lost(error)):
            raise lost from None
        blamed = training.pipeline.blame(error)
        if blamed is error:
            raise
        raise blamed from error
