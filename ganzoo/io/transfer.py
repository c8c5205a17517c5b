"""Tensors on their way from a GPU to the host, beside the updates instead of behind them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, cuda

K = TypeVar("K", bound=Hashable)


class Transfer(Generic[K]):
    """Tensors as they are now, for whoever fetches them later, in whatever thread.

    The copies are made on the device, in the order of the work that it was given,
    which takes microseconds. `fetch` reads them on a stream of its own into
    pinned memory, so that neither the host nor the next updates wait for it.
    """

    def __init__(self, tensors: Mapping[K, Tensor], device: torch.device) -> None:
        self.device = device
        self._copies = {key: tensor.detach().clone() for key, tensor in tensors.items()}
        cuda_here = device.type == "cuda"
        self._made = cuda.current_stream(device).record_event() if cuda_here else None

    def fetch(self) -> dict[K, Tensor]:
        """The tensors, on the host; to be called once."""
        copies, self._copies = self._copies, {}
        if self._made is None:
            return {key: tensor.cpu() for key, tensor in copies.items()}
        with cuda.device(self.device):
            stream = cuda.Stream(self.device)
            stream.wait_event(self._made)
            with cuda.stream(stream):
                found = {key: _sent(tensor) for key, tensor in copies.items()}
            stream.record_event().synchronize()  # only then may the copies be freed
        return found


def _sent(tensor: Tensor) -> Tensor:
    """On its way to pinned memory, in the same layout."""
    if tensor.device.type == "cpu":
        return tensor
    return pinned_like(tensor).copy_(tensor, non_blocking=True)


def pinned_like(tensor: Tensor) -> Tensor:
    """Memory of the host that a GPU writes to by itself."""
    return torch.empty_like(tensor, device="cpu", pin_memory=True)
