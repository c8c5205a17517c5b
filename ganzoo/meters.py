"""What happened between two log lines: sums kept on the device and read back once a line."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .contracts import Side
from .engine import Report
from .errors import GanzooError

SIGNS = ("D(real)", "D(fake)", "rank", "spread")  # diagnostics that every pipeline has


class NotFinite(GanzooError):
    """A loss or gradient became infinite or undefined."""


class Meters:
    """Means of every reported value since the last line."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Side, tuple[str, ...]], tuple[Tensor, int]] = {}
        self._gradients: dict[Side, Tensor] = {}

    def add(self, side: Side, report: Report) -> None:
        """Take in one update's report; nothing is read back from the device."""
        key = (side, report.names)
        total, count = self._sums.get(key, (torch.zeros_like(report.values), 0))
        self._sums[key] = (total + report.values, count + 1)
        if report.gradient is not None:
            self._gradients[side] = report.gradient

    def read(self) -> dict[Side, dict[str, float]]:
        """The means by side and name, and start anew."""
        sums: dict[tuple[Side, str], tuple[float, int]] = {}
        for (side, names), (total, count) in self._sums.items():
            for name, value in zip(names, total.tolist(), strict=True):
                old, seen = sums.get((side, name), (0.0, 0))
                sums[side, name] = (old + value, seen + count)
        means: dict[Side, dict[str, float]] = {"discriminator": {}, "generator": {}}
        for (side, name), (value, count) in sums.items():
            means[side][name] = value / count
        for side, gradient in self._gradients.items():
            means[side]["gradient"] = float(gradient)
        self._sums, self._gradients = {}, {}
        return means


def check_finite(means: dict[Side, dict[str, float]], images: int) -> None:
    """Raises NotFinite naming the net and the term, the terms before their sum."""
    for side, values in means.items():
        for name in sorted(values, key=lambda n: n in ("total", "gradient")):
            if not math.isfinite(values[name]):
                what = "gradient" if name == "gradient" else f"loss term {name!r}"
                section = {"generator": "gen", "discriminator": "disc"}[side]
                raise NotFinite(
                    f"the {side}'s {what} is not finite after {images:,} images; nothing was saved since. "
                    f"Lower --set optim.{section}.lr, add --reg gp or --reg r1, or set optim.{section}.clip_norm"
                )


def record(means: dict[Side, dict[str, float]]) -> dict[str, Any]:
    """A log line's measured part: signs at the top, losses by side."""
    line: dict[str, Any] = {name: means["discriminator"].pop(name) for name in SIGNS if name in means["discriminator"]}
    return {**line, **means, "health": health(line)}


def health(signs: dict[str, Any]) -> str:
    """One line on how the training does, from signs that no loss can hide."""
    rank, spread = signs.get("rank", 0.5), signs.get("spread", 1.0)
    if spread < 0.1:
        return f"collapsing: samples vary {spread:.0%} as much as real ones"
    if rank > 0.98:
        return f"discriminator far ahead: right {rank:.0%} of the time"
    if rank < 0.45:
        return f"discriminator misled: right {rank:.0%} of the time"
    return f"balanced: discriminator right {rank:.0%} of the time"
