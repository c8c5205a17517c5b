"""How alike generated images are, by multi-scale structural similarity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.contracts import Metric, PositiveInt, Spec

from .floor import check_count, different

WINDOW, WIDTH = 11, 1.5  # pixels, and the deviation of the Gaussian that weighs them
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from the finest
STEADY = 0.01, 0.03  # K1 and K2
SPAN = 2.0  # from black to white
PAIRS = 64  # at a time


class Similarity(Metric):
    """How alike pairs of generated images are: multi-scale structural similarity (Wang et al.
    2003), as a measure of lost variety (Odena et al. 2017).

    Windows are Gaussian, 11 pixels wide with deviation 1.5, and inside the image; each further
    scale halves the image by means of 2x2 pixels. All five scales need a side of 176 pixels: a
    smaller image has as many as leave a side of 11 (88: four, 44: three, 22: two, 11: one), whose
    weights are scaled to a sum of 1, so its figures compare to those of one size alone; below 11
    pixels the window is as wide as the image. Channels are averaged, negative structure counts as
    none.

    Figures, of count / 2 pairs, no image in two of them:
    difference: |generated - real|, 0 to 1, 0 is best: images may be too alike, or too noisy
    generated: similarity of two generated images, 0 to 1; smaller is more varied
    real: that of two real images

    count: samples to draw for it
    """

    modalities = ("image",)

    def __init__(self, spec: Spec, *, count: PositiveInt = 1000) -> None:
        super().__init__(spec, count=count)
        check_count("ms-ssim", count, 1)

    def measure(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Mean similarity of pairs of images [n, c, h, w] in [-1, 1]."""
        found = {"generated": _of_pairs(fake), "real": _of_pairs(different(real))}
        return {"difference": abs(found["generated"] - found["real"]), **found}


def _of_pairs(images: Tensor) -> float:
    """Mean similarity of the first half of the images to the second; 1 if there is one alone."""
    half = len(images) // 2
    if not half:
        return 1.0
    one, other = (torch.split(x, PAIRS) for x in (images[:half], images[half : 2 * half]))
    return float(torch.cat([ms_ssim(a, b) for a, b in zip(one, other, strict=True)]).mean())


def scales(height: int, width: int) -> int:
    """How many of the five scales an image has room for."""
    fitting = [n for n in range(1, len(WEIGHTS) + 1) if min(height, width) >> n - 1 >= WINDOW]
    return max(fitting, default=1)


def ms_ssim(one: Tensor, other: Tensor) -> Tensor:
    """Similarity [n] of images [n, c, h, w] in [-1, 1] to as many others."""
    channels = one.shape[1]
    # Brightness is compared as a ratio: black is 0.
    one, other = (x.double().flatten(0, 1)[:, None] + 1 for x in (one, other))
    count = scales(*one.shape[2:])
    weights = torch.tensor(WEIGHTS[:count], dtype=torch.float64)
    weights = weights / weights.sum()
    found = torch.ones(len(one), dtype=torch.float64)
    for scale, weight in enumerate(weights):
        brightness, structure = _compared(one, other)
        last = scale == count - 1
        value = (brightness * structure if last else structure).mean((1, 2, 3))
        found = found * value.clamp(min=0) ** weight
        if not last:
            one, other = functional.avg_pool2d(one, 2), functional.avg_pool2d(other, 2)
    return found.view(-1, channels).mean(1)


def _compared(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of the likeness of brightness, and of contrast and structure, of [n, 1, h, w]."""
    first, second = ((k * SPAN) ** 2 for k in STEADY)
    a, b = _blurred(one), _blurred(other)
    variances = _blurred(one * one) - a * a + _blurred(other * other) - b * b
    covariance = _blurred(one * other) - a * b
    brightness = (2 * a * b + first) / (a * a + b * b + first)
    return brightness, (2 * covariance + second) / (variances + second)


def _blurred(images: Tensor) -> Tensor:
    """Gaussian means of windows inside images [n, 1, h, w]."""
    size = min(WINDOW, *images.shape[2:])
    at = torch.arange(size, dtype=images.dtype) - (size - 1) / 2
    window = (-0.5 * (at / WIDTH).square()).exp()
    window = window / window.sum()
    rows = functional.conv2d(images, window.view(1, 1, -1, 1))
    return functional.conv2d(rows, window.view(1, 1, 1, -1))
