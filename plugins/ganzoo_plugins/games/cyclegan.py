"""Two translators between two sets of pictures of which no two belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganzoo.contracts import Game, NonNegativeFloat, Role, Side, Spec, Step, Turn, Update
from ganzoo.errors import Incompatible

from .history import History

Natural = Annotated[int, Field(ge=0)]


class CycleGAN(Game):
    """Translators there and back, each against a discriminator of its own, that undo each other
    (Zhu et al. 2017).

    L = L_GAN(ab, b) + L_GAN(ba, a) + cycle (|ba(ab(a)) - a| + |ab(ba(b)) - b|)
    + identity cycle (|ab(b) - b| + |ba(a) - a|), with means over pixels; eq. 3 and sect. 5.2.
    Pictures of a are what the data give as "other", those of b the samples. The identity terms
    need as many channels on both sides. Raises Incompatible for data without "other".

    cycle: weight of what both translators together must give back
    identity: weight of what a translator must leave alone, as a share of `cycle`
    history: generated pictures of each domain that are kept, of which the discriminators see old
        ones half of the time (sect. 4); 0 shows them new ones alone
    """

    modalities = ("image", "signal")
    reads = ("other",)
    paired = False

    def __init__(
        self,
        spec: Spec,
        *,
        cycle: NonNegativeFloat = 10.0,
        identity: NonNegativeFloat = 0.0,
        history: Natural = 50,
    ) -> None:
        super().__init__(spec)
        self.cycle, self.identity = cycle, identity
        if "other" not in spec.given:
            raise Incompatible(
                "needs two sets of samples, and these data have one",
                remedy="give a folder with trainA and trainB, or with A and B and",
                change={"data.pairs": "no"},
            )
        here, there = replace(spec, given={}), replace(spec.given["other"], given={})
        if identity and here.shape != there.shape:
            raise Incompatible(
                f"compares pictures of {list(there.shape)} with those of {list(here.shape)}",
                key="identity",
                value=identity,
            )
        self.a, self.b = there, here
        self.histories = nn.ModuleDict()
        if history:
            shapes = {"ab": here.shape, "ba": there.shape}
            self.histories.update({way: History(shape, history) for way, shape in shapes.items()})

    def roles(self) -> Mapping[str, Role]:
        to_b = replace(self.b, given={"image": self.a})
        to_a = replace(self.a, given={"image": self.b})
        return {
            "gen.ab": Role("generator", "generator", to_b),
            "gen.ba": Role("generator", "generator", to_a),
            "disc.b": Role("discriminator", "discriminator", self.b),
            "disc.a": Role("discriminator", "discriminator", self.a),
        }

    def turns(self, n_critic: int, n_gen: int) -> Sequence[Turn]:
        """The generators' first, then the discriminators' on the same pictures."""
        return [
            Turn("generator"),
            *[Turn("generator", fresh=False)] * (n_gen - 1),
            *[Turn("discriminator", fresh=False)] * n_critic,
        ]

    def draw_latents(
        self,
        nets: Mapping[str, torch.nn.Module],
        count: int,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        latents: Tensor = nets["gen.ab"].draw_latents(count, generator)  # type: ignore[operator]
        return latents

    def given_to(self, role: str, update: Update) -> Mapping[str, Tensor]:
        image = update.given["other"] if role == "gen.ab" else update.samples
        return {"image": image}

    def steps(self, update: Update) -> Sequence[Step]:
        there = self.given_to("gen.ab", update)
        back = self.given_to("gen.ba", update)
        to_b, to_a = self._with_old(update, "ab"), self._with_old(update, "ba")
        return [
            update.step("gen.ab", "disc.b", given=there, fake=to_b),
            update.step("gen.ba", "disc.a", given=back, fake=to_a, real=lambda: there["image"]),
        ]

    def _with_old(self, update: Update, way: str) -> Callable[[Tensor], Tensor] | None:
        """What a discriminator sees for generated pictures; None for those of its update alone."""
        if update.side == "generator" or way not in self.histories:
            return None

        def seen(latents: Tensor) -> Tensor:
            image = self.given_to(f"gen.{way}", update)["image"]
            drawn: Tensor = update.nets[f"gen.{way}"](latents, None, image=image)
            # a penalty may ask for pictures of other latents, which are not to be kept
            return self.histories[way](drawn) if latents is update.latents else drawn

        return seen

    def after_update(self, side: Side) -> None:
        if side == "discriminator":
            for history in self.histories.values():
                history.move()  # type: ignore[operator]

    def terms(self, update: Update, steps: Sequence[Step]) -> Mapping[str, Tensor]:
        if update.side == "discriminator":
            return {}
        ab, ba = update.nets["gen.ab"], update.nets["gen.ba"]
        to_b, to_a = steps
        a, b = to_a.data, to_b.data
        again_a = ba(update.latents, None, image=to_b.drawn)
        again_b = ab(update.latents, None, image=to_a.drawn)
        found = {"cycle": self.cycle * (_distance(again_a, a) + _distance(again_b, b))}
        if self.identity:
            same_b = ab(update.latents, None, image=b)
            same_a = ba(update.latents, None, image=a)
            weight = self.identity * self.cycle
            found["identity"] = weight * (_distance(same_b, b) + _distance(same_a, a))
        return found


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """The mean distance of two samples' numbers."""
    return (one - other).abs().mean()
