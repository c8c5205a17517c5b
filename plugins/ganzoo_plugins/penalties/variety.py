"""Penalties on how much the samples of a generator differ."""

from __future__ import annotations

from torch import Tensor

from ganzoo.contracts import Regularizer, Step
from ganzoo.errors import Incompatible
from ganzoo.nn import own, whole, whole_mean

TINY = 1e-5  # the authors', so that equal samples have a finite penalty


class ModeSeeking(Regularizer):
    """Latents that are far apart make samples that are: 1 / mean(|G(z) - G(z')| / |z - z'|) (Mao et
    al. 2019, eq. 3).

    The paper maximises the ratio; its inverse is what the authors' code minimises. Distances are
    mean absolute differences. z' is the latent of the batch's next sample; where the generator
    reads labels or what is given, it is drawn with those of z, in one more pass.
    """

    side = "generator"

    def penalty(self, step: Step) -> Tensor | None:
        """The inverse of the mean ratio over pairs of one batch."""
        if not step.from_latents:
            return None
        if len(step.latents) < 2:
            raise Incompatible(
                "mode-seeking compares the samples of a batch; take at least 2",
                section="train",
                key="batch_size",
                value=len(step.latents),
            )
        other = next_in_batch(step.latents)
        net = step.generator
        if getattr(net, "conditional", False) or getattr(net, "reads", ()):
            samples = step.draw(other)
        else:
            samples = next_in_batch(step.drawn)
        apart = (step.drawn - samples).abs().flatten(1).mean(1)
        latents = (step.latents - other).abs().flatten(1).mean(1)
        return 1 / (whole_mean((apart / latents).mean()) + TINY)


def next_in_batch(each: Tensor) -> Tensor:
    """Of each sample's [n, ...] that of the batch's next."""
    return own(whole(each).roll(1, 0))
