"""Which channels are colours, and changes of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def colours(channels: int) -> int:
    """How many of an image's channels are colours: of four the last is alpha."""
    return 3 if channels == 4 else channels


def with_rest(changed: Tensor, samples: Tensor) -> Tensor:
    """Changed colours [n, k, h, w], and the samples' other channels as they are."""
    rest = samples[:, changed.shape[1] :]
    return torch.cat([changed, rest], 1) if rest.shape[1] else changed


def luma_and_chroma(
    images: Tensor, luma: Tensor, angle: Tensor | None, saturation: Tensor | None
) -> Tensor:
    """Colours [n, k, h, w] whose mean over channels, luma, is multiplied; of three, what they
    differ by from it, chroma, turns about the grey axis by an angle and is multiplied, too.

    luma, angle, saturation: [n, 1, 1, 1]. Bit for bit the same colours at 1, 0 and 1.
    """
    mean = images.mean(1, keepdim=True)
    changed = images + (luma - 1) * mean
    if angle is None or saturation is None:
        return changed
    chroma = images - mean
    # Rodrigues' formula about the axis (1, 1, 1), to which chroma is orthogonal.
    across = (chroma.roll(1, 1) - chroma.roll(-1, 1)) / math.sqrt(3)
    turned = chroma * angle.cos() + across * angle.sin()
    return changed + (saturation * turned - chroma)
