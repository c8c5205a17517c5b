"""Fully connected nets for samples of every modality."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganzoo.contracts import (
    MODALITIES,
    Discriminator,
    Encoder,
    Generator,
    PositiveInt,
    Spec,
)
from ganzoo.nn import ConcatHead, MinibatchDiscrimination, add_vector, class_head, finished, joined

Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


def trunk(
    inputs: int, width: int, depth: int, norm: bool = False, dropout: float = 0.0
) -> nn.Sequential:
    """`depth` hidden layers of `width` units, leaky rectifiers of slope 0.2."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [
            nn.Linear(inputs, width),
            *([nn.BatchNorm1d(width)] if norm else []),
            nn.LeakyReLU(0.2),
            *([nn.Dropout(dropout)] if dropout else []),
        ]
        inputs = width
    return nn.Sequential(*layers)


class Frame(nn.Module):
    """Where points lie and how far they scatter: nets see mean 0 and deviation 1."""

    centre: Tensor
    scale: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(spec.numel))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, points: Tensor) -> None:
        """Mean of points [n, d], and their deviation from it, all coordinates alike."""
        mean = points.mean(0)
        scale = (points - mean).square().mean().sqrt()
        self.centre.copy_(
            mean.repeat(len(self.centre) // len(mean))
        )  # several, if points are packed
        self.scale.copy_(scale if scale > 0 else torch.ones_like(scale))

    def forward(self, points: Tensor) -> Tensor:
        """Points [n, d] as nets see them."""
        return (points - self.centre) / self.scale

    def back(self, seen: Tensor) -> Tensor:
        """Points [n, d] of those as nets see them."""
        return seen * self.scale + self.centre


class Waves(nn.Module):
    """Random plane waves of points, beside the points themselves (Rahimi and Recht 2007).

    Wave vectors are normal of deviation pi/2 a coordinate, about one period in four deviations of
    the data; they are drawn once and stay. A net of few layers that sees positions alone learns
    narrow clusters slowly (Tancik et al. 2020).
    """

    vectors: Tensor
    phases: Tensor

    def __init__(self, inputs: int, count: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.randn(count, inputs) * math.pi / 2)
        self.register_buffer("phases", torch.rand(count) * math.tau)

    def forward(self, points: Tensor) -> Tensor:
        """Points [n, d] and their waves, [n, d + count]."""
        waves = nn.functional.linear(points, self.vectors, self.phases).sin()
        return torch.cat([points, waves], 1)


class MLPGenerator(Generator):
    """A fully connected generator for samples of any shape (Goodfellow et al. 2014).

    Images and videos end in tanh; symbols and the categories of tables are chosen, with the
    gradient of a softmax (straight-through); signals, points and numbers are unbounded, points
    moved and scaled to the data's mean and deviation.
    The paper's own net for MNIST is width 1200, depth 2. With `labels` the first layer reads the
    class beside the latents, one number a class (Mirza and Osindero 2014), and a vector where the
    data give one.

    latent_dim: numbers in one latent vector
    width: units in each hidden layer
    depth: hidden layers
    norm: normalisation of the hidden layers
    labels: whether it is told the class or vector of what it is to draw, where the data have them
    """

    modalities = MODALITIES
    partner = "mlp"
    may_read = ("vector",)
    adapts = {"conditional": {"labels": True}}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 100,
        width: PositiveInt = 256,
        depth: PositiveInt = 3,
        norm: Literal["none", "batch"] = "none",
        labels: bool = False,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.conditional = labels and spec.classes > 0
        told = add_vector(self, labels) + (spec.classes if self.conditional else 0)
        self.trunk = trunk(latent_dim + told, width, depth, norm == "batch")
        self.draw = nn.Linear(width, spec.numel)
        self.frame = Frame(spec) if spec.modality == "points" else None

    def calibrate(self, points: Tensor) -> None:
        """Take the mean and the deviation of points [n, d]."""
        if self.frame is not None:
            self.frame.fit(points)

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        latents = joined(latents, vector)
        if self.conditional:
            assert labels is not None
            classes = torch.arange(self.spec.classes, device=labels.device)
            told = labels[:, None] == classes  # one_hot reads values on a CPU
            latents = torch.cat([latents, told.to(latents.dtype)], 1)
        samples: Tensor = self.draw(self.trunk(latents))
        if self.frame is not None:
            samples = self.frame.back(samples)
        return finished(samples, self.spec)


class MLPDiscriminator(Discriminator):
    """A fully connected discriminator for samples of any shape (Goodfellow et al. 2014).

    Leaky rectifiers stand for the paper's maxout units, and nothing mixes the batch but `minibatch`
    (Salimans et al. 2016, section 3.2). Points are judged by where they lie from the data's mean in
    units of their deviation, which slopes are counted over, too.

    width: units in each hidden layer
    depth: hidden layers
    waves: random plane waves of points that the first layer sees, too; others have none
    labels: whether it is told the class, where the data have classes, as a vector beside the
        features, which one more hidden layer reads (Mirza and Osindero 2014), and a vector that
        the data give beside the sample; classify has a second head score the classes instead, for
        losses and penalties that read it
    dropout: share of the hidden units that are zero in an update, drawn anew in each pass
    minibatch: projections by which the samples of a batch are compared; 0 for none
    """

    modalities = MODALITIES
    may_read = ("vector",)
    adapts = {  # noqa: RUF012  (typed in the contract)
        "conditional": {"labels": True},
        "classify": {"labels": "classify"},
    }

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt = 256,
        depth: PositiveInt = 3,
        waves: Natural = 0,
        labels: bool | Literal["classify"] = False,
        dropout: Share = 0.0,
        minibatch: Natural = 0,
    ) -> None:
        super().__init__(spec)
        waves = waves if spec.modality == "points" else 0
        self.waves = Waves(spec.numel, waves) if waves else None
        inputs = spec.numel + waves + add_vector(self, labels is True)
        self.trunk = trunk(inputs, width, depth, dropout=dropout)
        self.per_sample = minibatch == 0
        if minibatch:
            self.trunk.append(MinibatchDiscrimination(width, minibatch))
            self.adapts = {**type(self).adapts, "per_sample": {"minibatch": 0}}  # type: ignore[misc]
        width += minibatch
        self.conditional = labels is True and spec.classes > 0
        self.judge: nn.Module = nn.Linear(width, 1)
        if self.conditional:
            self.judge = ConcatHead(width, spec.classes)
        if labels == "classify":
            self.heads = ("classify",)
            self.classify = class_head(width, spec)
        self.frame = Frame(spec) if spec.modality == "points" else None

    def calibrate(self, points: Tensor) -> None:
        """Take the mean and the deviation of points [n, d]."""
        if self.frame is not None:
            self.frame.fit(points)

    @property
    def unit(self) -> Tensor | float:  # type: ignore[override]
        """The deviation of points."""
        return 1.0 if self.frame is None else self.frame.scale

    def features(self, samples: Tensor, vector: Tensor | None = None) -> Tensor:
        """What the last hidden layer says, [n, width], and how close each is to the others."""
        flat = samples.flatten(1)
        if self.frame is not None:
            flat = self.frame(flat)
        if self.waves is not None:
            flat = self.waves(flat)
        if vector is not None:
            flat = torch.cat([flat, vector], 1)
        units: Tensor = self.trunk(flat)
        return units

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n]."""
        logits: Tensor
        if self.conditional:
            logits = self.judge(features, labels)
        else:
            logits = self.judge(features).squeeze(1)
        return logits


class MLPEncoder(Encoder):
    """A fully connected encoder of samples of any shape, the generator's counterpart.

    Points are read by where they lie from the data's mean, in units of their deviation.

    latent_dim: numbers in one code
    width: units in each hidden layer
    depth: hidden layers
    """

    modalities = MODALITIES

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 100,
        width: PositiveInt = 256,
        depth: PositiveInt = 3,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.trunk = trunk(spec.numel, width, depth)
        self.code = nn.Linear(width, 2 * latent_dim)
        self.frame = Frame(spec) if spec.modality == "points" else None

    def calibrate(self, points: Tensor) -> None:
        """Take the mean and the deviation of points [n, d]."""
        if self.frame is not None:
            self.frame.fit(points)

    def forward(self, samples: Tensor) -> Tensor:
        flat = samples.flatten(1)
        if self.frame is not None:
            flat = self.frame(flat)
        codes: Tensor = self.code(self.trunk(flat))
        return codes.view(len(samples), 2, self.latent_dim)
