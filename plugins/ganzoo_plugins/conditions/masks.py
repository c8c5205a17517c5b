"""Parts of pictures that are hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ganzoo.contracts import Condition, Spec

STROKES, POINTS = 4, 6  # of a free-form mask, and turns of each


class Mask(Condition):
    """Gives the picture with a part hidden (0 there) and the mask [n, 1, h, w], 1 where it is;
    inpainting is the way back.

    form: "box" (a rectangle of a quarter to half of each side, anywhere), "strokes" (free-form
        lines, Yu et al. 2019), "centre" (the middle half of each side), "half" (one of four halves)
    """

    def __init__(
        self, spec: Spec, *, form: Literal["box", "strokes", "centre", "half"] = "box"
    ) -> None:
        super().__init__(spec)
        self.form = form
        height, width = spec.shape[1:]
        down, across = torch.arange(height) + 0.5, torch.arange(width) + 0.5
        self.register_buffer("down", down / height, persistent=False)
        self.register_buffer("across", across / width, persistent=False)
        self.down: Tensor
        self.across: Tensor

    def gives(self) -> Mapping[str, Spec]:
        return {"image": Spec(self.spec.shape), "mask": Spec((1, *self.spec.shape[1:]))}

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        hidden = self.masks(samples).to(samples.dtype)
        return {"image": samples * (1 - hidden), "mask": hidden}

    def masks(self, samples: Tensor) -> Tensor:
        """What is hidden of samples [n, c, h, w]: [n, 1, h, w] bool."""
        if self.form == "strokes":
            return self._strokes(samples)
        draws = torch.rand(len(samples), 4, device=samples.device).T
        if self.form == "centre":
            start, size = torch.full_like(draws[:2], 0.25), torch.full_like(draws[:2], 0.5)
        elif self.form == "half":
            lying = draws[0] < 0.5
            size = torch.where(torch.stack([lying, ~lying]), 0.5, 1.0)
            start = (1 - size) * (draws[1] < 0.5)
        else:
            size = 0.25 + 0.25 * draws[:2]
            start = (1 - size) * draws[2:]
        rows = _within(self.down, start[0], size[0])
        columns = _within(self.across, start[1], size[1])
        return (rows[:, :, None] & columns[:, None, :])[:, None]

    def _strokes(self, samples: Tensor) -> Tensor:
        """Lines of random turns and widths: all places near one of their legs."""
        count, device = len(samples), samples.device
        corners = torch.rand(count, STROKES, 1, 2, device=device)
        turns = 0.4 * (torch.rand(count, STROKES, POINTS, 2, device=device) - 0.5)
        ends = (corners + turns.cumsum(2)).clamp(0, 1)
        starts = torch.cat([corners, ends[:, :, :-1]], 2).flatten(1, 2)
        legs = ends.flatten(1, 2) - starts
        radius = 0.02 + 0.03 * torch.rand(count, STROKES, 1, device=device)
        radius = radius.expand(-1, -1, POINTS).flatten(1)
        hidden = torch.zeros(count, *samples.shape[2:], dtype=torch.bool, device=device)
        for leg in range(starts.shape[1]):
            hidden = hidden | self._near(starts[:, leg], legs[:, leg], radius[:, leg])
        return hidden[:, None]

    def _near(self, start: Tensor, leg: Tensor, radius: Tensor) -> Tensor:
        """The places [n, h, w] within a radius [n] of a leg [n, 2] from its start [n, 2]."""
        down = self.down.to(start) - start[:, :1]
        across = self.across.to(start) - start[:, 1:]
        length = leg.square().sum(1).clamp(min=1e-12)
        along = down[:, :, None] * leg[:, :1, None] + across[:, None, :] * leg[:, 1:, None]
        along = (along / length[:, None, None]).clamp(0, 1)
        off_down = down[:, :, None] - along * leg[:, :1, None]
        off_across = across[:, None, :] - along * leg[:, 1:, None]
        return off_down.square() + off_across.square() <= radius.square()[:, None, None]


def _within(places: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """Which places [k] lie in an interval of each sample: [n, k]."""
    from_start = places.to(start)[None] - start[:, None]
    return (from_start >= 0) & (from_start < size[:, None])
