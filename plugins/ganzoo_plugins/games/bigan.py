"""A generator and an encoder that a discriminator of pairs drives to invert each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganzoo.contracts import Game, Role, Spec, Step, Update


class BiGAN(Game):
    """The discriminator tells (x, E(x)) from (G(z), z), and the generator's player moves both G and
    E (Donahue et al. 2017, eq. 2; Dumoulin et al. 2017).

    A pair is one sample: the code stands beside a point, or as channels that are constant over a
    picture or signal, so that any discriminator, loss and penalty takes it. E gives its mean. In
    the generator's update the loss acts on (G(z), z), and, with the sign of the logits turned, on
    (x, E(x)): for cross-entropy, hinge and Wasserstein losses that is the paper's objective.
    """

    def roles(self) -> Mapping[str, Role]:
        return {
            "gen": Role("generator", "generator", self.spec),
            "enc": Role("encoder", "generator", self.spec, _latent_dim),
            "disc": Role("discriminator", "discriminator", self._pair),
        }

    def _pair(self, nets: Mapping[str, Any]) -> Spec:
        first, *rest = self.spec.shape
        return self.spec.with_shape(first + nets["gen"].latent_dim, *rest)

    def steps(self, update: Update) -> Sequence[Step]:
        generator, encoder = update.nets["gen"], update.nets["enc"]
        labels = update.labels if getattr(generator, "conditional", False) else None

        def real() -> Tensor:
            return paired(update.samples, encoder(update.samples)[:, 0])

        def fake(latents: Tensor) -> Tensor:
            given = self.given_to("gen", update)
            return paired(generator(latents, labels, **given), latents)

        drawn = update.step(real=real, fake=fake)
        if update.side == "discriminator":
            return [drawn]
        turned = update.step(
            real=lambda: fake(update.latents), fake=lambda _: real(), from_latents=False
        )
        turned.discriminator = _Opposite(turned.discriminator)
        return [drawn, turned]


class _Opposite:
    """A discriminator with the sign of its logits turned."""

    def __init__(self, net: Any) -> None:
        self._net = net

    def __getattr__(self, name: str) -> Any:
        return getattr(self._net, name)

    def score(self, features: Any, labels: Tensor | None = None) -> Any:
        """Logits, or a list of them."""
        found = self._net.score(features, labels)
        return -found if isinstance(found, Tensor) else [-logits for logits in found]


def _latent_dim(nets: Mapping[str, Any]) -> dict[str, int]:
    """The encoder's codes are as long as the generator's latents."""
    return {"latent_dim": nets["gen"].latent_dim}


def paired(samples: Tensor, codes: Tensor) -> Tensor:
    """Samples [n, c, ...] with codes [n, d] as further channels: [n, c + d, ...]."""
    maps = codes.view(*codes.shape, *[1] * (samples.dim() - 2))
    return torch.cat([samples, maps.expand(-1, -1, *samples.shape[2:])], 1)
