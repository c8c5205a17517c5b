"""What a rule of the doctor is, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

Looked = TypeVar("Looked")  # what a rule looks at: a log, samples, or data


class Sign(NamedTuple):
    """What was seen: images at which it began, and figures in words."""

    since: int
    evidence: str


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    since: images at which it began, or after which it was looked for. evidence: figures in words.
    reason, source: why that is bad, and who showed it. origin: where the threshold is from. change:
    settings that are the way out, by path.
    """

    rule: str
    since: int
    evidence: str
    reason: str
    source: str
    origin: str
    change: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return {**self.__dict__, "change": dict(self.change)}


class Rule(ABC, Generic[Looked]):
    """One ailment: how it is seen, why it is one, and what may help."""

    name: ClassVar[str]
    reason: ClassVar[str]
    source: ClassVar[str]
    origin: ClassVar[str]  # of the threshold

    @abstractmethod
    def sign(self, looked: Looked) -> Sign | None:
        """What was seen of it, if anything."""

    def change(self, looked: Looked) -> Mapping[str, Any]:
        """Settings by path that may help; nothing where no setting does."""
        return {}

    def finding(self, looked: Looked) -> Finding | None:
        """What was seen of it with all that there is to say."""
        sign = self.sign(looked)
        if sign is None:
            return None
        about = self.reason, self.source, self.origin
        return Finding(self.name, *sign, *about, self.change(looked))
