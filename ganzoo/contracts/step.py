"""One update as its losses and penalties see it:
what is costly is computed when first read, and once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.func import vjp

from ..nn import full, ranks, whole_mean
from ..spec import as_samples
from .gradients import Pull, gradient_penalty
from .values import scalar

if TYPE_CHECKING:
    from . import GradientPenalty, Side

T = TypeVar("T")
NOTHING: Mapping[str, Tensor] = MappingProxyType({})
View = Callable[[Tensor, "Step"], Tensor]


class lazy(Generic[T]):  # noqa: N801  (used like functools.cached_property, which holds a lock on 3.11 that dynamo refuses)
    """An attribute computed when first read and kept on the object."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.key, self.__doc__ = function, "_" + function.__name__, function.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> T:
        if owner._whole is not None:
            owner = owner._whole  # what is computed for all judges is computed once
        if self.key not in owner.__dict__:
            owner.__dict__[self.key] = self.function(owner)
        value: T = owner.__dict__[self.key]
        return value


Judges = tuple[Tensor, ...]  # each judge's logits: [n], or [n, k] of a map of patches


class Step:
    """One update of one side: a pair of real and generated samples, judged by one discriminator.

    data: real samples [n, *shape] before any view, given as they are stored: uint8 images
        are scaled to [-1, 1], and mirrored where `flips` [n] says so, when they are first read.
        A function makes them then, without gradient in the discriminator's update.
    latents [n, ...]; labels [n] or None and what is `given` [n, ...] by name, as nets see it,
        shared by real and fake.
    fake: makes generated samples of latents [n, ...], instead of the generator alone.
    from_latents: whether generated samples depend on the latents; not those that come back from an
        encoder.
    weight: factor of this step's loss and penalties in its update.
    views: changes of what the discriminator sees, in order.
    progress: how much of the training is done, 0..1 (a
        tensor, so that schedules go on inside a compiled update).

    What is costly is computed when first read, and once. Gradient penalties come first, all in
    one call of `penalise`: those at real and fake samples give the logits in the same pass.
    """

    def __init__(
        self,
        side: Side,
        generator: Any,
        discriminator: Any,
        data: Tensor | Callable[[], Tensor],
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        views: Sequence[View] = (),
        progress: Tensor | float = 0.0,
        flips: Tensor | None = None,
        given: Mapping[str, Tensor] = NOTHING,
        fake: Callable[[Tensor], Tensor] | None = None,
        from_latents: bool = True,
        weight: float = 1.0,
    ) -> None:
        self.side, self.generator, self.discriminator = side, generator, discriminator
        self._stored, self._flips, self._make = data, flips, fake
        self.from_latents = from_latents
        self.latents, self.labels, self.given = latents, labels, given
        self.views, self.progress, self.weight = views, progress, weight
        self._through: frozenset[str] = frozenset()  # places that penalties see through the views
        self._whole: Step | None = None  # of a step for one judge of several: that for all
        self._number = 0

    @property
    def net(self) -> Any:
        """The net that this update changes."""
        return self.discriminator if self.side == "discriminator" else self.generator

    def view(self, samples: Tensor) -> Tensor:
        """Samples as the discriminator sees them: augmented, noised, packed; random anew at every
        call.
        """
        for change in self.views:
            samples = change(samples, self)
        return samples

    def judge(self, samples: Tensor) -> tuple[Tensor, Any]:
        """Logits (as in `real_logits`) and features of samples as seen (after `view`)."""
        judges, features = self._judge(samples)
        return self._chosen(judges), features

    def _judge(self, samples: Tensor) -> tuple[Judges, Any]:
        labels = self.labels if getattr(self.discriminator, "conditional", False) else None
        features = self.discriminator.features(samples, **self._read_by(self.discriminator))
        return as_judges(self.discriminator.score(features, labels)), features

    def _read_by(self, net: Any) -> dict[str, Tensor]:
        """What is given of that which a net reads."""
        return {name: self.given[name] for name in getattr(net, "reads", ())}

    @property
    def judges(self) -> list[Step]:
        """This update for each judge of the discriminator alone: what a loss is called with."""
        judged = self._at_real if self.side == "discriminator" else self._at_fake
        count = len(judged[0])
        if count == 1:
            return [self]
        return [self._of_one(number) for number in range(count)]

    def _of_one(self, number: int) -> Step:
        one = self._before(self.discriminator)
        one._whole, one._number = self, number
        return one

    def against(self, discriminator: Any) -> Step:
        """The same samples as seen before another discriminator."""
        other = self._before(discriminator)
        for name in ("data", "drawn", "_real_seen", "_fake_seen"):
            other._keep(name, getattr(self, name))
        return other

    def _before(self, discriminator: Any) -> Step:
        return Step(
            self.side,
            self.generator,
            discriminator,
            self._stored,
            self.latents,
            self.labels,
            views=self.views,
            progress=self.progress,
            flips=self._flips,
            given=self.given,
            fake=self._make,
            from_latents=self.from_latents,
            weight=self.weight,
        )

    def _chosen(self, judges: Judges) -> Tensor:
        """The logits of the judge that this step is for; of all of them, joined, where it is for
        all.
        """
        if self._whole is not None:
            return judges[self._number]
        return joined(judges)

    @lazy
    def data(self) -> Tensor:
        """Real samples before any view."""
        if isinstance(self._stored, Tensor):
            return as_samples(self._stored, self._flips)
        with self._generating():
            return full(self._stored())

    def _generating(self) -> Any:
        """Within it, nothing has a gradient but in the generator's update."""
        return torch.set_grad_enabled(self.side == "generator")

    @lazy
    def real(self) -> Tensor:
        """Real samples as seen."""
        return self._real_seen[0]

    @lazy
    def _real_seen(self) -> tuple[Tensor, Pull | None]:
        return self._see(self.data, "real" in self._through)

    def _see(self, samples: Tensor, through: bool) -> tuple[Tensor, Pull | None]:
        """Samples as seen and, where a slope is to be taken through
        the views, what takes it back.
        """
        if not (through and self.views):
            return self.view(samples), None
        seen, pull = vjp(self.view, samples)  # type: ignore[misc]
        return seen, pull

    @lazy
    def drawn(self) -> Tensor:
        """Generated samples before any view; without gradient in the discriminator's update."""
        with self._generating():
            return self.draw(self.latents)

    def draw(self, latents: Tensor) -> Tensor:
        """Generated samples of other latents [n, ...], before any view, with this step's labels and
        what is given.
        """
        return self.generate(latents) if self._make is None else full(self._make(latents))

    def generate(self, latents: Tensor) -> Tensor:
        """What the generator itself makes of latents: `draw`, but where a game judges more."""
        labels = self.labels if getattr(self.generator, "conditional", False) else None
        return full(self.generator(latents, labels, **self._read_by(self.generator)))

    @lazy
    def fake(self) -> Tensor:
        """Generated samples as seen."""
        return self._fake_seen[0]

    @lazy
    def _fake_seen(self) -> tuple[Tensor, Pull | None]:
        return self._see(self.drawn, "fake" in self._through)

    @property
    def real_logits(self) -> Tensor:
        """Logits of real samples, [n], or [n, k] of patches, float32 or wider; larger is more
        real.
        """
        return self._chosen(self._at_real[0])

    @property
    def fake_logits(self) -> Tensor:
        """Logits of generated samples, in the same shape."""
        return self._chosen(self._at_fake[0])

    @property
    def real_features(self) -> Any:
        """What the discriminator's `features` gave for real samples."""
        return self._at_real[1]

    @property
    def fake_features(self) -> Any:
        """What the discriminator's `features` gave for generated samples."""
        return self._at_fake[1]

    @property
    def verdicts(self) -> tuple[Tensor, Tensor]:
        """One number a sample [n], real and generated: the mean over patches and judges."""
        return mean_of(self._at_real[0]), mean_of(self._at_fake[0])

    @lazy
    def _at_real(self) -> tuple[Judges, Any]:
        return self._judge(self.real)

    @lazy
    def _at_fake(self) -> tuple[Judges, Any]:
        return self._judge(self.fake)

    def point(self, at: str, seen: bool = False) -> Tensor:
        """Samples at a named place: "real", "fake", "between" the
        two (one mixing weight a sample), "around" real.

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
        if at == "around":
            # DRAGAN: uniform noise of half the batch's deviation, a random part of the way
            return real + mix * 0.5 * deviation(real) * torch.rand_like(real)
        raise ValueError(f"no place {at!r} for a slope: real, fake, between or around")

    def penalise(
        self,
        due: Sequence[tuple[str, GradientPenalty]],
        differentiation: str = "double_backward",
    ) -> tuple[Tensor | float, dict[str, Tensor]]:
        """(weighted sum, unweighted values by name) of the gradient penalties of an update.

        Those that look at one place share a pass, and at real and fake samples that pass gives the
        logits too. To be called before anything else is read of the step.
        """
        if self.views and (self._knows("_real_seen") or self._knows("_fake_seen")):
            raise RuntimeError("penalise comes first: samples as seen were read already")
        groups: dict[tuple[str, bool], list[tuple[str, GradientPenalty]]] = {}
        for name, penalty in due:
            place = penalty.place or f"{name}'s own"
            groups.setdefault((place, penalty.through), []).append((name, penalty))
        self._through = frozenset(place for place, through in groups if through)
        order = [place for place in groups if place[1]] + [p for p in groups if not p[1]]
        total: Tensor | float = 0.0
        values: dict[str, Tensor] = {}
        for key in order:
            weighted, found, judged = self._pass(groups[key], differentiation)
            total = total + weighted
            values |= {name: value.detach() for name, value in found.items()}
            if key[0] in ("real", "fake"):
                self._keep(f"_at_{key[0]}", judged)
        return total, {name: values[name] for name, _ in due}

    def _knows(self, name: str) -> bool:
        """Whether a lazy attribute was computed."""
        return f"_{name}" in self.__dict__

    def _keep(self, name: str, value: Any) -> None:
        """Take a value that came with other work for a lazy attribute's, unless it has one."""
        self.__dict__.setdefault(f"_{name}", value)

    def penalty_of(self, penalty: GradientPenalty) -> Tensor:
        """One penalty's unweighted value, in a pass of its own."""
        point, pull = self._start(penalty)
        total, _, _, _ = gradient_penalty(
            lambda x: penalty.height(self, x),
            point,
            lambda slope: (penalty.of(self._counted(penalty, slope)), ()),
            lambda slope: penalty.observe(self._counted(penalty, slope)),
            "double_backward",
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

    def _pass(
        self, due: list[tuple[str, GradientPenalty]], differentiation: str
    ) -> tuple[Tensor, dict[str, Tensor], Any]:
        """All penalties of one place together: their weighted sum, their values, and what the
        height gave beside its values.
        """
        first = due[0][1]
        if not first.place:
            # Forward over reverse was tried on the discriminator only; a height of a
            # penalty's own may draw noise, or need other nets.
            differentiation = "double_backward"

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
        total, values, _, judged = gradient_penalty(
            lambda x: first.height(self, x), point, of, observe, differentiation, pull
        )
        return total, values, judged

    def height(self, samples: Tensor) -> tuple[Tensor, Any]:
        """What a gradient penalty climbs at samples as seen: one number a sample [n], the mean
        over patches and judges; and the judgement that it is the mean of.
        """
        judged = self._judge(samples)
        return mean_of(judged[0]), judged


def deviation(samples: Tensor) -> Tensor:
    """The standard deviation of all numbers of the whole batch, unbiased, a scalar."""
    if ranks() == 1:
        return samples.std()
    mean = whole_mean(samples.mean())
    count = ranks() * samples.numel()
    return (whole_mean((samples - mean).square().mean()) * count / (count - 1)).sqrt()


def as_judges(logits: Tensor | Sequence[Tensor]) -> Judges:
    """Every judge's logits, [n] or, of a map of patches, [n, k], in float32 at least."""
    each = [logits] if isinstance(logits, Tensor) else logits
    return tuple(full(one if one.dim() == 1 else one.flatten(1)) for one in each)


def joined(judges: Judges) -> Tensor:
    """The logits of all judges in one tensor: [n] of a single one, else [n, k]."""
    if len(judges) == 1:
        return judges[0]
    return torch.cat([logits.view(len(logits), -1) for logits in judges], 1)


def mean_of(judges: Judges) -> Tensor:
    """One number a sample [n]: the mean over judges of the mean over patches."""
    means = [logits if logits.dim() == 1 else logits.mean(1) for logits in judges]
    return means[0] if len(means) == 1 else torch.stack(means).mean(0)
