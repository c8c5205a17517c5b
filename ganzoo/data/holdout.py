"""Data that a training does not see, chosen by each sample's own content: what is added later moves
none, and equal samples are on one side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..contracts import Batch, Dataset
from ..errors import Incompatible
from ..io.activity import doing
from ..spec import Runs, digest
from .contents import marks

BLOCK = 1 << 24  # numbers of samples that are read at once
WHOLE = 1 << 64


@dataclass(eq=False, repr=False)
class Part(Dataset):
    """Some samples of other data, which stay where they are.

    base: the data; chosen: which of them, int64 [n]
    """

    base: Dataset = None  # type: ignore[assignment]
    chosen: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def size(self) -> int | None:
        """Bytes that the samples take where they are all in memory; None where they cannot be."""
        whole = self.base.size
        return None if whole is None else whole * len(self) // max(len(self.base), 1)

    @property
    def at_hand(self) -> int:
        """How many of the first samples are to be had soon, at least one."""
        return max(int((self.chosen < self.base.at_hand).sum()), 1)

    @property
    def runs(self) -> Runs | None:
        """Which samples of the part lie together."""
        whole = self.base.runs
        if whole is None:
            return None
        ends = torch.tensor(whole.lengths).cumsum(0)
        run = torch.searchsorted(ends, self.chosen, right=True)
        return Runs(run.bincount(minlength=len(ends)).tolist(), whole.window)

    def to(self, device: torch.device) -> Dataset:
        """The same data on a device; on the host they stay in what they are a part of."""
        if self.base.size is None or device.type == "cpu":
            return self
        labels = self.base.labels
        alone = replace(
            self.base,
            samples=self.base.samples[self.chosen],
            labels=None if labels is None else labels[self.chosen],
            given={name: each[self.chosen] for name, each in self.base.given.items()},
            notes=self.notes,
            digest="",
        )
        return alone.to(device)

    def gather(self, indices: Tensor) -> Batch:
        """The samples at these indices [n] of the part."""
        batch = self.base.gather(self.chosen.index_select(0, indices.cpu()))
        return batch._replace(given={name: batch.given[name] for name in self.given})

    def fingerprint(self) -> dict[str, Any]:
        """That of the whole data, with how many samples the part has and a digest of which."""
        found = self.base.fingerprint()
        return {**found, "count": len(self), "part": digest(self.chosen)}


def split(dataset: Dataset, share: float) -> tuple[Dataset, Dataset | None]:
    """The data that a training sees, and those that it does not: none for a share of 0.

    A sample is held out where the hash of its content, as a number from 0 to 1, is below the share:
    so a smaller share holds out a part of what a larger one does. Reads all samples once. Raises
    Incompatible where a side would be empty.
    """
    if not share:
        return dataset, None
    doing("choosing what is held out")
    held = torch.cat([marks(block) < _bound(share) for block in _blocks(dataset)])
    sides = [chosen.nonzero().flatten() for chosen in (~held, held)]
    if not all(map(len, sides)):
        raise Incompatible(
            f"leaves {len(sides[0]):,} samples for the training and {len(sides[1]):,} beside it",
            section="data",
            key="holdout",
            value=share,
        )
    seen, kept = (_part(dataset, chosen) for chosen in sides)
    seen.notes = [*dataset.notes, f"{len(kept):,} of {len(dataset):,} samples are held out"]
    return seen, kept


def _bound(share: float) -> int:
    """Below which marks, which are signed, are held out."""
    return int(share * WHOLE) - WHOLE // 2


def _blocks(dataset: Dataset) -> Iterator[Tensor]:
    size = max(1, BLOCK // dataset.spec.numel)
    for indices in torch.arange(len(dataset)).split(size):
        yield dataset.gather(indices).samples


def _part(dataset: Dataset, chosen: Tensor) -> Part:
    return Part(
        dataset.samples[:0],
        None if dataset.labels is None else dataset.labels[:0],
        dataset.classes,
        given={name: each[:0] for name, each in dataset.given.items()},
        others=dataset.others,
        alphabet=dataset.alphabet,
        columns=dataset.columns,
        unbounded=dataset.unbounded,
        base=dataset,
        chosen=chosen,
    )
