"""Codes of samples, by an encoder from a file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..components.isolation import contained
from ..errors import BrokenPlugin, UsageError, one_line, shown
from .generator_file import Header
from .sampling import chunk_of


class LoadedEncoder:
    """An encoder from a file, ready to read samples."""

    def __init__(self, net: nn.Module, header: Header) -> None:
        self.net, self.header, self.spec = net, header, header.spec()

    def __repr__(self) -> str:
        made, shape = self.header, "x".join(map(str, self.spec.shape))
        images = shown(made.training.get("images"))
        part = f"{made.component} of {made.distribution} {made.version}"
        return f"LoadedEncoder({part}, reads samples of {shape}, trained on {images} images)"

    @torch.no_grad()
    def encode(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Means and logarithms of variances [n, d] each of the codes of samples [n, *shape], images
        in [-1, 1], on the CPU. The means are latents of the run's generator.

        Raises UsageError for samples of another shape, BrokenPlugin where the net fails.
        """
        if samples.shape[1:] != self.spec.shape or not len(samples):
            message = f"this encoder reads samples [n, {', '.join(map(str, self.spec.shape))}]"
            raise UsageError(message, key="samples", value=list(samples.shape))
        device = next((p.device for p in self.net.parameters()), torch.device("cpu"))
        chunk = chunk_of(self.spec)
        try:
            with contained():
                codes = [self.net(part.to(device)).float().cpu() for part in samples.split(chunk)]
                mean, log_variance = torch.cat(codes).unbind(1)
        except Exception as error:
            part_ = f"{self.header.component} of {self.header.distribution}"
            raise BrokenPlugin(f"{part_} cannot encode samples: {one_line(error)}") from error
        return mean, log_variance
