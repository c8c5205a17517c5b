"""The generator's running average, which is what gets sampled and saved."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

# Early in training the half-life is at most this share of
# the images so far, or the average would hold the start
RAMP = 0.05


def _tensors(net: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """What is averaged: parameters and floating-point buffers
    (batch norm's statistics belong to the weights); what is copied.
    """
    everything = [*net.parameters(), *net.buffers()]
    return [t for t in everything if t.is_floating_point()], [
        t for t in everything if not t.is_floating_point()
    ]


class Average:
    """An exponential moving average of a net, with its half-life counted in images."""

    def __init__(self, net: nn.Module, half_life: int) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.half_life = half_life
        self._pairs: tuple[nn.Module, list[list[Tensor]]] | None = (
            None  # a net's tensors: listing takes longer than averaging
        )

    def keep(self, batch: int, images: int) -> float:
        """The share of the old average that one update keeps,
        after `images` images and with `batch` new ones.
        """
        horizon = min(float(self.half_life), images * RAMP)
        return 0.5 ** (batch / horizon) if horizon > 0 else 0.0

    @torch.no_grad()
    def update(self, net: nn.Module, batch: int, images: int) -> None:
        """Move towards the live net."""
        if self._pairs is None or self._pairs[0] is not net:
            self._pairs = net, [*_tensors(self.net), *_tensors(net)]
        averaged, copied, live, counts = self._pairs[1]
        torch._foreach_lerp_(averaged, live, 1 - self.keep(batch, images))
        if copied:
            torch._foreach_copy_(copied, counts)
