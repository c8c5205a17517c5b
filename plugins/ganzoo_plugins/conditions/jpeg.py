"""What is left of a picture after JPEG, computed on the device."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from ganzoo.contracts import Condition, Spec

BLOCK = 8
# Steps of brightness and colour at quality 50 (ITU-T T.81, annex K).
BRIGHTNESS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
COLOUR = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *[(99,) * 8] * 4,
)
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


class JPEG(Condition):
    """Gives what JPEG leaves of the picture (ITU-T T.81: cosine transform of 8x8 blocks, rounded to
    the steps of its annex K); removing its traces is the way back.

    Colour keeps its full resolution, alpha is left alone, and sides that are no multiples of 8 are
    continued by their last pixels.

    quality: 1 to 100, on the scale of the Independent JPEG Group
    """

    def __init__(self, spec: Spec, *, quality: Annotated[int, Field(ge=1, le=100)] = 20) -> None:
        super().__init__(spec)
        self.quality = quality
        scale = 5000 / quality if quality < 50 else 200 - 2 * quality
        steps = torch.tensor([BRIGHTNESS, COLOUR, COLOUR], dtype=torch.float32)
        steps = ((steps * scale + 50) / 100).floor().clamp(1, 255)
        self.register_buffer("steps", steps.flatten(1), persistent=False)
        self.register_buffer("cosines", _cosines(), persistent=False)
        self.register_buffer("to_ycc", torch.tensor(TO_YCC), persistent=False)
        self.steps: Tensor
        self.cosines: Tensor
        self.to_ycc: Tensor

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        coloured = samples.shape[1] >= 3
        count = 3 if coloured else 1
        shown, rest = samples[:, :count].float() * 127.5, samples[:, count:]
        if coloured:
            shown = torch.einsum("dc,nchw->ndhw", self.to_ycc, shown)
        shown = self._rounded(shown)
        if coloured:
            shown = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(self.to_ycc), shown)
        shown = (shown.round() / 127.5).clamp(-1, 1).to(samples.dtype)
        return {"image": torch.cat([shown, rest], 1)}

    def _rounded(self, planes: Tensor) -> Tensor:
        """Planes [n, c, h, w] in -128..128 with the coefficients of their blocks rounded."""
        count, channels, height, width = planes.shape
        seen = pad(planes, [0, -width % BLOCK, 0, -height % BLOCK], mode="replicate")
        each = seen.flatten(0, 1)[:, None]
        found = conv2d(each, self.cosines, stride=BLOCK)
        steps = self.steps[:channels].repeat(count, 1)[:, :, None, None]
        found = (found / steps).round() * steps
        again = conv_transpose2d(found, self.cosines, stride=BLOCK)
        return again.view(count, channels, *again.shape[2:])[:, :, :height, :width]


def _cosines() -> Tensor:
    """The orthonormal cosine transform of a block as filters [64, 1, 8, 8]."""
    places = torch.arange(BLOCK)
    waves = torch.cos((2 * places[None] + 1) * places[:, None] * math.pi / (2 * BLOCK))
    waves = waves * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    return torch.einsum("ux,vy->uvxy", waves, waves).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK)
