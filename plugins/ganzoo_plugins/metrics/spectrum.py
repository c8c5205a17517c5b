"""Which frequencies generated images lack or have too much of."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.contracts import Metric, PositiveInt, Spec
from ganzoo.errors import Incompatible

from .floor import beside_floor, check_count, different

HIGH = 0.25  # cycles per pixel, half of what pixels can show along a side
# Power of rounding to 256 levels between -1 and 1: less is not seen, and would be an infinite ratio
ROUNDING = (2 / 255) ** 2 / 12
CHUNK = 256  # images at a time


class Spectrum(Metric):
    """The power spectrum of generated images beside that of real ones, averaged over directions
    (Durall et al. 2020).

    Powers are means over images, channels and rings of equal frequency, one ring for each cycle
    along the shorter side, up to the corners of the spectrum, where checkerboards are; the mean
    brightness is left out. Powers below that of rounding to 8 bits count as that.

    Figures, of halves of the samples (two of each, averaged), each with `floor_` before it for one
    half of the real samples against the other:
    distance: root of the mean squared difference over the rings in dB, from 0, smaller is better
    excess: mean difference in dB over the rings above a quarter cycle per pixel: 0 is best, more
        is noise or checkerboards, less is blur

    count: samples to draw for it
    """

    modalities = ("image",)

    def __init__(self, spec: Spec, *, count: PositiveInt = 2500) -> None:
        super().__init__(spec, count=count)
        check_count("spectrum", count, 1)
        if min(spec.shape[1:]) < 4:
            raise Incompatible(
                f"a spectrum takes images of at least 4x4 pixels, not {list(spec.shape)}",
                section="metric.spectrum",
            )

    def measure(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Differences of the spectra of images [n, c, h, w]."""
        return beside_floor("spectrum", differences, different(real), fake, least=1)


def differences(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Distance and excess in dB of images [n, c, h, w] from real ones."""
    frequency, expected = radial_power(real)
    _, found = radial_power(fake)
    apart = 10 * (found.clamp(min=ROUNDING) / expected.clamp(min=ROUNDING)).log10()
    return {
        "distance": float(apart.square().mean().sqrt()),
        "excess": float(apart[frequency > HIGH].mean()),
    }


def radial_power(images: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies [k] in cycles per pixel, and mean powers [k], of images [n, c, h, w].

    White noise has the power of its variance everywhere.
    """
    height, width = images.shape[-2:]
    power = torch.zeros(height, width, dtype=torch.float64)
    for chunk in torch.split(images, CHUNK):
        power += torch.fft.fft2(chunk, norm="ortho").abs().square().double().mean(1).sum(0)
    down, across = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    side = min(height, width)
    ring = ((down[:, None] ** 2 + across**2).sqrt() * side).round().long().flatten()
    sums = torch.bincount(ring, weights=(power / len(images)).flatten())
    counts = torch.bincount(ring)
    kept = counts > 0
    kept[0] = False  # the mean brightness
    return torch.arange(len(counts))[kept] / side, sums[kept] / counts[kept]
