"""How often an image can be halved: the stages of nets that double and halve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import Incompatible
from ..spec import Spec

SMALLEST, LARGEST = 4, 7  # the base's smaller side
MOST = 12  # halvings: 4 * 2**12 pixels are more than any image that is trained on
Size = tuple[int, int]


@dataclass(frozen=True)
class Stages:
    """An image as a base that is doubled `count` times."""

    base: Size
    count: int

    @property
    def sides(self) -> list[int]:
        """The smaller side at every stage, from the base up to the image."""
        return [min(self.base) << stage for stage in range(self.count + 1)]


def stages_of(spec: Spec, net: str) -> Stages:
    """The stages of an image from 8x8 up, its base 4 to 7 on the smaller side.

    net: the name that errors begin with.
    Raises Incompatible for what is no image, and, naming the nearest size that is possible, for
    sides that cannot be halved so often.
    """
    if spec.modality != "image":
        raise Incompatible(f"{net} works on images, not on {spec.modality} {list(spec.shape)}")
    height, width = spec.shape[1:]
    count = (min(height, width) // SMALLEST).bit_length() - 1
    if count < 1 or height % 2**count or width % 2**count:
        found = f"{height}x{width} is no base of {SMALLEST} to {LARGEST} that was doubled"
        near = "x".join(map(str, nearest_size((height, width))))
        raise Incompatible(
            f"{net}: {found}", remedy="the nearest possible is", change={"data.resolution": near}
        )
    return Stages((height >> count, width >> count), count)


def nearest_size(size: Size) -> Size:
    """The size with stages that differs least from one, in pixels of height and width together."""
    found = []
    for count in range(1, MOST):
        base = [max(SMALLEST, round(side / 2**count)) for side in size]
        if min(base) <= LARGEST:
            near = (base[0] << count, base[1] << count)
            found.append((abs(near[0] - size[0]) + abs(near[1] - size[1]), near))
    return min(found)[1]


def attention_stage(
    at: int | Literal["auto"], sides: Sequence[int], *, most: int, setting: str
) -> int:
    """Which of the stages has attention, as an index into their sides; the first of several.

    at: the stage's smaller side, or auto for the largest of at most `most`.
    setting: the option's path, `gen.attention_at`, for the error.
    Raises Incompatible, naming the stages, when none is of that side.
    """
    fit = [side for side in sides if side <= most]
    side = max(fit, default=min(sides)) if at == "auto" else at
    if side in sides:
        return sides.index(side)
    there = ", ".join(map(str, sorted(set(sides))))
    raise Incompatible(
        f"there is no stage of {side} for attention; there are {there}",
        remedy="the nearest is",
        change={setting: min(sides, key=lambda other: abs(other - side))},
    )
