"""Batches of real samples: gathered, scaled and mirrored where the samples are kept."""

from __future__ import annotations

import torch
from torch import Tensor

from .contracts import Dataset
from .data import Order


class Feed:
    """An endless, reproducible series of batches; its position is part of a training's state."""

    def __init__(self, dataset: Dataset, order: Order, device: torch.device, resident: bool) -> None:
        """`resident` keeps the samples on the device; else they stay in host memory and batches are copied over."""
        self.order, self.device = order, device
        where = device if resident else torch.device("cpu")
        labels = dataset.labels
        self.data = Dataset(dataset.samples.to(where), None if labels is None else labels.to(where), dataset.classes)

    def next(self) -> tuple[Tensor, Tensor | None]:
        """Samples [batch, *shape] as float32 on the device, and labels [batch] or None."""
        indices, flips = self.order.next()
        samples, labels = self.data.batch(indices.to(self.data.samples.device))
        samples = samples.to(self.device, non_blocking=True)
        if flips is not None:
            mirrored = flips.to(self.device).view(-1, *[1] * (samples.dim() - 1))
            samples = torch.where(mirrored, samples.flip(-1), samples)
        return samples, None if labels is None else labels.to(self.device, non_blocking=True)
