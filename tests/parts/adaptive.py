"""An augmentation whose strength follows the real logits (Karras et al. 2020, ADA)."""

import torch

from ganzoo import hookimpl
from ganzoo.contracts import Augmentation, NonNegativeFloat, PositiveFloat, Spec


class AdaptiveAugmentation(Augmentation):
    """Mirrors samples with a probability that rises while the
    discriminator is too sure of real ones (Karras et al. 2020).

    target: the mean sign of the real logits to hold
    rate: change of the probability per update
    """

    def __init__(
        self, spec: Spec, *, target: NonNegativeFloat = 0.6, rate: PositiveFloat = 0.01
    ) -> None:
        super().__init__(spec)
        self.target, self.rate = target, rate
        self.register_buffer("p", torch.zeros(()))

    def forward(self, samples):
        chosen = (
            torch.rand(len(samples), *[1] * (samples.dim() - 1), device=samples.device) < self.p
        )
        return torch.where(chosen, samples.flip(-1), samples)

    def observe(self, real_logits):
        sure = real_logits.sign().mean() - self.target
        self.p.add_(sure.sign() * self.rate).clamp_(0, 1)


@hookimpl
def register_augmentations(register):
    register("adaptive", AdaptiveAugmentation, paper="arXiv:2006.06676")
