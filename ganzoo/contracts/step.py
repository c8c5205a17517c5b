"""One update as its losses and penalties see it:
what is costly is computed when first read, and once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.func import vjp

from ..nn import full
from ..spec import as_samples
from .gradients import Pull, gradient_penalty
from .values import scalar

if TYPE_CHECKING:
    from . import GradientPenalty, Side

T = TypeVar("T")
View = Callable[[Tensor, "Step"], Tensor]


class lazy(Generic[T]):  # noqa: N801  (used like functools.cached_property, which holds a lock on 3.11 that dynamo refuses)
    """An attribute computed when first read and kept on the object."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.key, self.__doc__ = function, "_" + function.__name__, function.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> T:
        if self.key not in owner.__dict__:
            owner.__dict__[self.key] = self.function(owner)
        value: T = owner.__dict__[self.key]
        return value


class Step:
    """One update of one side.

    data: real samples [n, *shape] before any view, given as they are stored: uint8 images are
        scaled to [-1, 1], and mirrored where `flips` [n] says so, when they are first read. latents
        [n, ...]; labels [n] or None, shared by real and fake.
    views: changes of what the discriminator sees, in order. slopes: the gradient penalties due in
        this update, gathered by the point they look at and computed together; those at real and
        fake samples come out of the pass that gives the logits.
    progress: how much of the training is done, 0..1 (a tensor,
        so that schedules go on inside a compiled update).
    """

    def __init__(
        self,
        side: Side,
        generator: Any,
        discriminator: Any,
        data: Tensor,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        views: Sequence[View] = (),
        slopes: Sequence[tuple[str, GradientPenalty]] = (),
        progress: Tensor | float = 0.0,
        differentiation: str = "double_backward",
        flips: Tensor | None = None,
    ) -> None:
        self.side, self.generator, self.discriminator = side, generator, discriminator
        self._stored, self._flips = data, flips
        self.latents, self.labels = latents, labels
        self.views, self.progress, self.differentiation = views, progress, differentiation
        self.penalties: dict[str, Tensor] = {}  # name -> unweighted value, for the report
        self._slope_sums: list[Tensor] = []  # weighted and differentiable
        self._slopes: dict[tuple[str, bool], list[tuple[str, GradientPenalty]]] = {}
        for name, penalty in slopes:
            place = (penalty.place or name, penalty.through)
            self._slopes.setdefault(place, []).append((name, penalty))
        self._through = {place for place, through in self._slopes if through}

    @property
    def net(self) -> Any:
        """The net that this update changes."""
        return self.discriminator if self.side == "discriminator" else self.generator

    def view(self, samples: Tensor) -> Tensor:
        """Samples as the discriminator sees them: augmented,
        noised, packed; random anew at every call.
        """
        for change in self.views:
            samples = change(samples, self)
        return samples

    def judge(self, samples: Tensor) -> tuple[Tensor, Any]:
        """Logits [n] (float32 or wider) and features of samples as seen (after `view`)."""
        labels = self.labels if getattr(self.discriminator, "conditional", False) else None
        features = self.discriminator.features(samples)
        return full(self.discriminator.score(features, labels)), features

    @lazy
    def data(self) -> Tensor:
        """Real samples before any view."""
        return as_samples(self._stored, self._flips)

    @lazy
    def real(self) -> Tensor:
        """Real samples as seen."""
        return self._real_seen[0]

    @lazy
    def _real_seen(self) -> tuple[Tensor, Pull | None]:
        return self._see(self.data, "real" in self._through)

    def _see(self, samples: Tensor, through: bool) -> tuple[Tensor, Pull | None]:
        """Samples as seen and, where a slope is to be
        taken through the views, what takes it back.
        """
        if not (through and self.views):
            return self.view(samples), None
        seen, pull = vjp(self.view, samples)  # type: ignore[misc]
        return seen, pull

    @lazy
    def drawn(self) -> Tensor:
        """Generated samples before any view; without gradient in the discriminator's update."""
        labels = self.labels if getattr(self.generator, "conditional", False) else None
        if self.side == "generator":
            return self._draw(labels)
        with torch.no_grad():
            return self._draw(labels)

    def _draw(self, labels: Tensor | None) -> Tensor:
        samples: Tensor = self.generator(self.latents, labels)
        return full(samples)

    @lazy
    def fake(self) -> Tensor:
        """Generated samples as seen."""
        return self._fake_seen[0]

    @lazy
    def _fake_seen(self) -> tuple[Tensor, Pull | None]:
        return self._see(self.drawn, "fake" in self._through)

    @property
    def real_logits(self) -> Tensor:
        return self._at_real[0]

    @property
    def fake_logits(self) -> Tensor:
        return self._at_fake[0]

    @property
    def real_features(self) -> Any:
        return self._at_real[1]

    @property
    def fake_features(self) -> Any:
        return self._at_fake[1]

    @lazy
    def _at_real(self) -> tuple[Tensor, Any]:
        return self._look("real")

    @lazy
    def _at_fake(self) -> tuple[Tensor, Any]:
        return self._look("fake")

    def point(self, at: str, seen: bool = False) -> Tensor:
        """Samples at a named place: "real", "fake", "between"
        the two (one mixing weight a sample), "around" real.

        Before any view, or among samples as `seen`.
        """
        if at == "fake":
            return self.fake if seen else self.drawn
        real = self.real if seen else self.data
        if at == "real":
            return real
        mix = torch.rand_like(real.flatten(1)[:, 0]).view(-1, *[1] * (real.dim() - 1))
        if at == "between":
            return real.lerp(self.fake if seen else self.drawn, mix)
        if (
            at == "around"
        ):  # DRAGAN: uniform noise of half the batch's deviation, a random part of the way
            return real + mix * 0.5 * real.std() * torch.rand_like(real)
        raise ValueError(f"no place {at!r} for a slope: real, fake, between or around")

    def slope_of(self, penalty: GradientPenalty) -> Tensor:
        """One penalty's unweighted value, in a pass of its own."""
        point, pull = self._start(penalty)
        total, _, _, _ = gradient_penalty(
            lambda x: penalty.height(self, x),
            point,
            lambda slope: (penalty.of(self._counted(penalty, slope)), ()),
            lambda slope: penalty.observe(self._counted(penalty, slope)),
            self._way(penalty),
            pull,
        )
        return total

    def _start(self, penalty: GradientPenalty) -> tuple[Tensor, Pull | None]:
        """Where a penalty's height is taken, and what takes a slope there back to the samples."""
        if not (self.views and penalty.judges and penalty.through):
            return penalty.point(self), None
        if penalty.place in ("real", "fake"):
            shared = self._real_seen if penalty.place == "real" else self._fake_seen
            if shared[1] is not None:
                return shared
        return self._see(penalty.point(self), True)

    def _counted(self, penalty: GradientPenalty, slope: Tensor) -> Tensor:
        """A slope of the discriminator's logits over the distance that it counts in."""
        unit = getattr(self.discriminator, "unit", 1.0) if penalty.judges else 1.0
        return slope if isinstance(unit, float) and unit == 1.0 else slope * unit

    def _way(self, penalty: GradientPenalty) -> str:
        """Forward over reverse was tried on the discriminator only; a height of a penalty's own may
        draw noise, or need other nets.
        """
        return self.differentiation if penalty.place else "double_backward"

    def finish_slopes(self) -> Tensor | float:
        """The weighted sum of all gradient penalties due, those not yet looked at included."""
        for place, _ in list(self._slopes):
            if place == "real":
                _ = self._at_real
            elif place == "fake":
                _ = self._at_fake
        for key in list(self._slopes):
            self._pass(self._slopes.pop(key))
        return sum(self._slope_sums, start=0.0)

    def _look(self, place: str) -> tuple[Tensor, Any]:
        """Logits and features at a place, with the gradient
        penalties that look there in the same pass.
        """
        for through in (True, False):
            if (place, through) in self._slopes:
                return self._pass(self._slopes.pop((place, through)))
        return self.judge(self.point(place, seen=True))

    def _pass(self, due: list[tuple[str, GradientPenalty]]) -> tuple[Tensor, Any]:
        """Compute all penalties of one place together;
        returns the values there and what came with them.
        """
        first = due[0][1]

        def of(slope: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            values = {
                name: scalar(
                    penalty.of(self._counted(penalty, full(slope))), f"reg.{name}", "its `of`"
                )
                for name, penalty in due
            }
            total = sum(
                (penalty.scale(self.progress) * values[name] for name, penalty in due),
                start=full(slope.new_zeros(())),
            )
            return total, values

        def observe(slope: Tensor) -> None:
            for _, penalty in due:
                penalty.observe(self._counted(penalty, full(slope)))

        point, pull = self._start(first)
        total, values, heights, aux = gradient_penalty(
            lambda x: first.height(self, x), point, of, observe, self._way(first), pull
        )
        self._slope_sums.append(total)
        self.penalties.update({name: value.detach() for name, value in values.items()})
        return heights, aux
