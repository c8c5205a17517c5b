"""DCGAN's nets for images of any height and width from 4 up.

The canonical net is the one for 64x64; other sizes
get as many stages as halve the smaller side to 4..7.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from ganzoo.contracts import Discriminator, Encoder, Generator, PositiveInt, Spec
from ganzoo.errors import Incompatible
from ganzoo.nn import (
    ConcatHead,
    MinibatchDiscrimination,
    add_vector,
    beside,
    class_head,
    initialise,
    norm,
)

SMALLEST = 4  # the side below which nothing is left to convolve
Size = tuple[int, int]


def _sizes(spec: Spec) -> list[Size]:
    """Height and width at every stage, from the image down to the base.

    Both sides are halved, rounded up, while the smaller is 8 or more.
    An image too small to halve gets one stage that keeps its size.
    Raises Incompatible for what is no image or has a side below 4.
    """
    if spec.modality != "image":
        raise Incompatible(
            f"dcgan works on images, not on {spec.modality} {list(spec.shape)}; use mlp"
        )
    size = (spec.shape[1], spec.shape[2])
    if min(size) < SMALLEST:
        least = f"{max(size[0], SMALLEST)}x{max(size[1], SMALLEST)}"
        found = f"{size[0]}x{size[1]} is too small, the smallest possible is {SMALLEST}x{SMALLEST}"
        raise Incompatible(found, remedy="take at least", change={"data.resolution": least})
    sizes = [size]
    while min(size) >= 2 * SMALLEST:
        size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
        sizes.append(size)
    return sizes if len(sizes) > 1 else sizes * 2


def _widths(width: int, stages: int) -> list[int]:
    """Channels after each stage, top to base: doubling, at most eightfold."""
    return [width * min(2**i, 8) for i in range(stages)]


def _draw_weights(net: nn.Module) -> None:
    """Weights from N(0, 0.02²) and scales of norms from
    N(1, 0.02²), as DCGAN's common implementations.
    """
    initialise(net, "normal")
    for module in net.modules():
        scale = getattr(module, "weight", None)
        if isinstance(scale, nn.Parameter) and scale.dim() == 1:
            nn.init.normal_(scale, 1.0, 0.02)


def _grow(inputs: int, outputs: int, small: Size, large: Size) -> nn.ConvTranspose2d:
    """A transposed convolution from one size to another:
    kernel 4 to 2n, kernel 3 to 2n-1, each side by itself.
    """
    stride = (1, 1) if small == large else (2, 2)
    kernel = (4 if large[0] == 2 * small[0] else 3, 4 if large[1] == 2 * small[1] else 3)
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, 1, bias=False)


class DCGANGenerator(Generator):
    """The generator of DCGAN: transposed convolutions,
    batch norm, ReLU, tanh (Radford et al. 2016).

    Draws [n, c, h, w] for any c and any h, w from 4 up; the base is 4 to 7 on the smaller side.
    At 64x64x3, width 64, latent 100, it has 3,576,704 parameters. With `labels` a vector for each
    class is added to what the first layer gives, as if the class were a part of the latents
    (Mirza and Osindero 2014); so is a vector that the data give, by a linear map. Raises
    Incompatible for other samples.

    latent_dim: numbers in one latent vector
    width: channels of the last hidden stage; each stage below has twice as many, up to 8 times
    labels: whether it is told the class or vector of what it is to draw, where the data have them;
        not in the paper
    """

    modalities = ("image",)
    partner = "dcgan"
    may_read = ("vector",)
    adapts = {"conditional": {"labels": True}}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 100,
        width: PositiveInt = 64,
        labels: bool = False,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        sizes = _sizes(spec)
        widths = _widths(width, len(sizes) - 1)
        self.base = (widths[-1], *sizes[-1])
        self.project = nn.Linear(latent_dim, widths[-1] * sizes[-1][0] * sizes[-1][1], bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[-1]), nn.ReLU()]
        for stage in range(len(widths) - 1, 0, -1):
            layers += [_grow(widths[stage], widths[stage - 1], sizes[stage + 1], sizes[stage])]
            layers += [nn.BatchNorm2d(widths[stage - 1]), nn.ReLU()]
        self.body = nn.Sequential(
            *layers, _grow(widths[0], spec.shape[0], sizes[1], sizes[0]), nn.Tanh()
        )
        self.conditional = labels and spec.classes > 0
        if self.conditional:
            self.classes = nn.Embedding(spec.classes, self.project.out_features)
        length = add_vector(self, labels)
        if length:
            self.vector = nn.Linear(length, self.project.out_features, bias=False)
        _draw_weights(self)

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        # Linear and reshape: the paper's transposed
        # convolution on 1x1, the same function and faster.
        base = self.project(latents)
        if self.conditional:
            base = base + self.classes(labels)
        if vector is not None:
            base = base + self.vector(vector)
        samples: Tensor = self.body(base.unflatten(1, self.base))
        return samples


class DCGANDiscriminator(Discriminator):
    """The discriminator of DCGAN: strided convolutions and leaky rectifiers (Radford et al. 2016).

    Judges [n, c, h, w] for any c and any h, w from 4 up. At 64x64x3 and width 64 with batch norm
    it has 2,765,568 parameters: as in DCGAN's common implementations, its only biases are those
    of the norms. Without norms every layer has one, or the net could only tell directions
    (D(3x) = 3 D(x)). With `labels` it is told the class by its `head`. With `minibatch` the
    features say how close a sample is to the others, too (Salimans et al. 2016, section 3.2).
    Raises Incompatible for other samples.

    width: channels of the first stage; each stage below has twice as many, up to 8 times
    norm: normalisation of all stages but the first; auto is the
        paper's batch norm, which mixes the samples of a batch
    labels: whether it reads or tells classes, where the data have them, and reads a vector that
        the data give, as maps beside the picture; not in the paper
    head: projection adds the product of the features and a vector for the class (Miyato and
        Koyama 2018), concat judges both together in a hidden layer (Mirza and Osindero 2014),
        classify tells the class beside the logit, for losses that ask (Odena et al. 2017)
    dropout: share of each stage's numbers that are zero in an update, drawn anew in each pass;
        not in the paper
    minibatch: projections by which the samples of a batch are compared; 0 for none, as the paper
    """

    modalities = ("image",)
    may_read = ("vector",)
    adapts = {  # noqa: RUF012  (typed in the contract)
        "classify": {"labels": True, "head": "classify"},
        "per_sample": {"norm": "layer"},
        "conditional": {"labels": True},
    }

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt = 64,
        norm: Literal["auto", "batch", "layer", "instance", "none"] = "auto",
        labels: bool = False,
        head: Literal["projection", "concat", "classify"] = "projection",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        minibatch: Annotated[int, Field(ge=0)] = 0,
    ) -> None:
        super().__init__(spec)
        kind = "batch" if norm == "auto" else norm
        self.per_sample = kind != "batch" and minibatch == 0
        sizes = _sizes(spec)
        widths = _widths(width, len(sizes) - 1)
        channels = spec.shape[0] + add_vector(self, labels)
        self.body, height, breadth = _shrink(channels, widths, sizes, kind, dropout)
        features = widths[-1] * height * breadth
        self.compared = MinibatchDiscrimination(features, minibatch) if minibatch else None
        if minibatch:
            alone = {**type(self).adapts["per_sample"], "minibatch": 0}
            self.adapts = {**type(self).adapts, "per_sample": alone}  # type: ignore[misc]
        features += minibatch
        told = labels and spec.classes > 0
        self.conditional, self.head = told and head != "classify", head
        if self.conditional and head == "concat":
            self.joint = ConcatHead(features, spec.classes, widths[-1])
        else:
            self.judge = nn.Linear(features, 1, bias=kind == "none")
        if self.conditional and head == "projection":
            self.classes = nn.Embedding(spec.classes, features)
        if told and head == "classify":
            self.classify, self.heads = class_head(features, spec), ("classify",)
        _draw_weights(self)

    def features(self, samples: Tensor, vector: Tensor | None = None) -> Tensor:
        """What the last stage says, flattened to [n, features], and how close each is to others."""
        maps: Tensor = self.body(beside(samples, vector))
        flat = maps.flatten(1)
        return flat if self.compared is None else self.compared(flat)

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n]."""
        if self.conditional and self.head == "concat":
            joint: Tensor = self.joint(features, labels)
            return joint
        logits: Tensor = self.judge(features).squeeze(1)
        if self.conditional:
            logits = logits + (self.classes(labels) * features).sum(1)
        return logits


class DCGANEncoder(Encoder):
    """Strided convolutions as in the discriminator of DCGAN, which end in a code.

    Reads [n, c, h, w] for any c and any h, w from 4 up. Its norms look at one sample alone, so that
    a code does not hang on the batch. Raises Incompatible for other samples.

    latent_dim: numbers in one code
    width: channels of the first stage; each stage below has twice as many, up to 8 times
    """

    modalities = ("image",)

    def __init__(
        self, spec: Spec, *, latent_dim: PositiveInt = 100, width: PositiveInt = 64
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        sizes = _sizes(spec)
        widths = _widths(width, len(sizes) - 1)
        self.body, height, breadth = _shrink(spec.shape[0], widths, sizes, "layer")
        self.code = nn.Linear(widths[-1] * height * breadth, 2 * latent_dim)
        _draw_weights(self)

    def forward(self, samples: Tensor) -> Tensor:
        codes: Tensor = self.code(self.body(samples).flatten(1))
        return codes.view(len(samples), 2, self.latent_dim)


def _shrink(
    channels: int, widths: list[int], sizes: list[Size], kind: str, dropout: float = 0.0
) -> tuple[nn.Sequential, int, int]:
    """The stages of the discriminator, and the height and
    width that they leave (odd sides halve rounding down).
    """
    layers: list[nn.Module] = []
    height, breadth = sizes[0]
    for stage, ((before, after), width) in enumerate(zip(pairwise(sizes), widths, strict=True)):
        kernel, stride = (3, 1) if before == after else (4, 2)
        height, breadth = height // stride, breadth // stride
        layers += [nn.Conv2d(channels, width, kernel, stride, 1, bias=kind == "none")]
        layers += [*([norm(kind, width)] if stage else []), nn.LeakyReLU(0.2)]
        layers += [nn.Dropout(dropout)] if dropout else []
        channels = width
    return nn.Sequential(*layers), height, breadth
