"""StyleGAN2's discriminator."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo.contracts import Discriminator, PositiveInt, Spec
from ganzoo.nn import (
    EqualConv2d,
    EqualLinear,
    MinibatchDeviation,
    add_vector,
    beside,
    filtered,
    filtered_downsample,
    scaled_leaky_relu,
    stages_of,
)

from .shared import Mapping, channels_of

GROUP = 4


class HalvingBlock(nn.Module):
    """Two 3x3 convolutions, of which the second halves the sides, filtered; with `residual` around
    them a 1x1 convolution of the filtered, halved maps.
    """

    def __init__(self, inputs: int, outputs: int, *, residual: bool) -> None:
        super().__init__()
        self.conv1 = EqualConv2d(inputs, inputs, 3)
        self.conv2 = EqualConv2d(inputs, outputs, 3, stride=2)
        self.shortcut = EqualConv2d(inputs, outputs, 1, bias=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        h = scaled_leaky_relu(self.conv1(x))
        h = scaled_leaky_relu(self.conv2(filtered(h, 2)))
        if self.shortcut is None:
            return h
        added: Tensor = h + self.shortcut(filtered_downsample(x))
        return added / math.sqrt(2)


class StyleGAN2Discriminator(Discriminator):
    """The discriminator of StyleGAN2: residual, with the deviation over groups of the batch
    (Karras et al. 2020).

    Judges [n, c, h, w] for any c and the h, w of the generator. At 1024x1024x3 it has 29,012,513
    parameters, as NVlabs/stylegan2's config F; 28,864,129 at 256x256x3 and 21,507,073 at 32x32x3.
    With `labels` it is told the class by its `head`. A `group` of 1 judges each sample by itself,
    which penalties on slopes get unless a group is set; the paper takes them with groups of 4.
    Raises Incompatible for other samples.

    width: channels of the first stage, doubled with each after it, up to 512; none for 32768 over
        the side, as published: 32 at 1024 pixels, 128 at 256, 512 up to 64
    architecture: residual; skip reads the image anew at every stage; plain has neither
    group: samples whose deviation is one more channel of the last stage, 1 for none; auto is 4
    labels: whether it reads or tells classes, where the data have them, and reads a vector that
        the data give, as maps beside the picture; the vector is not in the paper
    head: projection is the product of the features and a vector mapped from the class (Karras et
        al. 2020, StyleGAN2-ADA), concat judges both together in a hidden layer (Mirza and Osindero
        2014), classify tells the class beside the logit, for losses that ask
    mapping: layers from the class to its vector
    """

    modalities = ("image",)
    may_read = ("vector",)
    adapts = {  # noqa: RUF012  (typed in the contract)
        "per_sample": {"group": 1},
        "conditional": {"labels": True},
        "classify": {"labels": True, "head": "classify"},
    }

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt | None = None,
        architecture: Literal["residual", "skip", "plain"] = "residual",
        group: PositiveInt | Literal["auto"] = "auto",
        labels: bool = False,
        head: Literal["projection", "concat", "classify"] = "projection",
        mapping: PositiveInt = 8,
    ) -> None:
        super().__init__(spec)
        stages = stages_of(spec, "stylegan2")
        self.widths = channels_of(stages, width)[::-1]
        residual = architecture == "residual"
        self.blocks = nn.ModuleList(
            HalvingBlock(a, b, residual=residual) for a, b in pairwise(self.widths)
        )
        read = self.widths if architecture == "skip" else self.widths[:1]
        channels = spec.shape[0] + add_vector(self, labels)
        self.read = nn.ModuleList(EqualConv2d(channels, c, 1) for c in read)
        group = GROUP if group == "auto" else group
        self.per_sample = group == 1
        self.deviation = nn.Identity() if group == 1 else MinibatchDeviation(group)
        last = self.widths[-1]
        self.conv = EqualConv2d(last + (group > 1), last, 3)
        self.hidden = EqualLinear(last * math.prod(stages.base), last)
        told = labels and spec.classes > 0
        self.conditional = told and head != "classify"
        if self.conditional:
            self.mapped = Mapping(0, spec.classes, last, mapping)
        joined = self.conditional and head == "concat"
        self.joint = EqualLinear(2 * last, last) if joined else None
        self.judge = EqualLinear(last, last if self.conditional and not joined else 1)
        if told and head == "classify":
            self.classify, self.heads = EqualLinear(last, spec.classes), ("classify",)

    def heard(self, maps: Tensor, stage: int) -> Tensor:
        """The maps of a stage, counted from the image, as those after it go on from them."""
        return maps

    def features(self, samples: Tensor, vector: Tensor | None = None) -> Tensor:
        """What the hidden layer after the last stage says: [n, features]."""
        samples = beside(samples, vector)
        first, *others = self.read
        maps = scaled_leaky_relu(first(samples))
        for stage, block in enumerate(self.blocks):
            maps = self.heard(block(maps), stage)
            if others:
                samples = filtered_downsample(samples)
                maps = maps + scaled_leaky_relu(others[stage](samples))
        maps = scaled_leaky_relu(self.conv(self.deviation(maps)))
        return scaled_leaky_relu(self.hidden(maps.flatten(1)))

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n]."""
        if self.joint is not None:
            joined = torch.cat([features, self.mapped(None, labels)], 1)
            features = scaled_leaky_relu(self.joint(joined))
        judged: Tensor = self.judge(features)
        if not self.conditional or self.joint is not None:
            return judged.squeeze(1)
        vectors: Tensor = self.mapped(None, labels)
        return (judged * vectors).sum(1) / math.sqrt(judged.shape[1])
