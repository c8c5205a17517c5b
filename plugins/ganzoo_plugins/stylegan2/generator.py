"""StyleGAN2's generator."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganzoo.contracts import Generator, PositiveInt, Spec
from ganzoo.errors import UsageError
from ganzoo.nn import (
    EqualConv2d,
    ModulatedConv2d,
    add_vector,
    filtered_upsample,
    scaled_leaky_relu,
    stages_of,
    whole_mean,
)

from .shared import Mapping, channels_of

KEPT = 0.995  # of the mean of w, by one update
Share = Annotated[float, Field(ge=0, le=1)]


class StyledLayer(nn.Module):
    """A modulated 3x3 convolution, noise times a learnt strength that begins at zero, a bias, and
    leaky ReLU.
    """

    def __init__(self, inputs: int, outputs: int, style: int, *, grow: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style, grow=grow)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.conv(x, style)
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device, dtype=x.dtype)
        bias = self.bias.to(x.dtype)[:, None, None]
        return scaled_leaky_relu(x + noise * self.strength + bias)


class StyledBlock(nn.Module):
    """Two styled layers, of which the first doubles the sides; with `residual` around them a 1x1
    convolution, doubled likewise.
    """

    def __init__(self, inputs: int, outputs: int, style: int, *, residual: bool) -> None:
        super().__init__()
        self.layer1 = StyledLayer(inputs, outputs, style, grow=True)
        self.layer2 = StyledLayer(outputs, outputs, style)
        self.shortcut = EqualConv2d(inputs, outputs, 1, bias=False) if residual else None

    def forward(self, x: Tensor, style1: Tensor, style2: Tensor) -> Tensor:
        h: Tensor = self.layer2(self.layer1(x, style1), style2)
        if self.shortcut is None:
            return h
        return (h + filtered_upsample(self.shortcut(x))) / math.sqrt(2)


class Paint(nn.Module):
    """A modulated 1x1 convolution to the image's channels, without demodulation."""

    def __init__(self, inputs: int, channels: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, channels, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        painted: Tensor = self.conv(x, style)
        return painted + self.bias[:, None, None]


class StyleGAN2Generator(Generator):
    """The generator of StyleGAN2: a mapping net, then convolutions modulated by its w, and noise
    (Karras et al. 2020).

    Draws [n, c, h, w] for any c, where h and w are a base that was doubled as often, whose smaller
    side is 4 to 7: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48 and on; 16x24 too. Each stage after
    the learnt base has two layers. Noise is drawn anew in every call, from torch's generator. Ends
    in tanh, since images lie in [-1, 1] here, where the paper's is linear. At 1024x1024x3 it has
    30,370,060 parameters, 2,101,248 of them in the mapping net, as NVlabs/stylegan2's config F;
    30,034,338 at 256x256x3 and 21,523,475 at 32x32x3. With `labels` the mapping net reads a
    vector of the class beside the latents (Karras et al. 2020, StyleGAN2-ADA). Sampling takes
    `truncation`: w is that share of the way from the mean of all w. Raises Incompatible for other
    samples.

    latent_dim: numbers in one latent vector, and in w
    width: channels of the last stage, doubled with each before it, up to 512; none for 32768 over
        the side, as published: 32 at 1024 pixels, 128 at 256, 512 up to 64
    mapping: layers of the mapping net
    architecture: skip adds up an image of every stage; residual paints the last stage alone, and
        has a shortcut around each stage
    mixing: share of the samples, in training, whose layers from a random one on follow another w
    labels: whether it is told the class or vector of what it is to draw, where the data have them
    """

    modalities = ("image",)
    partner = "stylegan2"
    may_read = ("vector",)
    adapts = {"conditional": {"labels": True}}  # noqa: RUF012  (typed in the contract)
    sampling = {"truncation": float}  # noqa: RUF012
    w_avg: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 512,
        width: PositiveInt | None = None,
        mapping: PositiveInt = 8,
        architecture: Literal["skip", "residual"] = "skip",
        mixing: Share = 0.9,
        labels: bool = False,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.stages, self.mixing = stages_of(spec, "stylegan2"), mixing
        self.mixes = isinstance(mixing, Tensor) or mixing > 0  # a share that moves is a tensor
        self.conditional = labels and spec.classes > 0
        classes = spec.classes if self.conditional else 0
        length = add_vector(self, labels)
        self.mapped = Mapping(latent_dim, classes, latent_dim, mapping, length)
        self.widths = channels_of(self.stages, width)
        self.styles = 2 * self.stages.count + 2  # layers of w: that of the base, two a stage, paint
        self.base = nn.Parameter(torch.randn(self.widths[0], *self.stages.base))
        self.first = StyledLayer(self.widths[0], self.widths[0], latent_dim)
        self.skip = architecture == "skip"
        self.blocks = nn.ModuleList(
            StyledBlock(a, b, latent_dim, residual=not self.skip) for a, b in pairwise(self.widths)
        )
        painted = self.widths if self.skip else self.widths[-1:]
        self.paint = nn.ModuleList(Paint(c, spec.shape[0], latent_dim) for c in painted)
        self.register_buffer("w_avg", torch.zeros(latent_dim))

    def draw_latents(
        self,
        count: int,
        generator: torch.Generator | None = None,
        *,
        truncation: float | None = None,
    ) -> Tensor:
        """Latents [count, latent_dim] of a standard normal; with `truncation` two numbers more,
        whose ratio it is, so that what lies between two latents keeps it.
        """
        latents = super().draw_latents(count, generator)
        if truncation is None:
            return latents
        if not math.isfinite(truncation):
            raise UsageError("give a finite number", key="truncation", value=truncation)
        return torch.cat([latents, latents.new_tensor([truncation, 1]).expand(count, 2)], 1)

    def mapping(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        """w [n, layers, latent_dim] of latents; styles are mixed in training, and w truncated
        where latents say so.
        """
        own = latents[:, : self.latent_dim]
        w: Tensor = self.mapped(own, labels, vector)[:, None].expand(-1, self.styles, -1)
        if self.training and self.mixes:
            other = self.mapped(torch.randn_like(own), labels, vector)
            w = torch.where(self._changed(w)[:, :, None], other[:, None], w)
        if latents.shape[1] == self.latent_dim:
            return w
        share = latents[:, -2] / latents[:, -1]
        return self.w_avg + (w - self.w_avg) * share[:, None, None]

    def _changed(self, w: Tensor) -> Tensor:
        """Which layers of w [n, layers, d] follow another one, [n, layers]: of some samples all
        from one on.
        """
        chance, place = torch.rand(len(w), 2, 1, device=w.device).unbind(1)
        first = 1 + (place * (self.styles - 1)).floor()
        layers = torch.arange(self.styles, device=w.device)
        changed: Tensor = (layers >= first) & (chance < self.mixing)
        return changed

    def shown(self, painted: Tensor, stage: int) -> Tensor:
        """The image of a stage as it is added to those before it."""
        return painted

    def synthesis(self, w: Tensor) -> Tensor:
        """Samples of w [n, layers, latent_dim]."""
        styles = w.unbind(1)
        maps = self.first(self.base.expand(len(w), -1, -1, -1), styles[0])
        image: Tensor | None = self.paint[0](maps, styles[1]) if self.skip else None
        for stage, block in enumerate(self.blocks, 1):
            maps = block(maps, *styles[2 * stage - 1 : 2 * stage + 1])
            if image is not None:
                painted = self.paint[stage](maps, styles[2 * stage + 1])
                image = self.shown(painted, stage) + filtered_upsample(image)
        if image is None:
            image = self.paint[0](maps, styles[-1])
        samples: Tensor = image.tanh()
        return samples

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        return self.synthesis(self.mapping(latents, labels, vector))

    def observe(
        self, latents: Tensor, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> None:
        """Move the mean of w, from which samples are truncated."""
        w = self.mapped(latents[:, : self.latent_dim], labels, vector)
        self.w_avg.lerp_(whole_mean(w.mean(0)), 1 - KEPT)
