"""Pictures made poorer: without colour, detail or size, or with noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from ganzoo.contracts import Condition, PositiveFloat, PositiveInt, Spec
from ganzoo.errors import Incompatible

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in brightness, ITU-R BT.601


def brightness(pictures: Tensor) -> Tensor:
    """Brightness [n, 1, h, w] of pictures of 1 (grey), 3 (colour) or 4 channels (and alpha)."""
    if pictures.shape[1] < 3:
        return pictures[:, :1]
    luma = torch.tensor(LUMA, device=pictures.device, dtype=pictures.dtype)
    return (pictures[:, :3] * luma.view(1, 3, 1, 1)).sum(1, keepdim=True)


class Grey(Condition):
    """Gives the picture's brightness, one channel (ITU-R BT.601); colourising is the way back."""

    def gives(self) -> Mapping[str, Spec]:
        return {"image": Spec((1, *self.spec.shape[1:]))}

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        return {"image": brightness(samples)}


class Noise(Condition):
    """Gives the picture with Gaussian noise; denoising is the way back.

    deviation: of the noise, where values lie in [-1, 1]
    """

    def __init__(self, spec: Spec, *, deviation: PositiveFloat = 0.5) -> None:
        super().__init__(spec)
        self.deviation = deviation

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        return {"image": samples + self.deviation * torch.randn_like(samples)}


class Smaller(Condition):
    """Gives the picture at a part of its size; super-resolution is the way back.

    Any sides; where the factor divides them, each pixel is the mean of those that it stands for,
    else PyTorch's anti-aliased bilinear filter is taken. Raises Incompatible when nothing is left.

    factor: how many times smaller each side is
    """

    def __init__(self, spec: Spec, *, factor: PositiveInt = 4) -> None:
        super().__init__(spec)
        self.factor = factor
        height, width = spec.shape[1:]
        self.small = (height // factor, width // factor)
        self.whole = height % factor == 0 and width % factor == 0
        if min(self.small) < 1:
            raise Incompatible(
                f"leaves nothing of {height}x{width}",
                key="factor",
                value=factor,
                remedy=f"take at most {min(height, width)}",
            )

    def gives(self) -> Mapping[str, Spec]:
        return {"image": Spec((self.spec.shape[0], *self.small))}

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        if self.whole:
            return {"image": avg_pool2d(samples, self.factor)}
        smaller = interpolate(samples, self.small, mode="bilinear", antialias=True)
        return {"image": smaller}


class Blur(Condition):
    """Gives the picture blurred by a Gaussian; deblurring is the way back.

    deviation: of the Gaussian, in pixels
    """

    def __init__(self, spec: Spec, *, deviation: PositiveFloat = 2.0) -> None:
        super().__init__(spec)
        reach = min(math.ceil(3 * deviation), min(spec.shape[1:]) - 1)  # what a reflection has
        places = torch.arange(-reach, reach + 1)
        weights = torch.exp(-0.5 * (places / deviation).square())
        self.reach = reach
        self.register_buffer("weights", weights / weights.sum(), persistent=False)
        self.weights: Tensor

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        channels = samples.shape[1]
        along = self.weights.to(samples).view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        seen = pad(samples, [self.reach] * 4, mode="reflect")
        seen = conv2d(seen, along, groups=channels)
        return {"image": conv2d(seen, along.transpose(2, 3), groups=channels)}


class Edges(Condition):
    """Gives the edges of the picture, one channel: -1 where nothing changes, up to 1 where
    brightness jumps by its whole range (Sobel's filter, as a length).
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        self.register_buffer("filters", torch.stack([across, across.T])[:, None], persistent=False)
        self.filters: Tensor

    def gives(self) -> Mapping[str, Spec]:
        return {"image": Spec((1, *self.spec.shape[1:]))}

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        seen = pad(brightness(samples), [1] * 4, mode="replicate")
        slopes = conv2d(seen, self.filters.to(seen))
        lengths = slopes.square().sum(1, keepdim=True).sqrt()
        return {"image": (2 * lengths).clamp(max=2) - 1}
