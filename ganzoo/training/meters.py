"""What happened between two log lines: values kept on the device and read back once a line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

import torch
from torch import Tensor

from ..contracts import Side
from ..engine.health import FIGURES, SATURATED, verdict
from ..engine.losses import Report
from ..errors import GanzooError, shown

SIDES = get_args(Side)


class NotFinite(GanzooError):
    """A loss or gradient became infinite or undefined."""


class Meters:
    """Every value reported since the last line, kept on the device until one is due."""

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

    def check(self, images: int) -> None:
        """Raises NotFinite when a value that waits for its line is not finite; keeps the values."""
        Reading(self._rows, self._gradients, self._count).means(images)

    def state_dict(self) -> dict[str, Any]:
        """What waits for its line: it belongs to the
        state, or the line after a resume is another.
        """
        state: dict[str, Any] = {"count": self._count, "rows": [], "gradients": []}
        for i, ((side, names), found) in enumerate(self._rows.items()):
            state["rows"].append([side, list(names), [number for number, _ in found]])
            state[f"values.{i}"] = torch.stack([values for _, values in found])
        for side, gradient in self._gradients.items():
            state["gradients"].append(side)
            state[f"gradient.{side}"] = gradient
        return state

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from what `state_dict` gave; an empty state is that of a line just taken."""
        self._count = int(state.get("count", 0))
        self._rows, self._gradients = {}, {}
        for i, (side, names, numbers) in enumerate(state.get("rows", [])):
            values = state[f"values.{i}"]
            if side not in SIDES or values.shape != (len(numbers), len(names)):
                raise ValueError(f"values of {shown(side)} that fit no line of the log")
            key = side, tuple(map(str, names))
            rows = values.to(device).unbind()
            self._rows[key] = [(int(n), row) for n, row in zip(numbers, rows, strict=True)]
        for side in state.get("gradients", []):
            if side not in SIDES:
                raise ValueError(f"a gradient of {shown(side)}")
            self._gradients[side] = state[f"gradient.{side}"].to(device)

    def take(self, beside: Mapping[Side, Mapping[str, Tensor]] = MappingProxyType({})) -> Reading:
        """All that came in, and scalars of this moment, sent to the host, and start anew."""
        found, self._rows, gradients, self._gradients = self._rows, {}, self._gradients, {}
        return Reading(found, gradients, self._count, beside)


class Reading:
    """What meters took in, on its way to the host. A GPU sends it behind the updates that it has to
    do, and nobody waits if `means` is called once they have arrived.
    """

    def __init__(
        self,
        rows: dict[tuple[Side, tuple[str, ...]], list[tuple[int, Tensor]]],
        gradients: dict[Side, Tensor],
        count: int,
        beside: Mapping[Side, Mapping[str, Tensor]] = MappingProxyType({}),
    ) -> None:
        self._numbers = {key: [number for number, _ in found] for key, found in rows.items()}
        self._values = {
            key: _sent(torch.stack([value for _, value in found])) for key, found in rows.items()
        }
        self._gradients = {side: _sent(gradient) for side, gradient in gradients.items()}
        self._beside = {
            side: {name: _sent(one) for name, one in found.items()}
            for side, found in beside.items()
        }
        self._count = count
        self._arrived: Any = None
        device = next((value.device for found in rows.values() for _, value in found), None)
        if device is not None and device.type == "cuda":
            self._arrived = torch.cuda.current_stream(
                device
            ).record_event()  # of the training's card, which need not be the first

    def arrived(self) -> bool:
        """Whether the values are on the host."""
        return self._arrived is None or bool(self._arrived.query())

    def means(self, images: int) -> dict[Side, dict[str, float]]:
        """The means by side and name; raises NotFinite
        naming the first net and term that went wrong.
        """
        if self._arrived is not None:
            self._arrived.synchronize()
        values: dict[Side, dict[str, list[float]]] = {"discriminator": {}, "generator": {}}
        first: tuple[int, Side, str] | None = None
        for (side, names), found in self._values.items():
            for name, column in zip(names, found.T.tolist(), strict=True):
                values[side].setdefault(name, []).extend(column)
            bad = (~found.isfinite()).nonzero()
            if len(bad):
                row, entry = bad[0].tolist()
                number = self._numbers[side, names][row]
                first = min(
                    first or (self._count, side, ""), (number, side, f"loss term {names[entry]!r}")
                )
        means = {
            side: {name: sum(column) / len(column) for name, column in columns.items()}
            for side, columns in values.items()
        }
        for side, gradient in self._gradients.items():
            means[side]["gradient"] = float(gradient)
            if first is None and not math.isfinite(means[side]["gradient"]):
                first = (self._count, side, "gradient")
        for side, more in self._beside.items():
            means[side] |= {name: float(one) for name, one in more.items()}
        if first is not None:
            raise NotFinite(_diagnosis(first[1], first[2], images))
        return means


def _sent(tensor: Tensor) -> Tensor:
    """The tensor in memory of the host; from a GPU,
    it will be there once the device has come so far.
    """
    if tensor.device.type != "cuda":
        return tensor
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(
        tensor, non_blocking=True
    )


def _diagnosis(side: Side, what: str, images: int) -> str:
    section = {"generator": "gen", "discriminator": "disc"}[side]
    return (
        f"the {side}'s {what} is not finite after {images:,} images; nothing was saved since. "
        f"Lower optim.{section}.lr, add a gradient penalty, or set optim.{section}.clip_norm"
    )


def record(means: dict[Side, dict[str, float]]) -> dict[str, Any]:
    """A log line's measured part: signs at the top, losses by side."""
    line: dict[str, Any] = {
        name: means["discriminator"].pop(name)
        for name in (*FIGURES, SATURATED)
        if name in means["discriminator"]
    }
    sides = {"discriminator": means["discriminator"], "generator": means["generator"]}
    return {**line, **sides, **({"health": verdict(line)} if line else {})}
