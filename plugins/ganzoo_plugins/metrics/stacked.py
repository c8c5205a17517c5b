"""Modes of stacked digits: a digit in each channel."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo import create
from ganzoo.contracts import Dataset, Metric, PositiveInt, Spec
from ganzoo.errors import Incompatible

from .classifier import Learned, Say, learned

SIDE = 28  # pixels of a digit as it was published
MOST = 4  # channels: 10,000 modes


class StackedModes(Metric):
    """Modes of stacked digits that are drawn, and how evenly: 1,000 of three channels, 10,000 of
    four (Metz et al. 2017; Srivastava et al. 2017; Kumar et al. 2019).

    A mode is the digits of all channels, each told by a small classifier of the embedded digits,
    which is trained once, at 28x28; the surest class counts, however sure. The papers count 26,000
    samples of 1,000 modes and 260,000 of 10,000: with fewer a perfect generator misses modes too,
    as the floor shows, and figures at another count do not compare.

    Figures, each with `floor_` before it for as many real samples, at most all:
    kl: divergence in nats of the shares of modes from equal ones, from 0, smaller is better; a
        perfect generator has about (modes - 1) / (2 samples), 0.0192 at 26,000
    modes: that have a sample, larger is better

    count: samples to draw for it
    """

    modalities = ("image",)
    larger = ("modes",)

    def __init__(self, spec: Spec, *, count: PositiveInt = 26_000) -> None:
        super().__init__(spec, count=count)
        if spec.modality == "image" and not 1 <= spec.shape[0] <= MOST:
            raise Incompatible(
                f"counts digits of 1 to {MOST} channels, not of {spec.shape[0]}",
                section="metric.stacked-modes",
            )
        self.known: list[Learned] = []

    def learn(self, data: Dataset, say: Say) -> None:
        """Get the classifier of single digits."""
        if not self.known:
            self.known.append(learned(create("dataset", "digits"), say, "stacked-modes"))

    def features(self, samples: Tensor) -> Tensor:
        """The mode of images [n, c, h, w], int64 [n, 1]: their digits as one decimal number."""
        channels = samples.shape[1]
        single = samples.flatten(0, 1)[:, None]
        if single.shape[2:] != (SIDE, SIDE):
            single = functional.interpolate(single, (SIDE, SIDE), mode="bicubic", antialias=True)
        digits = self.known[0].logits(single.clamp(-1, 1)).argmax(1).view(-1, channels)
        places = 10 ** torch.arange(channels - 1, -1, -1)
        return (digits * places).sum(1, keepdim=True)

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Figures of modes [n, 1]."""
        total = 10 ** self.spec.shape[0]
        floor = coverage(real, total)
        return coverage(fake, total) | {f"floor_{key}": value for key, value in floor.items()}

    def protocol(self) -> dict[str, str | int | float | bool]:
        """Which classifier it is, and how good."""
        about = self.known[0].protocol() if self.known else {}
        return {"features": "classifier of digits", **about}


def coverage(modes: Tensor, total: int) -> dict[str, float]:
    """The figures of modes [n, 1], numbers from 0 to total - 1."""
    shares = torch.bincount(modes.flatten().long(), minlength=total).double() / len(modes)
    kl = torch.special.xlogy(shares, shares).sum() + math.log(total)
    return {"kl": float(kl), "modes": float((shares > 0).sum())}
