"""The generator's running average, which is what gets sampled and saved."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..distributed.sharding import is_spread, own_part, part_like, whole_of


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
        self._spread = False
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
        if self._spread:
            averaged, live = ([own_part(t) for t in each] for each in (averaged, live))
        torch._foreach_lerp_(averaged, live, 1 - self.keep(batch, images))
        if copied:
            torch._foreach_copy_(copied, counts)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of `net`."""
        self.net.load_state_dict(state)
        if self._spread and self._pairs is not None:
            self.spread(self._pairs[0])

    @torch.no_grad()
    def spread(self, net: nn.Module) -> None:
        """Go on with a part on each rank, as those of the live net are spread; `net` of the average
        is what it was until `gather`.
        """
        theirs = _tensors(net)
        held = [
            [_held(tensor, like) for tensor, like in zip(*both, strict=True)]
            for both in zip(_tensors(self.net), theirs, strict=True)
        ]
        self._pairs, self._spread = (net, [*held, *theirs]), True

    @torch.no_grad()
    def gather(self) -> None:
        """Bring the parts of all ranks into `net`, on every rank at once."""
        if self._pairs is None or not self._spread:
            return
        for into, held in zip(_tensors(self.net), self._pairs[1][:2], strict=True):
            for tensor, part in zip(into, held, strict=True):
                tensor.copy_(whole_of(part))


def _held(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy of an average's tensor where the live one is, spread if that is."""
    held = part_like(tensor.detach(), like) if is_spread(like) else tensor.to(like.device)
    return held.clone()
