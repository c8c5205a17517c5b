"""Samples that several ranks draw, each its share; and a folder that is there once all are."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..distributed.ranks import Ranks
from ..distributed.software import digest, software
from ..io.files import sync_folder, tensor_bytes
from .generator_file import sum_of
from .sampling import LoadedGenerator, rows_of


def shares_of(ranks: Ranks, generator: LoadedGenerator, count: int) -> list[range]:
    """Which samples each rank draws."""
    return [rows_of(count, generator.spec, (rank, ranks.count)) for rank in range(ranks.count)]


def draw(
    ranks: Ranks,
    generator: LoadedGenerator,
    count: int,
    seed: int,
    label: int | None,
    given: Mapping[str, Tensor],
    **options: Any,
) -> Tensor:
    """This rank's share of the samples that one process draws; in whole chunks, of which some
    ranks may have none.

    Raises Unlike where ranks have other weights, code or pictures, and as `sample` does.
    """
    if ranks.count > 1:
        weights = {name: each.cpu() for name, each in generator.net.state_dict().items()}
        about = {"generator": sum_of(generator.header, weights)}
        ranks.compare(software() | about | {"pictures": digest(tensor_bytes(given))})
    share = (ranks.rank, ranks.count)
    return generator.sample(count, seed, label, given, share=share, **options)


def joined(ranks: Ranks, shares: list[range], own: Tensor) -> Tensor:
    """All samples on the first rank; on the others, their own."""
    return ranks.gathered(own.float().cpu(), [len(share) for share in shares])


@contextlib.contextmanager
def whole_folder(folder: Path, ranks: Ranks) -> Iterator[Path]:
    """Within, a folder to write to, alike on all ranks, that takes its name when all have left; if
    one has not, nothing is left of it.

    The folder is not there yet, or is empty. Raises OSError.
    """
    folder = folder.resolve()
    place = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    if ranks.first:
        place.mkdir(parents=True)
    try:
        yield folder.with_name(ranks.tell(place.name))
        ranks.agree(0)  # all are through
        if ranks.first:
            sync_folder(place)
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
            place.rename(folder)
            sync_folder(folder.parent)
    finally:
        if ranks.first:
            shutil.rmtree(place, ignore_errors=True)
