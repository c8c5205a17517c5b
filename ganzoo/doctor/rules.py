"""The rules that there are, and what they find."""

from __future__ import annotations

from collections.abc import Iterable

from . import balance, data, growth, judged, outputs, samples
from .case import Case
from .finding import Finding, Rule
from .seen import Seen

LOG: tuple[Rule[Case], ...] = (
    growth.NotFinite(),
    outputs.Collapse(),
    balance.TooStrong(),
    balance.TooWeak(),
    balance.Oscillation(),
    balance.GammaHigh(),
    balance.GammaLow(),
    balance.RateHigh(),
    growth.LogitsRunAway(),
    growth.Vanishing(),
    growth.Exploding(),
    growth.WeightsRunAway(),
    outputs.Saturated(),
    outputs.StaleAverage(),
)
SEEN: tuple[Rule[Seen], ...] = (
    samples.MissingModes(),
    samples.ClassCollapse(),
    samples.LabelIgnored(),
    samples.Checkerboard(),
    samples.LeakingAugmentation(),
    judged.Overfit(),
    judged.Memorising(),
    data.Duplicates(),
    data.Constant(),
    data.Channels(),
)


def of_log(case: Case) -> list[Finding]:
    """What the log and the settings tell, by when it began."""
    return _sorted(rule.finding(case) for rule in LOG)


def of_run(seen: Seen) -> list[Finding]:
    """What the nets and the data tell, by when it began."""
    return _sorted(rule.finding(seen) for rule in SEEN)


def _sorted(found: Iterable[Finding | None]) -> list[Finding]:
    return sorted((each for each in found if each is not None), key=lambda each: each.since)
