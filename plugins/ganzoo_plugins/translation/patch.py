"""A discriminator that judges each patch of a picture by itself, at one or several scales."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from ganzoo.contracts import Discriminator, PositiveInt, Spec
from ganzoo.errors import Incompatible
from ganzoo.nn import initialise, norm


class Patch(Discriminator):
    """The patch discriminator of pix2pix (Isola et al. 2017, sect. 3.2.2), of several scales as in
    pix2pixHD (Wang et al. 2018, sect. 3.2).

    Judges [n, c, h, w] for any c; with 3 layers, width 64, a picture given and 3 channels each,
    a logit sees 70x70 pixels, and it has 2,768,705 parameters with batch norm: those of pix2pix.
    Gives a map of logits, or a list of them, one a scale; each scale has weights of its own and
    sees the picture at half the size of the one before. Where "image" is given it judges the pair.
    Raises Incompatible for samples too small for its layers.

    width: channels of the first layer; each further one has twice as many, up to 8 times
    layers: convolutions in steps of 2; 0 takes the paper's 3, or what smaller samples allow
    scales: how many sizes are judged
    norm: normalisation of all layers but the first and the last; auto is the paper's batch norm,
        which mixes the samples of a batch
    pair: whether it also sees the picture that is given
    """

    modalities = ("image",)
    adapts = {"per_sample": {"norm": "instance"}}  # noqa: RUF012  (typed in the contract)

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt = 64,
        layers: Annotated[int, Field(ge=0)] = 0,
        scales: PositiveInt = 1,
        norm: Literal["auto", "batch", "layer", "instance", "none"] = "auto",
        pair: bool = True,
    ) -> None:
        super().__init__(spec)
        kind = "batch" if norm == "auto" else norm
        self.per_sample = kind != "batch"
        self.reads = ("image",) if pair and "image" in spec.given else ()
        layers = _layers_for(min(spec.shape[1:]), layers, scales)
        channels = spec.shape[0] + sum(spec.given[name].shape[0] for name in self.reads)
        self.judges = nn.ModuleList(_layers(channels, width, layers, kind) for _ in range(scales))
        initialise(self, "normal")

    def features(self, samples: Tensor, **given: Tensor) -> list[Tensor]:
        """What the last layer but one says at each scale."""
        seen = torch.cat([samples, *[_sized(given[name], samples) for name in self.reads]], 1)
        found = []
        for judge in self.judges:
            found.append(judge[:-1](seen))  # type: ignore[index]
            seen = avg_pool2d(seen, 3, 2, 1, count_include_pad=False)
        return found

    def score(self, features: list[Tensor], labels: Tensor | None = None) -> list[Tensor]:
        """Logits [n, rows, columns] of each scale."""
        pairs = zip(self.judges, features, strict=True)
        return [judge[-1](maps).squeeze(1) for judge, maps in pairs]  # type: ignore[index]


def _layers_for(side: int, layers: int, scales: int) -> int:
    """How many convolutions in steps of 2 there are; raises Incompatible for more than a side has
    room for: three pixels are to be left at the last scale.
    """
    most = max((n for n in range(1, 9) if 3 * 2 ** (n + scales - 1) <= side), default=0)
    if most and layers <= most:
        return layers or min(3, most)
    remedy = f"take at most {most}" if most else "take fewer scales or larger pictures"
    message = f"a side of {side} is too small for {layers or 1} and {scales} of scales"
    raise Incompatible(message, key="layers", value=layers, remedy=remedy)


def _sized(picture: Tensor, samples: Tensor) -> Tensor:
    """A picture at the size of the samples."""
    if picture.shape[2:] == samples.shape[2:]:
        return picture
    return interpolate(picture, size=samples.shape[2:], mode="bilinear", antialias=True)


def _layers(channels: int, width: int, count: int, kind: str) -> nn.Sequential:
    """The convolutions of one scale, the one that gives the logits last."""
    found: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for layer in range(1, count + 1):
        before, after = width * min(2 ** (layer - 1), 8), width * min(2**layer, 8)
        stride = 2 if layer < count else 1
        # a bias before a norm would be taken away again
        convolution = nn.Conv2d(before, after, 4, stride, 1, bias=kind == "none")
        found += [convolution, norm(kind, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*found, nn.Conv2d(width * min(2**count, 8), 1, 4, 1, 1))
