"""Ranks that torchrun started: the first one speaks, the others follow."""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._voice import speaks, started

if TYPE_CHECKING:
    from ..components.registry import Registry
    from ..distributed.ranks import Ranks

PATIENCE = 10  # seconds by which the first rank may be later than another


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


@contextlib.contextmanager
def first_alone() -> Iterator[Ranks | None]:
    """Within, the first rank is alone: what it finds wrong is said before others find it, which
    enter when it has left. None for a program that torchrun did not start.
    """
    ranks = join("cpu")
    if ranks is not None and not ranks.first:
        ranks.tell()
    yield ranks
    if ranks is not None and ranks.first:
        ranks.tell({})


@contextlib.contextmanager
def left_to_the_first() -> Iterator[None]:
    """Within, a rank that loses the others, or is unlike them, ends in silence: the first one says
    so, and of a loss the first on every machine, since that of others may be what is lost.
    """
    if speaks():
        yield
        return
    from ..distributed.ranks import RankGone, Unlike

    try:
        yield
    except (RankGone, Unlike) as error:
        if isinstance(error, RankGone) and os.environ.get("LOCAL_RANK") == "0":
            raise
        raise click.exceptions.Exit(1) from None


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


def follow(ranks: Ranks, registry: Registry) -> int:
    """Train what the first rank trains; returns the exit code."""
    from ..distributed.ranks import RankGone
    from ..training import following
    from ..training.loop import Interrupted, Training
    from ._report import stopping

    begun: list[Training] = []

    def heard(training: Training) -> contextlib.AbstractContextManager[None]:
        begun.append(training)
        return stopping(training, lambda line: None)

    try:
        with left_to_the_first():
            following.follow(ranks, registry, heard)
    except Interrupted as error:
        return 128 + error.signal
    except (RankGone, click.exceptions.Exit):
        stop = begun[0].stop if begun else None
        if stop is None:
            raise
        return 128 + stop  # all were told to end, so nobody waits for what the first has to say
    return 0
