"""Rules about who of the two is ahead, and what holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from statistics import median
from typing import Any

from ..engine.health import AHEAD, MISLED
from .case import LINES, Case, calm, lasting, quarters
from .finding import Rule, Sign

VERDICT = "that of the log's verdict, in engine/health.py"


class TooStrong(Rule[Case]):
    """The discriminator is right nearly always."""

    name = "discriminator too strong"
    reason = (
        "a discriminator that separates the two perfectly has no slope that tells the generator "
        "where to go"
    )
    source = "Arjovsky and Bottou 2017 (arXiv:1701.04862)"
    origin = VERDICT

    def sign(self, looked: Case) -> Sign | None:
        rank = looked.column("rank")
        since = lasting([value > AHEAD for value in rank])
        if since is None:
            return None
        said = f"it judged {rank[-1]:.1%} of the pairs rightly; above {AHEAD:.0%} since then"
        return Sign(looked.at(since), said)

    def change(self, looked: Case) -> Mapping[str, Any]:
        return looked.tamed()


class TooWeak(Rule[Case]):
    """The discriminator takes generated samples for real ones."""

    name = "discriminator too weak"
    reason = "a generator that is ahead learns the discriminator's faults and not the data"
    source = "Heusel et al. 2017 (arXiv:1706.08500): the discriminator must be the faster one"
    origin = (
        f"{VERDICT}, 1.6 standard errors below chance; chosen: half of the log, since healthy runs "
        "whose rates fell to 0 ended with a third of it"
    )
    SHARE = 0.5

    def sign(self, looked: Case) -> Sign | None:
        rank = looked.column("rank")
        since = lasting([value < MISLED for value in rank])
        if since is None or len(rank) - since < self.SHARE * len(rank):
            return None
        said = f"it judged {rank[-1]:.1%} of the pairs rightly; below {MISLED:.0%} since then"
        return Sign(looked.at(since), f"{said}, which is less than chance")

    def change(self, looked: Case) -> Mapping[str, Any]:
        return looked.rate("disc", 4.0)


class Oscillation(Rule[Case]):
    """Who is ahead changes from line to line."""

    name = "oscillation"
    reason = "steps without damping circle around the equilibrium instead of into it"
    source = "Mescheder et al. 2018 (arXiv:1801.04406), section 2"
    origin = "two standard errors of the difference of two lines, of 256 pairs each"
    SWING = 0.1

    def sign(self, looked: Case) -> Sign | None:
        half = len(looked.lines) // 2
        rank = looked.column("rank")[half:]
        swings = [abs(a - b) for a, b in pairwise(rank)]
        if len(swings) < LINES or not median(swings) > self.SWING:
            return None
        return Sign(
            looked.at(half),
            f"the share of pairs judged rightly goes up and down by {median(swings):.0%} from one "
            f"line of the log to the next, between {min(rank):.0%} and {max(rank):.0%}; from "
            f"{self.SWING:.0%} on counted",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return {**looked.tamed(), "train.updates": "alternating"}


class RateHigh(Rule[Case]):
    """Samples are thrown far beyond the data, or the loss jumps."""

    name = "rate too high"
    reason = "steps that are longer than the slope holds for undo what was learnt"
    source = "Goodfellow et al. 2016, Deep Learning, 11.4.1"
    origin = (
        "chosen: twice the spread of healthy runs; ten times the loss, and beyond any hinge's 2"
    )
    FAR, JUMP, LEAST = 3.0, 10.0, 2.0

    def sign(self, looked: Case) -> Sign | None:
        spread = looked.column("spread")
        since = lasting([value > self.FAR for value in spread])
        if since is not None:
            said = f"samples vary {spread[-1]:.3g} times as much as real ones"
            return Sign(looked.at(since), f"{said}; above {self.FAR:g} since then")
        half = len(looked.lines) // 2
        loss = [abs(value) for value in looked.column("discriminator.adversarial")[half:]]
        usual, largest = median(loss or [0.0]), max(loss, default=0.0)
        if not largest >= max(self.JUMP * usual, self.LEAST):  # nor where a line has none
            return None
        return Sign(
            looked.at(half + loss.index(largest)),
            f"the discriminator's loss jumped to {largest:.3g}, and is {usual:.3g} else; from "
            f"{self.JUMP:g} times on counted",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return {**looked.rate("gen", 0.1), **looked.rate("disc", 0.1)}


class GammaHigh(Rule[Case]):
    """A gradient penalty outweighs the loss, or leaves no slope at all."""

    name = "gamma too high"
    reason = "a discriminator that may have no slope sees what is wrong and cannot say it"
    source = "Karras et al. 2020 (arXiv:1912.04958), appendix B: gamma goes by resolution and batch"
    origin = "chosen: the half of the loss; a tenth of the logits' usual size, which is one"
    SHARE, FLAT, RIGHT = 0.5, 0.1, 0.9

    def sign(self, looked: Case) -> Sign | None:
        for name in looked.penalties:
            share = shares(looked, name)
            since = lasting([value > self.SHARE for value in share])
            if since is not None:
                said = f"the penalty {name} is {share[-1]:.0%} of the discriminator's loss"
                return Sign(looked.at(since), f"{said}; above {self.SHARE:.0%} since then")
        if not looked.penalties:
            return None
        gaps = [a - b for a, b in zip(*map(looked.column, ("D(real)", "D(fake)")), strict=True)]
        rank = looked.column("rank")
        flat = [a < self.FLAT and b > self.RIGHT for a, b in zip(gaps, rank, strict=True)]
        since = lasting(flat)
        if since is None:
            return None
        return Sign(
            looked.at(since),
            f"it judged {rank[-1]:.0%} of the pairs rightly, and its mean logits are "
            f"{gaps[-1]:.2g} apart; below {self.FLAT:g} since then",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return reweighted(looked, 0.1)


class GammaLow(Rule[Case]):
    """A gradient penalty that holds nothing, beside a discriminator that is ahead."""

    name = "gamma too low"
    reason = "slopes grow without end, and what the generator is told gets local and large"
    source = "Mescheder et al. 2018 (arXiv:1801.04406), theorem 4.1"
    origin = "chosen: a hundredth of the loss, and ten times the slope"
    SHARE, GROWN, RIGHT = 0.01, 10.0, 0.95

    def sign(self, looked: Case) -> Sign | None:
        since = lasting([value > self.RIGHT for value in calm(looked.column("rank"))])
        parts = [
            (name, quarters(looked.column(f"discriminator.{name}"))) for name in looked.penalties
        ]
        weak = [quarters(shares(looked, name))[-1:] for name in looked.penalties]
        small = bool(weak) and all(each and each[0] < self.SHARE for each in weak)
        grown = [(n, p) for n, p in parts if p and p[-1] > self.GROWN * p[0]]
        if since is None or not small or not grown:
            return None
        name, part = grown[0]
        return Sign(
            looked.at(since),
            f"{name} grew from {part[0]:.3g} to {part[-1]:.3g}, and by its weight is "
            f"{max(each[0] for each in weak):.1g} of the loss; {self.RIGHT:.0%} of the pairs are "
            "judged rightly since then",
        )

    def change(self, looked: Case) -> Mapping[str, Any]:
        return reweighted(looked, 100.0)


def shares(looked: Case, name: str) -> list[float]:
    """A penalty's share of the discriminator's loss in every line, by the weight that the line
    shows, else by its weight of now.
    """
    now = looked.number(f"reg.{name}.weight")
    if now is None:
        return []
    columns = (f"discriminator.{name}.weight", f"discriminator.{name}", "discriminator.adversarial")
    found = []
    for shown, penalty, loss in zip(*map(looked.column, columns), strict=True):
        weighted = penalty * (now if math.isnan(shown) else shown)
        found.append(weighted / max(weighted + abs(loss), 1e-12))
    return found


def reweighted(looked: Case, factor: float) -> dict[str, float]:
    """The change of the weights of all gradient penalties."""
    found: dict[str, float] = {}
    for name in looked.penalties:
        found |= looked.times(f"reg.{name}.weight", factor)
        found |= looked.times(f"reg.{name}.weight.to", factor)
    return found
