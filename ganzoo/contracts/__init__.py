"""What a component is: the base classes that plugins extend. Components
return tensors; only the training loop calls backward and step.

Traits are class attributes (or instance attributes where an option decides); assembly reads them to
refuse or adapt with a reason, so nothing here or in the core ever asks for a component's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from ..spec import MODALITIES, Batch, Column, Dataset, Spec
from .game import Game, Role, Turn, Update, nets_of
from .step import Step

Side = Literal["discriminator", "generator"]
Logits = Tensor | list[Tensor]
Sides = Literal["discriminator", "generator", "both"]
Needs = Mapping[str, str | tuple[str, ...]]  # kind -> trait or traits that its part must have


class Generator(nn.Module):
    """Draws samples from latents: `cls(spec, *, latent_dim, options)`.

    latent_dim: numbers in one latent vector
    """

    modalities: ClassVar[tuple[str, ...]] = ("image", "signal", "points")  # what it can draw
    conditional: bool = False  # whether it reads labels
    reads: tuple[str, ...] = ()  # what it reads of that which is given: ("image",)
    may_read: ClassVar[tuple[str, ...]] = ()  # what it reads as labels where the data give it
    partner: ClassVar[str | None] = None  # the discriminator to use when none is named
    adapts: ClassVar[
        Mapping[str, Mapping[str, Any]]
    ] = {}  # trait -> the options that give it: {"conditional": {"labels": True}}
    sampling: ClassVar[
        Mapping[str, type]
    ] = {}  # options of sampling alone, which draw_latents takes by name: {"truncation": float}

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 128) -> None:
        super().__init__()
        self.spec, self.latent_dim = spec, latent_dim

    def draw_latents(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Latents [count, latent_dim] of a standard normal; override for another prior."""
        device = generator.device if generator is not None else None
        return torch.randn(count, self.latent_dim, generator=generator, device=device)

    def calibrate(self, points: Tensor) -> None:
        """Keep in buffers what is wanted of the data's scale; for points alone, once, at the start.

        points: real ones, [n, d]
        """

    def observe(self, latents: Tensor, labels: Tensor | None = None) -> None:
        """Move buffers (a mean of w), after each update of this net and without gradient.

        latents: those of the update, [n, ...]; what the net `reads` comes by name too. A buffer
        that `forward` moves would move in passes for gradients too, and in those of the
        discriminator's updates.
        """

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples [n, *spec.shape], images in [-1, 1].

        A net that `reads` what is given takes that by name too: `forward(latents, labels, image)`.
        """
        raise TypeError(f"{type(self).__name__} must define forward")


class Discriminator(nn.Module):
    """Judges samples: `cls(spec, *, options)`. Define
    `features` and `score`, or `forward` alone.
    """

    modalities: ClassVar[tuple[str, ...]] = ("image", "signal", "points")  # what it can judge
    conditional: bool = False  # whether it reads labels
    reads: tuple[str, ...] = ()  # what it reads of that which is given, beside the samples
    may_read: ClassVar[tuple[str, ...]] = ()  # what it reads as labels where the data give it
    per_sample: bool = (
        True  # whether a logit depends on its own sample only (false with batch norm)
    )
    heads: tuple[
        str, ...
    ] = ()  # modules beside the score, which get no gradient from the logits: ("classify",)
    adapts: ClassVar[
        Mapping[str, Mapping[str, Any]]
    ] = {}  # trait -> the options that give it: {"per_sample": {"norm": "layer"}}
    unit: Tensor | float = 1.0  # distance between samples that slopes are counted over

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    def calibrate(self, points: Tensor) -> None:
        """Keep in buffers what is wanted of the data's scale; for points alone, once, at the start.

        points: real ones, [n, d], before any augmentation
        """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.forward is Discriminator.forward and cls.score is Discriminator.score:
            raise TypeError(f"{cls.__name__} must define score (with features), or forward")

    def observe(self, samples: Tensor, labels: Tensor | None = None) -> None:
        """Move buffers, after each update of this net and without gradient.

        samples: the real ones of the update, [n, *shape], before any view; what the net `reads`
        comes by name too.
        """

    def features(self, samples: Tensor) -> Any:
        """What `score` and feature-based losses read; the samples themselves unless defined.

        A net that `reads` what is given takes that by name too: `features(samples, *, image)`.
        """
        return samples

    def score(self, features: Any, labels: Tensor | None = None) -> Logits:
        """Logits from features: one a sample [n], a map of patches [n, ...], or a list
        of either, one for each scale or judge. No sigmoid: larger means more real.

        Losses see one judge at a time, its patches as [n, k], and are averaged over judges; a
        gradient penalty climbs the mean over patches and judges of each sample.
        """
        # a net that defines forward alone has the samples as features
        logits: Logits = self.forward(features, labels)
        return logits

    if TYPE_CHECKING:
        forward: Callable[..., Logits]  # a net may define it without what is given
    else:

        def forward(self, samples: Tensor, labels: Tensor | None = None, **given: Tensor) -> Logits:
            """What `score` gives for the features of samples [n, *spec.shape]."""
            return self.score(self.features(samples, **given), labels)


class Encoder(nn.Module):
    """Makes codes of samples: `cls(spec, *, latent_dim, options)`.

    latent_dim: numbers in one code, those of the generator's latents unless told otherwise
    """

    modalities: ClassVar[tuple[str, ...]] = ("image", "signal", "points")  # what it can read

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 128) -> None:
        super().__init__()
        self.spec, self.latent_dim = spec, latent_dim

    def forward(self, samples: Tensor) -> Tensor:
        """Means and logarithms of variances [n, 2, latent_dim] of samples [n, *spec.shape]."""
        raise TypeError(f"{type(self).__name__} must define forward")


class Condition(nn.Module):
    """Makes what nets are given from the samples, on the device and anew in each update:
    `cls(spec, *, options)`. Several go on from each other's picture.

    spec: of the picture that it changes
    """

    modalities: ClassVar[tuple[str, ...]] = ("image",)  # what it can change

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    def gives(self) -> Mapping[str, Spec]:
        """What it makes, by name; "image" is what the next one goes on from."""
        return {"image": Spec(self.spec.shape)}

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        """What `gives` lists, [n, ...] each, of samples [n, *spec.shape] in [-1, 1]."""
        raise TypeError(f"{type(self).__name__} must define forward")


class Loss(nn.Module):
    """An adversarial loss: two scalars over the logits of a step."""

    labels: ClassVar[bool] = (
        False  # whether real samples have a target that label smoothing can soften
    )
    conditional: ClassVar[bool] = False  # whether it reads the samples' labels
    needs: ClassVar[Needs] = {}  # {"discriminator": "classify"}: what it calls there must exist

    def discriminator(self, step: Step) -> Tensor:
        """What the discriminator minimises: a scalar."""
        raise TypeError(f"{type(self).__name__} must define discriminator")

    def generator(self, step: Step) -> Tensor:
        """What the generator minimises: a scalar; may
        read `step.real_logits` (relativistic losses do).
        """
        raise TypeError(f"{type(self).__name__} must define generator")


class Regularizer(nn.Module):
    """A penalty, a constraint or a change of view; every
    hook is optional. State is a buffer, and so saved.

    weight: factor of the penalty in the loss
    every: apply once in so many updates, with the weight scaled up by as much (lazy regularization)
    """

    side: Sides = "discriminator"
    conditional: ClassVar[bool] = False  # whether it reads the samples' labels
    needs: ClassVar[Needs] = {}  # {"loss": "labels"}
    differentiates: ClassVar[bool] = False  # whether it takes gradients of a net by itself

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1.0,
        every: PositiveInt = 1,
    ) -> None:
        super().__init__()
        self.weight, self.every = weight, every

    @classmethod
    def automatic(cls, spec: Spec, batch: int) -> Mapping[str, tuple[float, str]]:
        """Options that may be "auto": the number for such samples and batches, and the rule."""
        return {}

    def on(self, side: Side) -> bool:
        """Whether it acts in the updates of this side."""
        return self.side in (side, "both")

    @property
    def moves(self) -> bool:
        """Whether it does something after an update."""
        return type(self).after_update is not Regularizer.after_update

    def scale(self, progress: Tensor | float) -> Tensor | float:
        """The penalty's factor at this point of the training (progress in 0..1)."""
        return self.weight * self.every

    def shown(self) -> Mapping[str, Tensor]:
        """Scalars on the device that the log is to hold beside the penalty, by name, as they are
        when a line is begun; "weight" is one that follows the training.
        """
        return {}

    def prepare(self, generator: nn.Module, discriminator: nn.Module) -> None:
        """Change the nets once, at assembly (spectral norm); `nets_of` lists those of a player,
        who may have several.
        """

    def view(self, samples: Tensor, step: Step) -> Tensor:
        """Change what the discriminator sees (instance noise)."""
        return samples

    def for_loss(self, step: Step, loss: Loss) -> Step:
        """The step that the loss is called with: this one, or the same samples `against` another
        discriminator (unrolled). Penalties see the step as it was.
        """
        return step

    def penalty(self, step: Step) -> Tensor | None:
        """A scalar to add to this side's loss, unweighted; None for none."""
        return None

    def after_update(self, net: nn.Module) -> None:
        """Change the updated net in place, without gradient (weight clipping)."""


class GradientPenalty(Regularizer):
    """A penalty on the slope of the discriminator: where to look, and a function of the slope
    there. How the slope is computed is the engine's business.
    """

    needs: ClassVar[Needs] = {
        "discriminator": "per_sample"
    }  # a slope of one sample means nothing when the batch is mixed
    at: ClassVar[str] = "between"  # "real", "fake", "between" the two, "around" real
    through: bool = True  # whether the slope is in samples, through augmentations and other views

    @property
    def judges(self) -> bool:
        """Whether its height is the discriminator's logits."""
        return type(self).height is GradientPenalty.height

    @property
    def place(self) -> str | None:
        """The named place whose pass this penalty can share,
        or None if it has a point or a height of its own.
        """
        return self.at if self.judges and type(self).point is GradientPenalty.point else None

    def point(self, step: Step) -> Tensor:
        """Where to take the slope: [n, ...]; samples
        before any view, or as seen if not `through`.
        """
        return step.point(self.at, seen=not self.through)

    def height(self, step: Step, point: Tensor) -> tuple[Tensor, Any]:
        """(values [n], anything): the function whose slope is meant, at the point as seen; the
        discriminator's logits unless defined. One of its own gets the point without any view.
        """
        return step.height(point)

    def observe(self, slope: Tensor) -> None:
        """Update buffers from the slope, without gradient (path length's running mean)."""

    def of(self, slope: Tensor) -> Tensor:
        """The penalty, a scalar, as a function of the slope [n, ...]."""
        raise TypeError(f"{type(self).__name__} must define of")

    def penalty(self, step: Step) -> Tensor | None:
        """The unweighted penalty by itself; `Step.penalise` shares passes instead."""
        return step.penalty_of(self)


class Augmentation(nn.Module):
    """A differentiable change of what the discriminator
    sees, real and fake alike: `cls(spec, *, options)`.
    """

    modalities: ClassVar[tuple[str, ...]] = ("image", "signal", "points")  # what it can change
    packs: int = 1  # samples that it makes one of
    conditional: bool = False  # whether it reads labels: it is then called with them, too
    adapts: ClassVar[
        Mapping[str, Mapping[str, Any]]
    ] = {}  # trait -> the options that give it, as for nets

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    def respec(self, spec: Spec) -> Spec:
        """The spec that the discriminator is built for (packing changes it)."""
        return spec

    def forward(self, samples: Tensor) -> Tensor:
        """Changed samples. One that is `conditional` is called with their labels [n] too:
        `forward(samples, labels)`.
        """
        return samples

    def observe(self, real_logits: Tensor) -> None:
        """Update buffers from the logits of real samples
        [n], once a discriminator update (ADA's probability).
        """


class Metric(nn.Module):
    """A measure of a generator: `cls(spec, *, options)`. Define `measure`, or `features` and
    `compare`: then samples are drawn and read in blocks, and features of real ones are kept.

    count: samples to draw for it
    """

    # What it can measure.
    modalities: ClassVar[tuple[str, ...]] = ("image", "signal", "points", "map")
    default: ClassVar[tuple[str, ...]] = ()  # of these, what it measures where none is named
    larger: tuple[str, ...] = ()  # the figures of which a larger one is better
    # what it needs beside samples of both sides. "held": samples that no training saw, which
    # `measure` and `compare` get too; "labels": of the samples, which `features` gets too;
    # "classes": labels of the data, which `learn` sees; "generator": the net itself, and no samples
    reads: tuple[str, ...] = ("real",)
    # ailments that it tells -> the figure that is above 0 where there is one: {"memorising": ...}
    signs: ClassVar[Mapping[str, str]] = {}
    # whether the order of the data matters to it; else samples come in that of their contents
    in_order: ClassVar[bool] = False

    def __init__(self, spec: Spec, *, count: PositiveInt = 2500) -> None:
        super().__init__()
        self.spec, self.count = spec, count

    def learn(self, data: Dataset, say: Callable[[str], None]) -> None:
        """Learn what it measures by, of the data that the training sees: a classifier of their
        labels. It is called before each measurement, with the same data.

        say: tells a person what is being done, which may take long
        """

    def measure(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Named figures from real and generated samples,
        [n, *spec.shape] each, in the generator's range.

        A figure `floor_x` is what real samples score in the place of the figure `x`.
        """
        return self.compare(self.features(real), self.features(fake))

    def features(self, samples: Tensor) -> Tensor:
        """What samples are compared by, [n, ...], of each alone.

        A metric that reads "labels" takes them too: `features(samples, labels)`, int64 [n].
        """
        raise TypeError(f"{type(self).__name__} must define measure, or features and compare")

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """The figures of `measure`, from features [n, ...] of each side."""
        raise TypeError(f"{type(self).__name__} must define compare, beside features")

    def of_generator(self, generator: Generator, seed: int) -> dict[str, float]:
        """Named figures of a net in evaluation mode, in place of `measure`, for a metric that reads
        "generator". What is drawn hangs on the seed alone.
        """
        raise TypeError(f"{type(self).__name__} must define of_generator")

    def protocol(self) -> Mapping[str, str | int | float | bool]:
        """What figures depend on beside samples and options: the sum of a file, a package."""
        return {}


class Tracker:
    """A listener to a training: `cls(*, options)`; every method is optional."""

    def start(self, run: Mapping[str, Any], folder: Path | None, images: int) -> None:
        """Before the first update: the resolved configuration, the run folder if there is one, and
        the images that a resumed training has done.
        """

    def log(self, record: Mapping[str, Any]) -> None:
        """One line of log.jsonl."""

    def picture(self, name: str, path: Path) -> None:
        """A picture was written."""

    def score(self, scores: Mapping[str, float], images: int) -> None:
        """What the metrics found, as `METRIC.FIGURE`, after so many images; during the training
        too, where that is asked for.
        """

    def finish(self) -> None:
        """The training ended, in whatever way."""


__all__ = [
    "MODALITIES",
    "Augmentation",
    "Batch",
    "Column",
    "Condition",
    "Dataset",
    "Discriminator",
    "Encoder",
    "Game",
    "Generator",
    "GradientPenalty",
    "Loss",
    "Metric",
    "NonNegativeFloat",
    "PositiveFloat",
    "PositiveInt",
    "Regularizer",
    "Role",
    "Side",
    "Sides",
    "Spec",
    "Step",
    "Tracker",
    "Turn",
    "Update",
    "nets_of",
]
