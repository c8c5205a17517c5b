"""Penalties on g = dD/dx, the slope of the logit in
the sample; how g is computed is the engine's business.

Where the discriminator sees samples through a view T (augmentation, noise), g is d D(T(x)) / dx, as
in StyleGAN2-ADA and R3GAN; with `through` false it is the slope in what is seen, T(x).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.functional import relu

from ganzoo.contracts import GradientPenalty, Loss, NonNegativeFloat, PositiveInt, Spec, Step
from ganzoo.errors import BadOption
from ganzoo.nn import whole

from .tuning import Tuning

# Inside the root, so that a slope of zero has a finite gradient; shifts a norm of one by 5e-13
TINY = 1e-12


class Weighted(GradientPenalty):
    """A penalty of weight 10 by default, with a choice of where the slope is taken.

    through: whether the slope is in the samples, through
        augmentations and noise; else in what is seen
    """

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 10.0,
        every: PositiveInt = 1,
        through: bool = True,
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.through = through


class UnitGradientPenalty(Weighted):
    """Draws the slope's norm to one between real and generated
    samples: (|g| - 1)² (Gulrajani et al. 2017, eq. 3).

    The default weight is the paper's lambda. The paper
    has no augmentation: samples are mixed before it.
    """

    at = "between"

    def of(self, slope: Tensor) -> Tensor:
        """(|g| - 1)², averaged over the samples of a slope [n, ...]."""
        norm = (slope.square().flatten(1).sum(1) + TINY).sqrt()
        return (norm - 1).square().mean()


class Dragan(UnitGradientPenalty):
    """Draws the slope's norm to one around real samples:
    (|g| - 1)² (Kodali et al. 2017, section 2.3).

    A point is a real sample moved a random part of the way along uniform noise of half the batch's
    deviation, before any augmentation, which the paper has not.
    """

    at = "around"


class R1(Weighted):
    """Draws the slope to zero at real samples: |g|² / 2;
    the weight is gamma (Mescheder et al. 2018, eq. 9).

    The default is the paper's gamma for images of 256x256; the right one grows with resolution² /
    batch size, and at 32x32 published runs use 0.01 to 1. The weight "auto" is 0.0002 pixels /
    batch size for images (the rule of StyleGAN2-ADA's code, Karras et al. 2020).

    Tuned, the weight is multiplied by a factor that follows the training, at most tenfold in 256
    pairs: up where the discriminator runs ahead and the penalty holds nothing, down where the
    penalty outweighs the loss or leaves no slope. Limits are for losses of logits of about one.

    tune: whether the weight follows the training, from `weight`; the log shows it
    """

    at = "real"

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 10.0,
        every: PositiveInt = 1,
        through: bool = True,
        tune: bool = False,
    ) -> None:
        super().__init__(weight=weight, every=every, through=through)
        if tune and isinstance(weight, float) and weight == 0:
            raise BadOption("a weight of 0 stays 0, however it is tuned", key="weight")
        self.tuning = Tuning() if tune else None

    def scale(self, progress: Tensor | float) -> Tensor | float:
        """The weight and, where it is tuned, the factor of this moment."""
        own = super().scale(progress)
        return own if self.tuning is None else own * self.tuning.factor

    def shown(self) -> Mapping[str, Tensor]:
        """The weight of this moment, where it is tuned."""
        return {} if self.tuning is None else {"weight": self.weight * self.tuning.factor}

    def observe(self, slope: Tensor) -> None:
        """Count the weighted penalty."""
        if self.tuning is not None:
            self.tuning.penalised(self.weight * self.tuning.factor * self.of(slope))

    def for_loss(self, step: Step, loss: Loss) -> Step:
        """The step as it is; its logits are counted."""
        if self.tuning is not None:
            self.tuning.judged(*step.verdicts)
        return step

    def after_update(self, net: nn.Module) -> None:
        """Move the factor."""
        if self.tuning is not None:
            self.tuning.move()

    @classmethod
    def automatic(cls, spec: Spec, batch: int) -> Mapping[str, tuple[float, str]]:
        """The weight of images."""
        if spec.modality != "image":
            return {}
        height, width = spec.shape[1:]
        reason = f"0.0002 x {height} x {width} pixels / batch of {batch} (StyleGAN2-ADA's rule)"
        return {"weight": (2e-4 * height * width / batch, reason)}

    def of(self, slope: Tensor) -> Tensor:
        """|g|² / 2, averaged over the samples of a slope [n, ...]."""
        return slope.square().flatten(1).sum(1).mean() / 2


class R2(R1):
    """Draws the slope to zero at generated samples: |g|² /
    2; the weight is gamma (Mescheder et al. 2018, eq. 10).

    Use it with r1 and the same weight (Huang et al. 2024).
    """

    at = "fake"


class OneSidedGradientPenalty(UnitGradientPenalty):
    """Draws the slope's norm below one, between real and generated samples: max(0, |g| - 1)²
    (Petzka et al. 2018, WGAN-LP).

    Samples are mixed before any augmentation, which the paper has not.
    """

    def of(self, slope: Tensor) -> Tensor:
        """max(0, |g| - 1)², averaged over the samples of a slope [n, ...]."""
        norm = (slope.square().flatten(1).sum(1) + TINY).sqrt()
        return relu(norm - 1).square().mean()


class LargestGradientPenalty(Weighted):
    """Draws the largest slope of the batch to zero, between real and generated samples: max |g|²
    (Zhou et al. 2019).

    The largest slope found stands for the Lipschitz constant. The paper also keeps a list of the
    points with the largest slopes, which this does not. Samples are mixed before any augmentation.
    """

    at = "between"

    def of(self, slope: Tensor) -> Tensor:
        """|g|² of the sample that has the largest, of a slope [n, ...]."""
        return whole(slope.square().flatten(1).sum(1)).amax()
