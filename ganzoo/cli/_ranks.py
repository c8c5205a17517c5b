"""Ranks that torchrun started: the first one speaks, the others follow."""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ._shared import loaded

if TYPE_CHECKING:
    from ..distributed.ranks import Ranks

PATIENCE = 10  # seconds by which the first rank may be later than another


def started() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def speaks() -> bool:
    """Whether this process says what goes for all ranks: it is the first of them, or alone."""
    return not started() or os.environ.get("RANK", "0") == "0"


def let_the_first_speak() -> None:
    """Wait, on a rank that fails in silence: torchrun ends all ranks as soon as one has ended, also
    the first one before it has said what is wrong.
    """
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(PATIENCE)


def join(device: str | None) -> Ranks | None:
    """The ranks that train together, if torchrun started them."""
    if not started():
        return None
    from ..distributed import ranks

    found = ranks.join(device or "auto")
    atexit.register(found.leave)
    return found


def begun(root: Path) -> Path | None:
    """The run that this job of torchrun has begun and not ended, if there is one."""
    if not started():
        return None
    from ..training import restarts

    return restarts.remembered(root)


def remember(root: Path, folder: Path) -> None:
    """Note that this job of torchrun trains that run."""
    if started():
        from ..training import restarts

        restarts.remember(root, folder)


def dismiss(ranks: Ranks | None) -> None:
    """Tell the other ranks, if there are some, that there is nothing to train."""
    if ranks is not None:
        from ..training import following

        following.dismiss(ranks)


def follow(ranks: Ranks) -> int:
    """Train what the first rank trains; returns the exit code."""
    from ..distributed.ranks import RankGone, Unlike
    from ..training import following
    from ..training.loop import Interrupted
    from ._report import stopping

    try:
        following.follow(
            ranks, loaded().registry, lambda training: stopping(training, lambda line: None)
        )
    except Interrupted as error:
        return 128 + error.signal
    except (RankGone, Unlike):  # the first rank says it
        return 1
    return 0
