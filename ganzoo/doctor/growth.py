"""Rules about numbers that grow or vanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.health import AHEAD
from ..errors import plain_line
from ..runs import log as run_log
from .case import Case, lasting, quarters
from .finding import Rule, Sign

# Where a logit is 17, float32 knows no number between its sigmoid and 1 (2 ** -24 = e ** -16.6):
# losses of logarithms have no gradient left.
LOGIT = 17.0
SIDES = {"discriminator": "disc", "generator": "gen"}


class NotFinite(Rule[Case]):
    """A loss, gradient or weight was not finite: the first part is in the line."""

    name = "not finite"
    reason = "one undefined number makes all weights undefined; rates and unbounded losses do it"
    source = "Goodfellow et al. 2016, Deep Learning, 10.11.1"
    origin = "none: the log says it"

    def sign(self, looked: Case) -> Sign | None:
        found = [e for e in looked.events if e.get("event") in ("not finite", "rollback")]
        if not found:
            return None
        return Sign(run_log.images_of(found[0]), plain_line(str(found[0].get("reason", "")))[:300])

    def change(self, looked: Case) -> Mapping[str, Any]:
        return {**looked.rate("gen"), **looked.rate("disc"), "optim.disc.clip_norm": 1.0}


class LogitsRunAway(Rule[Case]):
    """The logits grow without end."""

    name = "logits run away"
    reason = "nothing holds the discriminator's slope, which is what the generator is paid by"
    source = "Gulrajani et al. 2017 (arXiv:1704.00028)"
    origin = (
        "17 is where float32 has no number left between a sigmoid and 1; chosen: ten times that of "
        "the first quarter, or beyond 10,000"
    )
    GROWN, LARGE = 10.0, 1e4  # a large number that does not move is none, up to a point

    def sign(self, looked: Case) -> Sign | None:
        means = map(looked.column, ("D(real)", "D(fake)"))
        size = [max(abs(a), abs(b)) for a, b in zip(*means, strict=True)]
        parts, since = quarters(size), lasting([value > LOGIT for value in size])
        if since is None or not parts or parts[-1] < min(self.GROWN * parts[0], self.LARGE):
            return None
        return Sign(
            looked.at(since),
            f"the larger of the mean logits was {parts[0]:.3g} in the first quarter of the log and "
            f"{parts[-1]:.3g} in the last",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return looked.tamed()


class Vanishing(Rule[Case]):
    """The generator is told ever less by a discriminator that is right."""

    name = "generator gradient vanishes"
    reason = "where a loss is flat for samples that are seen through, nothing leads away from them"
    source = "Goodfellow et al. 2014 (arXiv:1406.2661), section 3"
    origin = "chosen: a tenth, three times as far down as healthy runs went"
    LEFT = 0.1

    def sign(self, looked: Case) -> Sign | None:
        parts = quarters(looked.column("generator.gradient"))
        since = lasting([value > AHEAD for value in looked.column("rank")])
        if since is None or not parts or parts[-1] > self.LEFT * parts[0]:
            return None
        return Sign(
            looked.at(since),
            f"its norm was {parts[0]:.3g} in the first quarter of the log and {parts[-1]:.3g} in "
            f"the last, while the discriminator is right above {AHEAD:.0%} of the time",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return looked.tamed()


class Exploding(Rule[Case]):
    """The generator's gradient grows."""

    name = "generator gradient explodes"
    reason = "the slope of the discriminator at samples has no bound"
    source = "Gulrajani et al. 2017 (arXiv:1704.00028), section 4"
    origin = "chosen: ten times, twice as far up as healthy runs went"
    GROWN = 10.0

    def sign(self, looked: Case) -> Sign | None:
        norms = looked.column("generator.gradient")
        parts = quarters(norms)
        if not parts or parts[-1] < self.GROWN * parts[0]:
            return None
        since = lasting([value > parts[0] * self.GROWN / 2 for value in norms])
        if since is None:
            return None
        return Sign(
            looked.at(since),
            f"its norm was {parts[0]:.3g} in the first quarter of the log and {parts[-1]:.3g} in "
            "the last",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return {**looked.tamed(), "optim.gen.clip_norm": 1.0}


class WeightsRunAway(Rule[Case]):
    """The norm of a net's weights grows and does not stop."""

    name = "weights run away"
    reason = "large weights make logits and slopes large, and a step of one rate ever smaller"
    source = "Karras et al. 2024 (arXiv:2312.02696), section 2.3, of magnitudes that grow"
    origin = "chosen: 3.5 times, where healthy runs went to 3, and still 3 % a quarter"
    GROWN, STILL = 3.5, 1.03

    def sign(self, looked: Case) -> Sign | None:
        for side, section in SIDES.items():
            norms = looked.column(f"{side}.weights")
            parts = quarters(norms)
            if not parts or parts[-1] < self.STILL * parts[2] or norms[-1] < self.GROWN * norms[0]:
                continue
            first = next(i for i, value in enumerate(norms) if value >= self.GROWN * norms[0])
            return Sign(
                looked.at(first),
                f"the norm of {section} was {norms[0]:.3g} in the first line of the log and is "
                f"{norms[-1]:.3g}",
            )
        return None

    def change(self, looked: Case) -> Mapping[str, Any]:
        return {**looked.rate("gen"), **looked.rate("disc")}
