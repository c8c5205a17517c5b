"""A generator that reads pictures: down to a few places and up again, beside its own way down."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganzoo.contracts import Generator, NonNegativeFloat, PositiveInt, Spec
from ganzoo.errors import Incompatible
from ganzoo.nn import initialise, norm

SMALLEST = 4  # the side below which nothing is left to halve
DEEPEST = 8  # stages at most


class UNet(Generator):
    """The U-Net of pix2pix, from picture to picture (Isola et al. 2017; Ronneberger et al. 2015).

    Strided convolutions down, nearest enlargement and convolutions up, with the maps of each size
    handed across (sect. 3.2.1).
    Reads "image", and "mask" where one is given; draws [n, c, h, w] for any c and any h, w from 4
    up. What is given in another size is scaled to that first (bilinear). Latents stand beside the
    smallest maps. Enlarging instead of the paper's transposed convolutions leaves no checkerboard
    (Odena et al. 2016). Where a picture of the same shape is given, `residual` adds the output to
    it, which is kept in [-1, 1] by the tanh of the sum. Raises Incompatible for other samples.

    latent_dim: numbers in one latent vector
    width: channels of the first stage; each stage below has twice as many, up to 8 times
    depth: stages; 0 goes down until the smaller side is 2 or 3, at most 8 stages
    norm: normalisation of all stages but the first and the last
    dropout: share of the maps of the three smallest sizes on the way up that is dropped in training
    residual: whether the net draws a change of the picture that it is given
    """

    modalities = ("image",)
    partner = "patch"
    reads: tuple[str, ...] = ("image",)

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 8,
        width: PositiveInt = 64,
        depth: int = 0,
        norm: Literal["batch", "layer", "instance", "none"] = "instance",
        dropout: NonNegativeFloat = 0.0,
        residual: bool = False,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        if "image" not in spec.given:
            raise Incompatible(
                "reads a picture, and none is given",
                remedy="take paired pictures, or make it by a condition, as mask",
            )
        self.size = spec.shape[1:]
        self.reads = ("image", "mask") if "mask" in spec.given else ("image",)
        self.residual = residual
        if residual and spec.given["image"].shape != spec.shape:
            given = list(spec.given["image"].shape)
            raise Incompatible(f"adds to a picture of {list(spec.shape)}, not {given}")
        inputs = sum(spec.given[name].shape[0] for name in self.reads)
        stages = _stages(self.size, depth)
        widths = [width * min(2**i, 8) for i in range(stages)]
        self.down = nn.ModuleList(
            _down(before, after, norm if stage else "none")
            for stage, (before, after) in enumerate(
                zip([inputs, *widths[:-1]], widths, strict=True)
            )
        )
        self.up = nn.ModuleList()
        channels = widths[-1] + latent_dim
        for stage in reversed(range(stages - 1)):
            drop = dropout if stage >= stages - 4 else 0.0
            self.up.append(_up(channels, widths[stage], norm, drop))
            channels = 2 * widths[stage]
        self.last = nn.Conv2d(channels, spec.shape[0], 3, 1, 1)
        initialise(self, "normal")

    def forward(self, latents: Tensor, labels: Tensor | None = None, **given: Tensor) -> Tensor:
        image = torch.cat([self._sized(given[name]) for name in self.reads], 1)
        maps = [image]
        for stage in self.down:
            maps.append(stage(maps[-1]))
        deepest = maps.pop()
        noise = latents.to(deepest.dtype)[:, :, None, None]
        found = torch.cat([deepest, noise.expand(-1, -1, *deepest.shape[2:])], 1)
        for stage in self.up:
            beside = maps.pop()
            found = torch.cat([stage(interpolate(found, size=beside.shape[2:])), beside], 1)
        drawn: Tensor = self.last(interpolate(found, size=self.size))
        if self.residual:
            # the inverse of tanh, so that a net that says nothing gives its picture back
            drawn = drawn + torch.atanh(given["image"].clamp(-0.999, 0.999))
        return drawn.tanh()

    def _sized(self, picture: Tensor) -> Tensor:
        """A picture at the size of what is drawn."""
        if picture.shape[2:] == self.size:
            return picture
        return interpolate(picture, size=self.size, mode="bilinear", antialias=True)


def _stages(size: tuple[int, ...], depth: int) -> int:
    """How often both sides are halved; raises Incompatible for a depth that the size has not."""
    if min(size) < SMALLEST:
        found = f"{size[0]}x{size[1]} is too small, the smallest possible is {SMALLEST}x{SMALLEST}"
        least = f"{max(size[0], SMALLEST)}x{max(size[1], SMALLEST)}"
        raise Incompatible(found, remedy="take at least", change={"data.resolution": least})
    most, side = 0, min(size)
    while side >= SMALLEST and most < DEEPEST:
        most, side = most + 1, side // 2
    if not 0 <= depth <= most:
        raise Incompatible(f"{size[0]}x{size[1]} has 1 to {most} stages", key="depth", value=depth)
    return depth or most


def _down(inputs: int, outputs: int, kind: str) -> nn.Sequential:
    """Half the size: a convolution of 4x4 in steps of 2."""
    layers = [nn.Conv2d(inputs, outputs, 4, 2, 1), norm(kind, outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def _up(inputs: int, outputs: int, kind: str, dropout: float) -> nn.Sequential:
    """What follows an enlargement."""
    layers = [nn.Conv2d(inputs, outputs, 3, 1, 1), norm(kind, outputs), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.Dropout2d(dropout)] if dropout else []))
