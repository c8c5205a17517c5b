"""What StyleGAN2's two nets share: how wide their stages are, and the mapping net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.nn import EqualLinear, Stages, pixel_norm, scaled_leaky_relu

WIDEST = 512
NUMBERS = 32768  # channels times the side of a stage: config F's
BASE = 4  # the side that a base counts as, whatever it is
RATE = 0.01  # of the mapping net's layers


def channels_of(stages: Stages, width: int | None) -> list[int]:
    """Channels at every stage, from the base to the image: doubled with each stage down from the
    image's, up to 512. Without a width those of config F, 32768 over the side.
    """
    width = width or min(WIDEST, NUMBERS // (BASE << stages.count))
    most = max(WIDEST, width)
    return [min(width << stages.count - stage, most) for stage in range(stages.count + 1)]


class Mapping(nn.Module):
    """From latents [n, inputs], a class [n], a vector [n, length], or several of them, to vectors
    [n, outputs] (Karras et al. 2019; the class as in StyleGAN2-ADA: an embedding, normalised,
    beside the latents, and so is a vector).

    inputs: numbers in a latent vector; 0 for none.
    classes, length: 0 for none.
    """

    def __init__(
        self, inputs: int, classes: int, outputs: int, layers: int, length: int = 0
    ) -> None:
        super().__init__()
        self.inputs, self.classes = inputs, classes
        told = classes + length
        if told:
            self.embed = EqualLinear(told, outputs)
        first = inputs + (outputs if told else 0)
        sizes = [first] + [outputs] * (layers - 1)
        self.layers = nn.ModuleList(EqualLinear(size, outputs, rate=RATE) for size in sizes)

    def forward(
        self, latents: Tensor | None, labels: Tensor | None = None, vector: Tensor | None = None
    ) -> Tensor:
        told = [] if vector is None else [vector]
        if self.classes:
            assert labels is not None
            told.insert(0, self._one_hot(labels))
        read = [] if latents is None else [pixel_norm(latents)]
        if told:
            read.append(pixel_norm(self.embed(torch.cat(told, 1))))
        x = torch.cat(read, 1)
        for layer in self.layers:
            x = scaled_leaky_relu(layer(x))
        return x

    def _one_hot(self, labels: Tensor) -> Tensor:
        classes = torch.arange(self.classes, device=labels.device)
        # Not by PyTorch's one_hot, which reads values on a CPU: that cannot be recorded.
        return (labels[:, None] == classes).to(self.embed.weight.dtype)
