"""SAGAN's nets: residual ones in which, at one stage, every pixel reads all others."""

from __future__ import annotations

from typing import Literal

from ganzoo.contracts import PositiveInt, Spec
from ganzoo.nn import Head, SelfAttention, attention_stage, initialise

from .nets import ResNetDiscriminator, ResNetGenerator, Widths

MOST = 32  # the largest stage with attention: that which the paper found best (its table 1)
At = PositiveInt | Literal["auto"]


def _attention(channels: int) -> SelfAttention:
    """Attention with weights as the nets' own."""
    layer = SelfAttention(channels)
    initialise(layer, "xavier")
    return layer


def _most(side: int) -> int:
    """The largest stage that is chosen for an image of this side."""
    return min(MOST, side // 2)


class SAGANGenerator(ResNetGenerator):
    """The generator of SAGAN: residual, with self-attention at one stage (Zhang et al. 2019).

    Samples, sizes and errors are those of the generator `resnet`. Attention follows the block
    that gives the stage, times a factor that begins at zero. At 32x32x3 it has 4,358,660
    parameters. Spectral norm, which the paper has in both nets, is a regularizer.

    latent_dim: numbers in one latent vector
    attention_at: the smaller side of the stage with attention;
        auto is the largest that is at most half the image and at most 32
    """

    partner = "sagan"

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 128,
        width: PositiveInt | None = None,
        widths: Widths = "auto",
        labels: bool = False,
        attention_at: At = "auto",
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim, width=width, widths=widths, labels=labels)
        sides = self.stages.sides
        stage = attention_stage(
            attention_at, sides, most=_most(sides[-1]), setting="gen.attention_at"
        )
        self.blocks.insert(stage, _attention(self.widths[stage]))


class SAGANDiscriminator(ResNetDiscriminator):
    """The discriminator of SAGAN: residual, with self-attention at one stage (Zhang et al. 2019).

    Samples, sizes, features and errors are those of the discriminator `resnet`. Attention follows
    the first block that gives the stage, times a factor that begins at zero. At 32x32x3 it has
    1,074,306 parameters.

    attention_at: the smaller side of the stage with attention;
        auto is the largest that is at most half the image and at most 32
    """

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt | None = None,
        widths: Widths = "auto",
        pool: Literal["sum", "mean"] = "sum",
        labels: bool = False,
        head: Head = "projection",
        attention_at: At = "auto",
    ) -> None:
        super().__init__(spec, width=width, widths=widths, pool=pool, labels=labels, head=head)
        stage = attention_stage(
            attention_at, self.sides, most=_most(min(spec.shape[1:])), setting="disc.attention_at"
        )
        self.blocks.insert(stage + 1, _attention(self.widths[stage]))
