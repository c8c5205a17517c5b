"""Vectors that samples are compared by, from no trained network."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.contracts import Spec
from ganzoo.errors import Incompatible

Features = Literal["values", "random-conv"]
SEED = 0  # the network's
CHANNELS = (32, 64, 128)
CHUNK = 256  # images at a time


def check_features(name: str, features: Features, spec: Spec) -> None:
    """Raise Incompatible where samples have no such features."""
    if features == "random-conv" and spec.modality != "image":
        raise Incompatible(
            f"convolutions look at images, not at {spec.modality} {list(spec.shape)}; take values",
            section=f"metric.{name}",
            key="features",
            value=features,
        )


def features_of(samples: Tensor, features: Features) -> Tensor:
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
