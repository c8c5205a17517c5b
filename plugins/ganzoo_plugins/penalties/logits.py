"""Penalties on the logits themselves."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganzoo.contracts import NonNegativeFloat, PositiveInt, Regularizer, Step, nets_of
from ganzoo.nn import whole_mean

Decay = Annotated[float, Field(ge=0, lt=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]


class LeCam(Regularizer):
    """Logits of each side stay near the running mean of the other's: (D(x) - a_fake)² + (D(G(z)) -
    a_real)² (Tseng et al. 2021).

    For data of which there are few. The means are those of the updates before, in which the penalty
    acted. The authors' code counts only real logits above a_fake and generated ones below a_real,
    which is not in the paper.

    decay: share of the means that one update keeps
    start: updates before the penalty acts; until then the means are those of the last batch, and
        0 in the very first
    """

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 0.3,
        every: PositiveInt = 1,
        decay: Decay = 0.99,
        start: NonNegativeInt = 0,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.decay, self.start = decay, start

    def prepare(self, generator: Any, discriminator: Any) -> None:
        """Give every discriminator its running means."""
        for net in nets_of(discriminator):
            net.logit_means = LogitMeans()

    def penalty(self, step: Step) -> Tensor:
        """(D(x) - a_fake)² + (D(G(z)) - a_real)², averaged; 0 in the first `start` updates."""
        real, fake = step.real_logits, step.fake_logits
        means: LogitMeans = step.discriminator.logit_means
        means.last.add_(whole_mean(torch.stack([real.detach().mean(), fake.detach().mean()])))
        means.passes.add_(1)  # several, where a batch is computed in parts
        apart = (real - means.fake).square().mean() + (fake - means.real).square().mean()
        return (means.updates >= self.start).to(apart.dtype) * apart

    def after_update(self, net: Any) -> None:
        """Move the running means by the logits of this update, if the penalty acted.

        Not in `penalty`: under torch.compile a gradient may read a buffer after what changed it.
        """
        for one in nets_of(net):
            one.logit_means.move(self.decay, self.start)


class LogitMeans(nn.Module):
    """Running means of a discriminator's logits, and those of the update that is under way."""

    real: Tensor
    fake: Tensor
    last: Tensor
    passes: Tensor
    updates: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2))
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def move(self, decay: float, start: int) -> None:
        """Take the means of this update in, if there are any."""
        acted = self.passes.clamp(max=1)
        real, fake = self.last / self.passes.clamp(min=1)
        kept = (self.updates >= max(start, 1)).to(real.dtype) * decay
        self.real.lerp_(real, acted * (1 - kept))
        self.fake.lerp_(fake, acted * (1 - kept))
        self.updates.add_(acted)
        self.last.zero_()
        self.passes.zero_()


class Drift(Regularizer):
    """Real logits stay near zero, which losses of differences leave open: D(x)² (Karras et al.
    2018, appendix A.1).
    """

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1e-3,
        every: PositiveInt = 1,
    ) -> None:
        super().__init__(weight=weight, every=every)

    def penalty(self, step: Step) -> Tensor:
        """D(x)², averaged over real samples x."""
        return step.real_logits.square().mean()
