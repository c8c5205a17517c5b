"""The generator's loss against a discriminator that has gone ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from ganzoo.contracts import Loss, PositiveFloat, PositiveInt, Regularizer, Step, nets_of
from ganzoo.errors import Incompatible
from ganzoo.nn import whole_mean


class Unrolled(Regularizer):
    """The generator learns against the discriminator as it would be after some steps of its own,
    and through these steps (Metz et al. 2017, eq. 7 to 10).

    The steps are plain gradient descent of the loss that the discriminator minimises, on the same
    batch, latents and views each time: w(k+1) = w(k) - rate dL_D(G, w(k))/dw. The generator's loss
    is taken at the last w, and its gradient goes through all of them; penalties are taken at the
    weights as they are, and the discriminator's own update does not change. (The paper unrolls
    Adam.) An update of the generator costs about three times `steps` more passes of the
    discriminator, whose graphs it keeps. Raises Incompatible for a loss that reads more of the
    discriminator than its logits, and in games that judge something else than samples.

    steps: steps that the discriminator is ahead; the paper takes 1 to 10
    rate: learning rate of these steps
    """

    side = "generator"
    differentiates = True

    def __init__(self, *, steps: PositiveInt = 5, rate: PositiveFloat = 0.1) -> None:
        super().__init__()
        self.steps, self.rate = steps, rate
        self.frozen: frozenset[str] = frozenset()

    def prepare(self, generator: Any, discriminator: Any) -> None:
        """Learn which weights stay as they are: in an update of the generator all seem to."""
        named = [pair for net in nets_of(discriminator) for pair in net.named_parameters()]
        self.frozen = frozenset(name for name, p in named if not p.requires_grad)

    def for_loss(self, step: Step, loss: Loss) -> Step:
        """The same samples before the discriminator that is `steps` ahead."""
        asked = dict(loss.needs).get("discriminator")
        if asked:
            raise Incompatible(
                f"unrolls the logits of the discriminator, and the loss reads its {asked!r}, too",
                remedy="take a loss of logits alone",
            )
        net = step.discriminator
        if not isinstance(net, nn.Module):
            raise Incompatible(
                "unrolls a discriminator that judges samples as they are, and this game has "
                "something before it",
                remedy="leave it out",
            )
        every = dict(net.named_parameters())
        still = {name: p for name, p in every.items() if name in self.frozen}
        weights: dict[str, Tensor] = {n: p for n, p in every.items() if n not in self.frozen}

        seen = step.against(net)  # draws the samples here, where no transform surrounds it

        def minimised(weights: Mapping[str, Tensor]) -> Tensor:
            ahead = seen.against(Ahead(net, {**still, **weights}))
            found = [loss.discriminator(one) for one in ahead.judges]
            return found[0] if len(found) == 1 else torch.stack(found).mean()

        for _ in range(self.steps):
            slopes = {name: whole_mean(each) for name, each in grad(minimised)(weights).items()}
            weights = {name: w - self.rate * slopes[name] for name, w in weights.items()}
        return seen.against(Ahead(net, {**still, **weights}))


class Ahead:
    """A discriminator with other weights, of which losses read logits."""

    def __init__(self, net: Any, weights: Mapping[str, Tensor]) -> None:
        self.net, self.weights = net, dict(weights)
        self.conditional, self.reads = net.conditional, net.reads

    def features(self, samples: Tensor, **given: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The samples and what is given: features have weights, too."""
        return samples, given

    def score(
        self, features: tuple[Tensor, dict[str, Tensor]], labels: Tensor | None = None
    ) -> Any:
        """The net's logits with these weights."""
        samples, given = features
        return functional_call(self.net, self.weights, (samples, labels), given)
