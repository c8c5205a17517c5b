"""Rules about what samples look like from the log alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.health import ALIKE, NARROW, SATURATED
from .case import Case, lasting
from .finding import Rule, Sign


class Collapse(Rule[Case]):
    """Samples are alike, as a whole or in a few heaps."""

    name = "mode collapse"
    reason = (
        "the generator answers the discriminator of the moment with its best sample; a penalty on "
        "the discriminator's slope at real samples lets both come to rest"
    )
    source = "Mescheder et al. 2018 (arXiv:1801.04406)"
    origin = "that of the log's verdict: figures of MNIST, in engine/health.py"

    def sign(self, looked: Case) -> Sign | None:
        spread, variety = looked.column("spread"), looked.column("variety")
        since = lasting([a < NARROW or b < ALIKE for a, b in zip(spread, variety, strict=True)])
        if since is None:
            return None
        return Sign(
            looked.at(since),
            f"samples vary {spread[-1]:.1%} as much as real ones and lie {variety[-1]:.0%} as far "
            f"from their neighbours; below {NARROW:.0%} or {ALIKE:.0%} since then",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return looked.tamed()


class Saturated(Rule[Case]):
    """Pictures lie at the ends of their range."""

    name = "saturated outputs"
    reason = "where a tanh is flat, no gradient comes back through it"
    source = "Glorot and Bengio 2010, section 4, of saturation"
    origin = "chosen: a tenth of the values more than real ones; healthy runs had fewer than those"
    SHARE = 0.1

    def sign(self, looked: Case) -> Sign | None:
        share = looked.column(SATURATED)
        since = lasting([value > self.SHARE for value in share])
        if since is None:
            return None
        return Sign(
            looked.at(since),
            f"{share[-1]:.0%} of the values lie at an end of the range beyond the share of real "
            f"ones; above {self.SHARE:.0%} since then",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return looked.rate("gen", 0.1)


class StaleAverage(Rule[Case]):
    """The averaged generator, which samples are drawn from, is still that of the start."""

    name = "stale average"
    reason = "pictures, scores and the generator file are the average's, not the live generator's"
    source = "Karras et al. 2018 (arXiv:1710.10196), who draw from an average of the weights"
    origin = "arithmetic; a tenth is chosen"
    STALE = 0.1  # of the average that are still the weights of the start

    def sign(self, looked: Case) -> Sign | None:
        half_life = looked.number("average.half_life") or 0.0
        done = looked.goal if looked.live else max(looked.images, 1)
        if not half_life or looked.number("average.ramp"):
            return None
        share = 0.5 ** (done / half_life)
        if share < self.STALE:
            return None
        return Sign(
            0,
            f"{share:.0%} of the averaged generator is the weights before any update, by a "
            f"half-life of {half_life:,.0f} images over {done:,}",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return {"average.ramp": 0.05}
