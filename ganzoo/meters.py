"""What happened between two log lines: sums kept on the device and read back once a line."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .contracts import Side
from .errors import GanzooError
from .update import Report

SIGNS = ("D(real)", "D(fake)", "rank", "spread")  # diagnostics that every pipeline has


class NotFinite(GanzooError):
    """A loss or gradient became infinite or undefined."""


class Meters:
    """Every value reported since the last line; kept on the device and read back together."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Side, tuple[str, ...]], list[tuple[int, Tensor]]] = {}
        self._count = 0
        self._gradients: dict[Side, Tensor] = {}

    def add(self, side: Side, report: Report) -> None:
        """Take in one update's report; nothing is read back from the device."""
        self._rows.setdefault((side, report.names), []).append((self._count, report.values))
        self._count += 1
        if report.gradient is not None:
            self._gradients[side] = report.gradient

    def read(self, images: int) -> dict[Side, dict[str, float]]:
        """The means by side and name, and start anew; raises NotFinite naming the first net and term that went wrong."""
        values: dict[Side, dict[str, list[float]]] = {"discriminator": {}, "generator": {}}
        first: tuple[int, Side, str] | None = None
        for (side, names), rows in self._rows.items():
            found = torch.stack([row for _, row in rows]).cpu()
            for name, column in zip(names, found.T.tolist(), strict=True):
                values[side].setdefault(name, []).extend(column)
            bad = (~found.isfinite()).nonzero()
            if len(bad):
                row, entry = bad[0].tolist()
                first = min(first or (self._count, side, ""), (rows[row][0], side, f"loss term {names[entry]!r}"))
        means = {side: {name: sum(column) / len(column) for name, column in columns.items()} for side, columns in values.items()}
        for side, gradient in self._gradients.items():
            means[side]["gradient"] = float(gradient)
            if first is None and not math.isfinite(means[side]["gradient"]):
                first = (self._count, side, "gradient")
        self._rows, self._gradients = {}, {}
        if first is not None:
            raise NotFinite(_diagnosis(first[1], first[2], images))
        return means


def _diagnosis(side: Side, what: str, images: int) -> str:
    section = {"generator": "gen", "discriminator": "disc"}[side]
    return (
        f"the {side}'s {what} is not finite after {images:,} images; nothing was saved since. "
        f"Lower --set optim.{section}.lr, add a gradient penalty, or set optim.{section}.clip_norm"
    )


def record(means: dict[Side, dict[str, float]]) -> dict[str, Any]:
    """A log line's measured part: signs at the top, losses by side."""
    line: dict[str, Any] = {name: means["discriminator"].pop(name) for name in SIGNS if name in means["discriminator"]}
    return {**line, "discriminator": means["discriminator"], "generator": means["generator"], "health": health(line)}


def health(signs: dict[str, Any]) -> str:
    """One line on how the training does, from signs that no loss can hide."""
    rank, spread = signs.get("rank", 0.5), signs.get("spread", 1.0)
    if spread < 0.1:
        return f"narrow (untrained or collapsed): samples vary {spread:.0%} as much as real ones"
    if rank > 0.98:
        return f"discriminator far ahead: right {rank:.0%} of the time"
    if rank < 0.45:
        return f"discriminator misled: right {rank:.0%} of the time"
    return f"balanced: discriminator right {rank:.0%} of the time"
