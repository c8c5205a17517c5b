"""What the data are: the shape and modality of one sample, and the samples themselves."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

BLOCK = 16 << 20  # bytes read at a time: samples may be mapped from a file larger than the memory


@dataclass(frozen=True)
class Spec:
    """What the data dictates: the shape of one sample, the number of classes, the modality.

    Shapes are [channels, height, width] for images,
    [channels, length] for signals, [dimensions] for points.
    """

    shape: tuple[int, ...]
    classes: int = 0  # 0: labels are not given to the nets

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= 3 or any(
            not isinstance(n, int) or n < 1 for n in self.shape
        ):
            raise ValueError(f"a sample's shape is [d], [c, length] or [c, h, w], not {self.shape}")

    @property
    def modality(self) -> str:
        """`points`, `signal` or `image`."""
        return ("points", "signal", "image")[len(self.shape) - 1]

    @property
    def numel(self) -> int:
        """Numbers in one sample."""
        return math.prod(self.shape)

    def with_shape(self, *shape: int) -> Spec:
        """The same but for the shape."""
        return Spec(tuple(shape), self.classes)


@dataclass(eq=False)
class Dataset:
    """Samples in memory or memory-mapped, with what a training must know of them.

    samples: [n, *shape], uint8 in 0..255 for images, float32 otherwise; labels: [n] int64 or None.
    """

    samples: Tensor
    labels: Tensor | None = None
    classes: Sequence[str] = ()  # names, in the order of the labels
    notes: Sequence[str] = field(
        default_factory=list
    )  # what was done to the data, for the person to read
    digest: str = ""  # of the samples, where it is known already; computed when it is asked for

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.samples.shape[1:]))
        return f"Dataset({len(self):,} samples of {shape}, {len(self.classes):,} classes)"

    @property
    def spec(self) -> Spec:
        return Spec(tuple(self.samples.shape[1:]), len(self.classes))

    def fingerprint(self) -> dict[str, Any]:
        """What tells these data from others: number and shape of the samples, digests of samples,
        labels and class names. The first call reads all samples once.
        """
        self.digest = self.digest or digest(self.samples)
        names = json.dumps([str(name) for name in self.classes])
        return {
            "count": len(self),
            "shape": list(self.samples.shape[1:]),
            "samples": self.digest,
            "labels": None if self.labels is None else digest(self.labels),
            "classes": hashlib.sha256(names.encode()).hexdigest(),
        }

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Samples (images scaled to [-1, 1]) and labels at these indices [k]."""
        samples = as_samples(self.samples[indices])
        return samples, None if self.labels is None else self.labels[indices]


def as_samples(stored: Tensor, flips: Tensor | None = None) -> Tensor:
    """Stored samples [n, *shape] as nets see them: uint8 images
    scaled to [-1, 1], mirrored where flips [n] bool says so.
    """
    samples = stored.float().div_(127.5).sub_(1) if stored.dtype == torch.uint8 else stored
    if flips is None:
        return samples
    return torch.where(flips.view(-1, *[1] * (samples.dim() - 1)), samples.flip(-1), samples)


def digest(samples: Tensor) -> str:
    """SHA-256 over type, shape and every byte of samples [n, ...], in 64 hexadecimal digits; equal
    samples have equal ones, wherever they lie in memory.
    """
    found = hashlib.sha256(f"{samples.dtype} {list(samples.shape)} ".encode())
    size = max(samples[:1].numel() * samples.element_size(), 1)
    step = max(BLOCK // size, 1)
    for start in range(0, len(samples), step):
        block = samples[start : start + step].detach().cpu().contiguous()
        found.update(block.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
