"""FastGAN's discriminator, and the decoders that redraw what it saw."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.contracts import Discriminator, PositiveInt, Spec
from ganzoo.nn import Stages, norm, own, ranks, stages_of

from .blocks import Down, Excitation, Norm, Up, convolution, draw_weights

TRUNK = 5  # blocks that halve, of images of 256 pixels and more
SPAN = 3  # blocks from the maps that excite to those that are excited
REDUCED = 5  # doublings of the base that the second judge, and the decoders, work on: 128 pixels
DECODED = (2, 1, 1, 1 / 2)  # of the width, after each doubling of a decoder


class FastGANDiscriminator(Discriminator):
    """The discriminator of FastGAN: two judges of patches, of the picture and of the picture
    reduced (Liu et al. 2021).

    Judges [n, c, h, w] for any c and the h, w of the generator: a map of logits from the picture,
    and one from that at 128 pixels, of smaller ones at half the size; 8x8 has no second judge. At
    the end maps are twice the base, and each logit sees four by four of them. With `decode` it can
    draw again what it saw: all of it, one quarter and the reduced one, from the maps that it is
    judged by. Spectral norm is a regularizer. Raises Incompatible for other samples.

    width: channels at the fourth stage from the end; those below twice as many each, those above
        half
    norm: normalisation; the paper's batch norm mixes the samples of a batch
    decode: whether it has decoders, for a penalty that asks for them: `reconstruct`
    """

    modalities = ("image",)
    adapts = {  # noqa: RUF012  (typed in the contract)
        "per_sample": {"norm": "layer"},
        "decoders": {"decode": True},
    }

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt = 64,
        norm: Literal["batch", "layer", "instance", "none"] = "batch",
        decode: bool = False,
    ) -> None:
        super().__init__(spec)
        self.per_sample = norm != "batch"
        stages, kind = stages_of(spec, "fastgan"), normed(norm)
        build = Builder(spec, stages, width, kind, norm == "none")
        self.first, self.trunk = build.first(), build.trunk()
        self.span = min(SPAN, len(self.trunk))
        widths = build.widths
        excited = zip(widths, widths[max(1, self.span) :], strict=False)
        self.excite = nn.ModuleList(Excitation(small, large) for small, large in excited)
        self.judge = build.judge()
        self.reduced = build.reduced()
        self.target = build.target
        if self.reduced is not None:
            self.judge_reduced = nn.Conv2d(build.narrow[-1], 1, 4, bias=False)
        if decode:
            self.decoders, self.heads = build.decoders(), ("decoders",)
        draw_weights(self)

    def features(self, samples: Tensor) -> dict[str, Tensor]:
        """The last maps of the picture (`whole`), those before (`corner`), of which decoders draw
        a quarter, and the last ones of the reduced picture (`small`).
        """
        maps = [self.first(samples)]
        for number, block in enumerate(self.trunk, 1):
            halved = block(maps[-1])
            if number >= self.span:
                halved = self.excite[number - self.span](maps[number - self.span], halved)
            maps.append(halved)
        if self.reduced is None:
            return {"whole": maps[-1]}
        small = self.reduced(F.adaptive_avg_pool2d(samples, self.target))
        return {"whole": maps[-1], "corner": maps[-2], "small": small}

    def score(self, features: dict[str, Tensor], labels: Tensor | None = None) -> list[Tensor]:
        """Logits [n, h, w] of patches of the picture and, but for 8x8, of the reduced one."""
        logits = [self.judge(features["whole"]).squeeze(1)]
        if "small" in features:
            logits.append(self.judge_reduced(features["small"]).squeeze(1))
        return logits


def normed(name: str) -> Norm:
    """What makes the normalisation of that name."""
    return partial(norm, name)


class Builder:
    """The parts of a discriminator for one size of image."""

    def __init__(self, spec: Spec, stages: Stages, width: int, kind: Norm, bias: bool) -> None:
        self.channels, self.width, self.kind, self.bias = spec.shape[0], width, kind, bias
        self.extra = max(0, stages.count - TRUNK - 1)  # halvings before the trunk
        blocks = min(TRUNK, stages.count - 1)
        self.widths = [max(1, 8 * width >> (blocks - block)) for block in range(blocks + 1)]
        doublings = min(REDUCED, max(1, stages.count - 1))
        self.doublings = doublings - 1  # of the last maps until the reduced picture
        self.target = (stages.base[0] << doublings, stages.base[1] << doublings)
        steps = max(1, self.doublings)
        self.narrow = [max(1, 4 * width >> (steps - 1 - step)) for step in range(steps)]
        self.single = stages.count == 1

    def first(self) -> nn.Sequential:
        """From the image to the first maps, of 256 pixels at most."""
        if not self.extra:
            return convolution(self.channels, self.widths[0], 3, None, bias=self.bias)
        widths = [max(1, self.widths[0] >> (self.extra - 1 - step)) for step in range(self.extra)]
        layers = nn.Sequential(convolution(self.channels, widths[0], 4, None, bias=self.bias))
        for a, b in pairwise(widths):
            layers.append(convolution(a, b, 4, self.kind, bias=self.bias))
        return layers

    def trunk(self) -> nn.ModuleList:
        """Blocks that halve."""
        return nn.ModuleList(
            Down(a, b, self.kind, bias=self.bias) for a, b in pairwise(self.widths)
        )

    def judge(self) -> nn.Sequential:
        """From the last maps to logits of patches."""
        hidden = convolution(self.widths[-1], 2 * self.widths[-1], 1, self.kind, bias=self.bias)
        return hidden.append(nn.Conv2d(2 * self.widths[-1], 1, 4, bias=False))

    def reduced(self) -> nn.Sequential | None:
        """From the reduced picture to its last maps; none for an image of 8x8."""
        if self.single:
            return None
        kernel = 4 if self.doublings else 3
        layers = nn.Sequential(
            convolution(self.channels, self.narrow[0], kernel, None, bias=self.bias)
        )
        for a, b in pairwise(self.narrow):
            layers.append(convolution(a, b, 4, self.kind, bias=self.bias))
        return layers

    def decoders(self) -> Decoders:
        """What draws pictures from features."""
        inputs = {"whole": self.widths[-1]}
        if not self.single:
            inputs |= {"corner": self.widths[-2], "small": self.narrow[-1]}
        each = {name: self.decoder(channels) for name, channels in inputs.items()}
        return Decoders(each, self.target)

    def decoder(self, inputs: int) -> nn.Sequential:
        """Doubles the sides as often as is wanted, and paints."""
        layers = nn.Sequential()
        for multiple in DECODED[: self.doublings]:
            outputs = max(1, int(self.width * multiple))
            layers.append(Up(inputs, outputs, self.kind))
            inputs = outputs
        return layers.append(nn.Conv2d(inputs, self.channels, 3, padding=1, bias=False))


class Decoders(nn.Module):
    """Draws again what a discriminator saw, from its features (Liu et al. 2021, section 3.2): the
    whole picture reduced, a quarter of it, and the reduced picture as its own judge saw it.

    Which quarter of a sample is taken goes by its place in the batch, whose order is random.
    """

    def __init__(self, decoders: dict[str, nn.Sequential], size: tuple[int, int]) -> None:
        super().__init__()
        self.each, self.size = nn.ModuleDict(decoders), size

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Pictures [n, 3, c, h, w]; of 8x8 the whole one alone."""
        drawn = []
        for name, decoder in self.each.items():
            maps = quarters(features[name]) if name == "corner" else features[name]
            drawn.append(decoder(maps).tanh())
        return torch.stack(drawn, 1)

    def wanted(self, samples: Tensor) -> Tensor:
        """What the pictures should be for samples [n, c, h, w], in the same shape."""
        seen = {"corner": quarters(samples) if "corner" in self.each else samples}
        kept = [seen.get(name, samples) for name in self.each]
        return torch.stack([F.adaptive_avg_pool2d(part, self.size) for part in kept], 1)


def quarters(x: Tensor) -> Tensor:
    """A quarter of each of [n, c, h, w], by its place in the batch: top left, top right, bottom
    left, bottom right, and so on.
    """
    parts = torch.stack([part for row in x.chunk(2, 2) for part in row.chunk(2, 3)], 1)
    places = torch.arange(len(x), device=x.device)
    quarter = own(torch.arange(ranks() * len(x), device=x.device)) % 4
    return parts[places, quarter]
