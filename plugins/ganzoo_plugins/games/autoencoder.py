"""An encoder and a generator that give samples back, before a discriminator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ganzoo.contracts import Game, NonNegativeFloat, Role, Spec, Step, Update


class Autoencoder(Game):
    """A variational autoencoder whose generator plays against a discriminator (Larsen et al. 2016).

    It judges real samples against drawn ones and against reconstructions, half each.

    The generator's player minimises L_GAN + reconstruction |G(z) - x|^2 + divergence
    KL(q(z|x) || N(0, 1)), with means over numbers and samples, z = mean + exp(log var / 2) e. The
    paper measures reconstruction in features of the discriminator; here it is in samples. With
    divergence 0 the code is the mean: a plain autoencoder that is trained adversarially.

    reconstruction: weight of the mean squared distance between samples and what comes back
    divergence: weight of the divergence of codes from a standard normal, a mean over its numbers
    """

    def __init__(
        self,
        spec: Spec,
        *,
        reconstruction: NonNegativeFloat = 10.0,
        divergence: NonNegativeFloat = 0.1,
    ) -> None:
        super().__init__(spec)
        self.reconstruction, self.divergence = reconstruction, divergence

    def roles(self) -> Mapping[str, Role]:
        return {
            "gen": Role("generator", "generator", self.spec),
            "enc": Role("encoder", "generator", self.spec, _latent_dim),
            "disc": Role("discriminator", "discriminator", self.spec),
        }

    def steps(self, update: Update) -> Sequence[Step]:
        drawn = update.step(weight=0.5)
        again = update.step(fake=lambda _: self._again(update), from_latents=False, weight=0.5)
        return [drawn, again]

    def _codes(self, update: Update) -> tuple[Tensor, ...]:
        """Means and logarithms of variances, [n, d] each."""
        return update.once("codes", lambda: update.nets["enc"](update.samples)).unbind(1)

    def _again(self, update: Update) -> Tensor:
        """What comes back of the real samples."""
        generator = update.nets["gen"]
        labels = update.labels if getattr(generator, "conditional", False) else None
        mean, log_variance = self._codes(update)
        codes = mean
        if self.divergence:
            codes = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        again: Tensor = generator(codes, labels, **self.given_to("gen", update))
        return again

    def terms(self, update: Update, steps: Sequence[Step]) -> Mapping[str, Tensor]:
        if update.side == "discriminator":
            return {}
        found = {"reconstruction": self.reconstruction * mse_loss(steps[1].drawn, update.samples)}
        if self.divergence:
            mean, log_variance = (code.float() for code in self._codes(update))
            distance = (mean.square() + log_variance.exp() - log_variance - 1).mean() / 2
            found["divergence"] = self.divergence * distance
        return found


def _latent_dim(nets: Mapping[str, Any]) -> dict[str, int]:
    """Codes are as long as the generator's latents."""
    return {"latent_dim": nets["gen"].latent_dim}
