"""The generator's running average, which is what gets sampled and saved."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def _tensors(net: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """What is averaged: parameters and floating-point buffers (batch norm's statistics belong to
    the weights); what is copied: counts, and numbers that are not saved since they are set.
    """
    saved = {id(tensor) for tensor in net.state_dict(keep_vars=True).values()}
    everything = [*net.parameters(), *net.buffers()]
    averaged = [t for t in everything if t.is_floating_point() and id(t) in saved]
    known = {id(tensor) for tensor in averaged}
    return averaged, [t for t in everything if id(t) not in known]


class Average:
    """An exponential moving average of a net.

    half_life: in images
    ramp: it is at most this share of the images so far, or the average would hold the start; 0 for
        no such limit
    """

    def __init__(self, net: nn.Module, half_life: float, ramp: float = 0.05) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.half_life, self.ramp = half_life, ramp
        self._pairs: tuple[nn.Module, list[list[Tensor]]] | None = (
            None  # a net's tensors: listing takes longer than averaging
        )

    def keep(self, batch: int, images: int) -> float:
        """The share of the old average that one update keeps,
        after `images` images and with `batch` new ones.
        """
        horizon = float(self.half_life)
        if self.ramp:
            horizon = min(horizon, images * self.ramp)
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
