"""Normalisations whose scale and shift depend on a class or a vector."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Condition = Callable[[int], nn.Module]  # channels -> what maps the given to [n, channels]


class ConditionalBatchNorm(nn.BatchNorm2d):
    """Batch norm of [n, channels, h, w] whose scale and shift come from what is given with each
    sample (de Vries et al. 2017; Miyato and Koyama 2018).

    condition: makes the two modules that map what is given to [n, channels], as
        `partial(nn.Embedding, classes)` does for classes [n] and
        `partial(nn.Linear, d, bias=False)` for vectors [n, d]; without, it is plain batch norm.
    The scale is 1 plus what the module says, so that one whose weights are zero does nothing.
    """

    def __init__(self, channels: int, condition: Condition | None = None) -> None:
        super().__init__(channels, affine=condition is None)
        if condition is not None:
            self.scale, self.shift = condition(channels), condition(channels)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        normal: Tensor = super().forward(x)
        if self.affine:
            return normal
        scale: Tensor = 1 + self.scale(given)
        shift: Tensor = self.shift(given)
        return normal * scale[:, :, None, None] + shift[:, :, None, None]
