"""Multi-level noise-perturbed guidance, as a game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganzoo.contracts import Game, PositiveInt, Role, Spec, Step, Update
from ganzoo.errors import Incompatible

Share = Annotated[float, Field(gt=0, le=1)]


class NoiseLevels(Game):
    """The discriminator sees a sample at several levels of noise, each of a stage of the generator
    (Hyun et al. 2025, MNG).

    Level k of K is a_k x_k + sqrt(1 - a_k²) e_k with e ~ N(0, I), a_K = 1; x_k is the picture after
    stage k of a generator that has `stages`, the sample itself of any other, and real samples are
    the same at all levels. Early stages are so asked for what shows through much noise, and
    the last for everything. The levels are joined as channels, or numbers of a point, so that any
    discriminator, loss and penalty takes them; penalties count slopes in what is seen.
    Choices of this implementation, since the paper says of the a_k that they grow exponentially to
    1: a_k = least^((K - k) / (K - 1)), levels joined and not judged apart, noise drawn for each
    level by itself. Raises Incompatible for more levels than the generator has stages.

    levels: noisy forms of a sample, the last without noise
    least: share of the sample in the first one, above 0
    """

    def __init__(self, spec: Spec, *, levels: PositiveInt = 4, least: Share = 0.1) -> None:
        super().__init__(spec)
        self.levels, self.least = levels, least

    def roles(self) -> Mapping[str, Role]:
        return {
            "gen": Role("generator", "generator", self.spec),
            "disc": Role("discriminator", "discriminator", self._joined),
        }

    def _joined(self, nets: Mapping[str, Any]) -> Spec:
        stages = getattr(nets["gen"], "stages", self.levels)
        if stages < self.levels:
            message = f"the generator has {stages} stages, and {self.levels} pictures are judged"
            remedy, change = "the most is", {"game.levels": stages}
            raise Incompatible(message, remedy=remedy, change=change)
        first, *rest = self.spec.shape
        return self.spec.with_shape(self.levels * first, *rest)

    def steps(self, update: Update) -> Sequence[Step]:
        """One pair, of real and generated samples at all levels."""

        def fake(latents: Tensor) -> Tensor:
            return self.noised(self._drawn(update, latents))

        return [update.step(real=lambda: self.noised([update.samples] * self.levels), fake=fake)]

    def _drawn(self, update: Update, latents: Tensor) -> Sequence[Tensor]:
        """What the generator makes of latents, for each level."""
        generator: Any = update.nets["gen"]
        labels = update.labels if getattr(generator, "conditional", False) else None
        given = self.given_to("gen", update)
        if hasattr(generator, "pictures"):
            found: Tensor = generator.pictures(latents, labels, count=self.levels, **given)
            return found.unbind(1)
        drawn: Tensor = generator(latents, labels, **given)
        return [drawn] * self.levels

    def noised(self, pictures: Sequence[Tensor]) -> Tensor:
        """Samples [n, c, ...], one a level, with their noise: [n, levels * c, ...]."""
        steps = max(1, self.levels - 1)
        seen = []
        for steps_left, picture in zip(range(self.levels - 1, 0, -1), pictures, strict=False):
            share = self.least ** (steps_left / steps)
            noise = (1 - share * share) ** 0.5
            seen.append(share * picture + noise * torch.randn_like(picture))
        return torch.cat([*seen, pictures[-1]], 1)
