"""Every score beside its floor: what real samples score against other real samples."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ganzoo.errors import Incompatible

Score = Callable[[Tensor, Tensor], dict[str, float]]


def beside_floor(
    name: str, score: Score, real: Tensor, fake: Tensor, least: int
) -> dict[str, float]:
    """Figures of a score of (real, generated) samples, each followed by its floor.

    Both are of half the samples: the figures are means of two, each half of the generated samples
    against a half of the real ones; the floor is that of one half of the real ones against the
    other. The real ones are `different`: a floor of samples against themselves would be too low.
    least: samples that a half must have; raises Incompatible if it has fewer.
    """
    half = min(len(real), len(fake)) // 2
    if half < least:
        raise Incompatible(
            f"metric {name}: {len(real):,} different real and {len(fake):,} generated samples are "
            f"too few; it takes {2 * least} of each"
        )
    one, other = real[:half], real[half : 2 * half]
    first = score(one, fake[:half])
    second = score(other, fake[half : 2 * half])
    floor = score(one, other)
    found = {key: (first[key] + second[key]) / 2 for key in first}
    return found | {f"floor_{key}": value for key, value in floor.items()}


def check_count(name: str, count: int, least: int) -> None:
    """Raise Incompatible unless halves of so many samples have at least `least`."""
    if count < 2 * least:
        raise Incompatible(
            f"takes at least {2 * least} samples",
            section=f"metric.{name}",
            key="count",
            value=count,
        )


def different(samples: Tensor) -> Tensor:
    """Samples [n, ...] without those that equal an earlier one, in their order."""
    seen = {row.numpy().tobytes(): index for index, row in reversed(list(enumerate(samples)))}
    return samples[sorted(seen.values())]
