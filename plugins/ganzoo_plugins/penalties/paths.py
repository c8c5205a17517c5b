"""Penalties on the slope of the generator."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganzoo.contracts import GradientPenalty, NonNegativeFloat, PositiveInt, Step
from ganzoo.errors import Incompatible
from ganzoo.nn import whole_mean

TINY = 1e-12  # inside the root, so that a slope of zero has a finite gradient
Decay = Annotated[float, Field(ge=0, lt=1)]


class PathLength(GradientPenalty):
    """Steps of one length in w make changes of one length in the samples: (|J'y| - a)² (Karras et
    al. 2020, eq. 4).

    J is the generator's Jacobian in w, y an image of noise N(0, 1) over the root of its pixels, a
    the running mean of |J'y| of the updates before. w is `generator.mapping(latents)`, which
    `generator.synthesis` makes samples of; labels follow the latents if the generator reads them.
    Without such methods w is the latents themselves. If w is [n, layers, d], its squared length is
    a mean over layers. The paper applies it every 4th update, with the weight scaled up by as much,
    and to half of the batch, which this does not. Raises Incompatible for generators with batch
    norm.

    decay: share of the running mean that one update keeps
    """

    side = "generator"
    needs = {}  # noqa: RUF012  (the slope is the generator's: the discriminator may mix the batch)
    mean: Tensor
    last: Tensor

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 2.0,
        every: PositiveInt = 4,
        decay: Decay = 0.99,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer(
            "last", torch.zeros(2)
        )  # the sum over this update's passes, and their number

    def prepare(self, generator: Any, discriminator: Any) -> None:
        """Refuse a generator with batch norm: a slope of one sample means nothing there."""
        for module in generator.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                name = type(module).__name__
                raise Incompatible(
                    f"takes the slope of single samples, and the generator's {name} mixes the "
                    "batch; use a generator without it"
                )

    def point(self, step: Step) -> Tensor:
        """w [n, ...], or the latents."""
        if not mapped(step.generator):
            return step.latents
        told = {name: step.given[name] for name in getattr(step.generator, "reads", ())}
        point: Tensor = step.generator.mapping(step.latents, *labels_for(step), **told)
        return point

    def height(self, step: Step, point: Tensor) -> tuple[Tensor, Any]:
        """The product of each sample with noise, [n]."""
        samples = (
            step.generator.synthesis(point) if mapped(step.generator) else step.generate(point)
        )
        noise = torch.randn_like(samples) / math.sqrt(math.prod(samples.shape[2:]))
        return (samples * noise).flatten(1).sum(1), ()

    def observe(self, slope: Tensor) -> None:
        """Keep the mean length for `after_update`, and that of every pass, if there are several."""
        length = whole_mean(lengths(slope).mean())
        self.last.add_(torch.stack([length, torch.ones_like(length)]))

    def of(self, slope: Tensor) -> Tensor:
        """(|J'y| - a)², averaged over the samples of a slope [n, ...]."""
        return (lengths(slope) - self.mean).square().mean()

    def after_update(self, net: nn.Module) -> None:
        """Move the running mean by the lengths of this update, if the penalty acted.

        Not in `observe`: under torch.compile a gradient may read a buffer after what changed it.
        """
        total, passes = self.last
        acted = passes.clamp(max=1)
        self.mean.lerp_(total / passes.clamp(min=1), acted * (1 - self.decay))
        self.last.zero_()


def mapped(generator: Any) -> bool:
    """Whether a generator goes by way of w."""
    return hasattr(generator, "mapping") and hasattr(generator, "synthesis")


def labels_for(step: Step) -> tuple[Tensor | None, ...]:
    """The labels as an argument, if the generator reads them."""
    return (step.labels,) if getattr(step.generator, "conditional", False) else ()


def lengths(slope: Tensor) -> Tensor:
    """|J'y| of each sample [n], from a slope [n, d] or [n, layers, d]."""
    squares = slope.square().sum(-1)
    return (squares.flatten(1).mean(1) if squares.dim() > 1 else squares).add(TINY).sqrt()
