"""Who plays, on what and in which order: roles for nets, turns of players, and the steps that an
update is made of. The default game is two nets on noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..spec import MODALITIES, Batch, Spec, as_given, as_samples
from .step import Step, View, lazy

if TYPE_CHECKING:
    from . import Condition, Side

Made = Callable[[], Tensor]  # samples that are computed when they are first read


Built = Mapping[str, Any]  # the nets by role, those before a role's own


@dataclass(frozen=True)
class Role:
    """A place for a net in a game.

    kind: of the component that fills it: generator, discriminator or encoder
    player: whose optimizer moves it
    spec: what the net is built for, or a function of the nets of the roles before it
    options: those that the game itself sets, as a function of these nets
    """

    kind: str
    player: Side
    spec: Spec | Callable[[Built], Spec]
    options: Callable[[Built], Mapping[str, Any]] | None = None


class Turn(NamedTuple):
    """One update of one player; with a fresh batch, or on that of the turn before."""

    player: Side
    fresh: bool = True


class Nets(nn.ModuleDict):
    """The nets of a player who has several, by role; a dot of a role's name is a line in theirs."""

    def __init__(self, nets: Mapping[str, nn.Module]) -> None:
        super().__init__({role.replace(".", "_"): net for role, net in nets.items()})
        self.roles = tuple(nets)

    def by_role(self) -> dict[str, nn.Module]:
        """The nets under the names of their roles."""
        return dict(zip(self.roles, self.values(), strict=True))


def nets_of(player: nn.Module) -> list[Any]:
    """What a player moves: the net itself, or each of several."""
    return list(player.values()) if isinstance(player, Nets) else [player]


class Update:
    """One update of one player, from which its game makes steps.

    nets: by role. labels [n] or None, latents [n, ...], progress 0..1 as in a step.
    """

    _whole = None  # it is nobody's part (of `lazy`)

    def __init__(
        self,
        side: Side,
        nets: Mapping[str, nn.Module],
        batch: Batch,
        latents: Tensor,
        progress: Tensor | float = 0.0,
        *,
        views: Sequence[View] = (),
        conditions: Sequence[Condition] = (),
    ) -> None:
        self.side, self.nets, self.latents, self.progress = side, nets, latents, progress
        self.labels = batch.labels
        self._batch, self._views, self._conditions = batch, views, conditions
        self._shared: dict[str, Tensor] = {}

    @lazy
    def samples(self) -> Tensor:
        """Real samples before any view, [n, *shape]."""
        return as_samples(self._batch.samples, self._batch.flips)

    @lazy
    def given(self) -> dict[str, Tensor]:
        """What comes with the samples, by name, and what conditions make of them."""
        stored = as_given(self._batch.given, self._batch.flips)
        return stored | conditioned(self._conditions, self.samples) if self._conditions else stored

    def once(self, name: str, make: Made) -> Tensor:
        """What several steps and terms share: computed when it is first asked for."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def step(
        self,
        generator: str = "gen",
        discriminator: str = "disc",
        *,
        real: Made | None = None,
        fake: Callable[[Tensor], Tensor] | None = None,
        from_latents: bool = True,
        given: Mapping[str, Tensor] | None = None,
        weight: float = 1.0,
    ) -> Step:
        """A pair of real and generated samples and who judges it.

        generator, discriminator: roles
        real: makes the real samples; those of the batch unless it is named
        fake: makes generated samples of latents; the generator's unless it is named. In a
            discriminator's update both are called without gradient.
        from_latents: whether generated samples depend on the latents, so that penalties may ask
            for those of others
        given: what the nets may read; the update's unless it is named
        weight: factor of the step's loss and penalties
        """
        stored: Tensor | Made = self._batch.samples
        flips = self._batch.flips
        if real is not None:
            stored, flips = real, None
        elif self._conditions:  # they have scaled the samples already
            stored, flips = self.samples, None
        return Step(
            self.side,
            self.nets[generator],
            self.nets[discriminator],
            stored,
            self.latents,
            self.labels,
            views=self._views,
            progress=self.progress,
            flips=flips,
            given=self.given if given is None else given,
            fake=fake,
            from_latents=from_latents,
            weight=weight,
        )


def conditioned(conditions: Sequence[Condition], samples: Tensor) -> dict[str, Tensor]:
    """What conditions make of samples, by name; each goes on from the picture of the one before."""
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for condition in conditions:
            found |= condition(found.get("image", samples))
    return found


class Game(nn.Module):
    """Who plays, on what, in which order: `cls(spec, *, options)`; this one is a generator against
    a discriminator (Goodfellow et al. 2014).

    Its two players are the sides of an update; a player with several nets moves them by one
    optimizer. Defined anew where they differ: `roles`, `turns`, `steps`, `terms`, `given_to`.
    """

    modalities: ClassVar[tuple[str, ...]] = MODALITIES  # what it is played on
    reads: tuple[str, ...] = ()  # what it reads of that which is given, whatever its nets read
    paired: ClassVar[bool] = True  # whether a real sample is the answer to what comes with it

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    def roles(self) -> Mapping[str, Role]:
        """The nets by role: "gen" and "disc"; others are sections of their own, and "gen.ba" is
        built as [gen] but for what stands in [gen.ba].
        """
        return {
            "gen": Role("generator", "generator", self.spec),
            "disc": Role("discriminator", "discriminator", self.spec),
        }

    def turns(self, n_critic: int, n_gen: int) -> Sequence[Turn]:
        """The updates of one round: the discriminator's, each with a fresh batch, then the
        generator's against the last of these.
        """
        return [Turn("discriminator")] * n_critic + [Turn("generator", fresh=False)] * n_gen

    def draw_latents(
        self, nets: Mapping[str, Any], count: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents [count, ...] for one update."""
        latents: Tensor = nets["gen"].draw_latents(count, generator)
        return latents

    def steps(self, update: Update) -> Sequence[Step]:
        """The pairs of real and generated samples that are judged in an update."""
        return [update.step()]

    def given_to(self, role: str, update: Update) -> Mapping[str, Tensor]:
        """What the generator of a role reads when it draws from an update's samples."""
        return {name: update.given[name] for name in getattr(update.nets[role], "reads", ())}

    def terms(self, update: Update, steps: Sequence[Step]) -> Mapping[str, Tensor]:
        """What the game itself adds to a player's loss, weighted: scalars by name."""
        return {}

    def after_update(self, side: Side) -> None:
        """Move the game's buffers after an update of a player, without gradient."""
