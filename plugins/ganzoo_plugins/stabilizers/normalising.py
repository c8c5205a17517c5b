"""Logits that are divided by their own slope."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import vjp

from ganzoo.contracts import Regularizer, nets_of
from ganzoo.errors import Incompatible
from ganzoo.nn import full

TINY = 1e-12  # inside the root, so that a slope of zero has a finite gradient


class GradientNormalization(Regularizer):
    """Divides each logit by the length of its slope and its own size: f / (|df/dx| + |f|), which is
    1-Lipschitz (Wu et al. 2021, eq. 9).

    Every discriminator becomes one whose `score` is normalised; its features are the samples, so
    that no other part can read what the net made of them. Slopes are counted over the
    discriminator's `unit`. Costs one more backward pass through it. Raises Incompatible for
    discriminators that mix the samples of a batch.
    """

    needs = {"discriminator": "per_sample"}  # noqa: RUF012  (typed in the contract)

    def __init__(self) -> None:
        super().__init__()

    def prepare(self, generator: Any, discriminator: Any) -> None:
        """Make every discriminator a normalised one."""
        for net in nets_of(discriminator):
            if getattr(net, "heads", ()):
                message = f"hides the features that {', '.join(net.heads)} would read"
                raise Incompatible(message, remedy="leave one of the two out")
            kind = type(net)
            net.__class__ = type(f"Normalised{kind.__name__}", (Normalised, kind), {})


class Normalised:
    """What is put before the class of a discriminator."""

    hides_features = True

    def features(self, samples: Tensor, **given: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The samples and what is given, for `score` to take the slope in."""
        return samples, given

    def score(
        self, features: tuple[Tensor, dict[str, Tensor]], labels: Tensor | None = None
    ) -> Tensor:
        """f / (|df/dx| + |f|), [n], between -1 and 1."""
        samples, given = features
        net: Any = super()

        def height(x: Tensor) -> Tensor:
            found = net.score(net.features(x, **given), labels)
            if not isinstance(found, Tensor) or found.dim() != 1:
                raise Incompatible("needs a discriminator with one logit a sample")
            return full(found)

        logits, pull = vjp(height, samples)  # type: ignore[misc]
        slope = full(pull(torch.ones_like(logits))[0]) * getattr(self, "unit", 1.0)
        length = (slope.square().flatten(1).sum(1) + TINY).sqrt()
        normalised: Tensor = logits / (length + logits.abs())
        return normalised
