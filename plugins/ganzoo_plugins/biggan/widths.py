"""How wide BigGAN's stages are: multiples of one width, by the image's size."""

from __future__ import annotations

from typing import Literal

from ganzoo.contracts import PositiveInt, Spec
from ganzoo.errors import Incompatible
from ganzoo.nn import Stages, attention_stage, stages_of

SMALL = 32  # up to this side all stages are alike, as in the authors' code for CIFAR-10
MOST_STAGES = 7  # those of 512x512, the largest published
MOST_ATTENTION = 64  # the largest stage with attention, as published
# Stages -> the generator's multiples from the base to the image (Brock et al. 2019, tables 4 to 9);
# those for 3 stages are not published: the 4 of 64x64 without the last.
GENERATOR = {
    3: (16, 16, 8, 4),
    4: (16, 16, 8, 4, 2),
    5: (16, 16, 8, 4, 2, 1),
    6: (16, 16, 8, 8, 4, 2, 1),
    7: (16, 16, 8, 8, 4, 2, 1, 1),
}
# Likewise the discriminator's, from the image on, after each stage that halves.
DISCRIMINATOR = {
    3: (1, 2, 4, 8),
    4: (1, 2, 4, 8, 16),
    5: (1, 2, 4, 8, 16, 16),
    6: (1, 2, 4, 8, 8, 16, 16),
    7: (1, 1, 2, 4, 8, 8, 16, 16),
}
EVEN = 4  # the multiple of small images
At = PositiveInt | Literal["auto", "none"]


def is_small(stages: Stages) -> bool:
    """Whether all stages are alike."""
    return stages.sides[-1] <= SMALL


def stages_for(spec: Spec, net: str) -> Stages:
    """The stages of an image; raises Incompatible for one that has none, or is larger than those
    that the nets were published for.
    """
    stages = stages_of(spec, net)
    if stages.count > MOST_STAGES:
        height, width = (side << MOST_STAGES for side in stages.base)
        raise Incompatible(
            f"{net}: {spec.shape[1]}x{spec.shape[2]} is larger than the nets were made for",
            remedy="take at most",
            change={"data.resolution": f"{height}x{width}"},
        )
    return stages


def generator_widths(stages: Stages, width: int) -> list[int]:
    """Channels at every stage, from the base to the image."""
    multiples = (EVEN,) * (stages.count + 1) if is_small(stages) else GENERATOR[stages.count]
    return [width * multiple for multiple in multiples]


def discriminator_widths(stages: Stages, width: int) -> list[int]:
    """Channels after every block, from the image on; the last does not halve."""
    multiples = (EVEN,) * 4 if is_small(stages) else DISCRIMINATOR[stages.count]
    return [width * multiple for multiple in multiples]


def attention_at(at: At, side: int, sides: list[int], setting: str) -> int | None:
    """The stage with attention of an image whose smaller side is given; None without."""
    if at == "none":
        return None
    return attention_stage(at, sides, most=min(MOST_ATTENTION, side // 2), setting=setting)
