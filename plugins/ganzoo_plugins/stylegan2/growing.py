"""StyleGAN2's skip nets, of which the stages come in one after another."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ganzoo.contracts import PositiveInt, Spec

from .discriminator import StyleGAN2Discriminator
from .generator import Share, StyleGAN2Generator

Grown = Annotated[float, Field(ge=0, le=1)]


def fade(grown: float | Tensor, stage: int, stages: int) -> float | Tensor:
    """How far a stage is faded in, 0 to 1: stages are counted from 1, the one after the base.

    grown: how much of all stages is there, a tensor if it moves
    """
    place = grown * stages - (stage - 1)
    return place.clamp(0, 1) if isinstance(place, Tensor) else min(max(place, 0.0), 1.0)


class GrowingGenerator(StyleGAN2Generator):
    """StyleGAN2's skip generator growing as ProGAN's does, one stage after another (Karras et al.
    2018).

    The image of each stage is added by its fade (Karras et al. 2018, figure 2; Karras et al. 2020,
    figure 7). At `grown` g of s stages, stage k counts clamp(g s - (k - 1), 0, 1): at 0 an image is
    that of the base, enlarged; at 1 it is StyleGAN2's, whose weights are the same. A schedule moves
    it, `grown = {from = 0, to = 1, over = "2M"}`, best alike in both nets. Every stage is computed
    all the time, so that an update is one graph: ProGAN's saving of time is not had. Draws what
    StyleGAN2's generator does, and raises Incompatible for other samples.

    latent_dim: numbers in one latent vector, and in w
    width: channels of the last stage, doubled with each before it, up to 512
    mapping: layers of the mapping net
    mixing: share of the samples, in training, whose layers from a random one on follow another w
    labels: whether it is told the class or vector of what it is to draw, where the data have them
    grown: how much of the stages is there, 0 to 1
    """

    partner = "progan"

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 512,
        width: PositiveInt | None = None,
        mapping: PositiveInt = 8,
        mixing: Share = 0.9,
        labels: bool = False,
        grown: Grown = 1.0,
    ) -> None:
        super().__init__(
            spec, latent_dim=latent_dim, width=width, mapping=mapping, mixing=mixing, labels=labels
        )
        self.grown = grown

    def shown(self, painted: Tensor, stage: int) -> Tensor:
        """The image of a stage by its fade."""
        return painted * fade(self.grown, stage, len(self.blocks))


class GrowingDiscriminator(StyleGAN2Discriminator):
    """StyleGAN2's skip discriminator growing as ProGAN's does, one stage after another (Karras et
    al. 2018).

    What a stage says of the image is added by its fade to what the next one reads of the smaller
    image (Karras et al. 2018, figure 2; Karras et al. 2020, figure 7). At `grown` 0 it judges the
    image at the size of the base, at 1 it is StyleGAN2's with `architecture = "skip"`, whose
    weights are the same. Raises Incompatible for samples that StyleGAN2's does not judge.

    width: channels of the first stage, doubled with each after it, up to 512
    group: samples whose deviation is one more channel of the last stage, 1 for none; auto is 4
    labels: whether it reads or tells classes, where the data have them, and reads a vector that
        the data give, as maps beside the picture; the vector is not in the paper
    head: projection, concat or classify, as for StyleGAN2's
    mapping: layers from the class to its vector
    grown: how much of the stages is there, 0 to 1
    """

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt | None = None,
        group: PositiveInt | Literal["auto"] = "auto",
        labels: bool = False,
        head: Literal["projection", "concat", "classify"] = "projection",
        mapping: PositiveInt = 8,
        grown: Grown = 1.0,
    ) -> None:
        super().__init__(
            spec,
            width=width,
            architecture="skip",
            group=group,
            labels=labels,
            head=head,
            mapping=mapping,
        )
        self.grown = grown

    def heard(self, maps: Tensor, stage: int) -> Tensor:
        """The maps of a stage by its fade; the largest image's comes in last."""
        stages = len(self.blocks)
        return maps * fade(self.grown, stages - stage, stages)
