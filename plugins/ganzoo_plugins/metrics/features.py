"""Vectors that samples are compared by: from no trained network, or from the classifier of the
data's own labels.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.contracts import Dataset, Metric, Spec
from ganzoo.errors import Incompatible

from .classifier import Learned, Say, learned

Features = Literal["values", "random-conv", "classifier"]
SEED = 0  # the network's
CHANNELS = (32, 64, 128)
CHUNK = 256  # images at a time


class Compared(Metric):
    """A metric of vectors that samples are compared by, as its option `features` says."""

    called = "a metric"

    def __init__(self, spec: Spec, *, count: int, features: Features) -> None:
        super().__init__(spec, count=count)
        if spec.modality in self.modalities:
            check_features(self.called, features, spec)
        self.net, self.known = features, list[Learned]()
        if features == "classifier":
            self.reads = (*self.reads, "classes")

    def learn(self, data: Dataset, say: Say) -> None:
        """Get the classifier, where features are its own."""
        if self.net == "classifier" and not self.known:
            self.known.append(learned(data, say, self.called))

    def features(self, samples: Tensor) -> Tensor:
        """Vectors [n, d] of samples [n, *spec.shape]."""
        if self.net == "classifier":
            return self.known[0].features(samples)
        return features_of(samples, self.net)

    def protocol(self) -> dict[str, str | int | float | bool]:
        """Which classifier it is, where there is one."""
        return self.known[0].protocol() if self.known else {}


def check_features(name: str, features: Features, spec: Spec) -> None:
    """Raise Incompatible where samples have no such features."""
    if features != "values" and spec.modality != "image":
        raise Incompatible(
            f"convolutions look at images, not at {spec.modality} {list(spec.shape)}; take values",
            section=f"metric.{name}",
            key="features",
            value=features,
        )


def features_of(samples: Tensor, features: Literal["values", "random-conv"]) -> Tensor:
    """Float64 vectors [n, d] of samples [n, *shape]: all their values, or what a convolutional
    network with fixed random weights makes of them.
    """
    if features == "values":
        return samples.flatten(1).double()
    return torch.cat([random_conv(chunk) for chunk in torch.split(samples, CHUNK)])


def random_conv(images: Tensor) -> Tensor:
    """Float64 vectors [n, 224] of images [n, c, h, w]: the means over the image of what three
    random 3x3 convolutions with leaky rectifiers give, the image halved after each.

    The weights are normal with the variance of He et al. 2015 and one seed (random networks as in
    Naeem et al. 2020).
    """
    stream = torch.Generator().manual_seed(SEED)
    found, x = [], images
    for channels in CHANNELS:
        scale = math.sqrt(2 / (9 * x.shape[1]))
        weight = scale * torch.randn(channels, x.shape[1], 3, 3, generator=stream)
        x = functional.leaky_relu(functional.conv2d(x, weight, padding=1), 0.2)
        found.append(x.mean((2, 3)))
        height, width = x.shape[2:]
        x = functional.adaptive_avg_pool2d(x, ((height + 1) // 2, (width + 1) // 2))
    return torch.cat(found, 1).double()
