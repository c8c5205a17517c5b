"""What an option is tried with: values in a list, or numbers drawn from a range."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..config import setting
from ..errors import BadConfig, nearest, shown

RANGES = ("log", "uniform", "int")
FORMS = (*RANGES, "times")
CALL = re.compile(r"([a-z]+)\((.*)\)", re.S)
DIGITS = 6  # of a number that is drawn: what is written is what is trained with


@dataclass(frozen=True)
class Choice:
    """Some values, each as likely as another."""

    values: tuple[Any, ...]

    def draw(self, stream: random.Random) -> Any:
        """One of them."""
        return self.values[int(stream.random() * len(self.values))]

    def plain(self) -> Any:
        """As TOML holds it."""
        return list(self.values)


@dataclass(frozen=True)
class Times:
    """The option's own number, times each of some factors."""

    factors: tuple[float, ...]

    @property
    def values(self) -> tuple[Any, ...]:
        """As settings hold them."""
        return tuple({"times": factor} for factor in self.factors)

    def draw(self, stream: random.Random) -> Any:
        """One of them."""
        return Choice(self.values).draw(stream)

    def plain(self) -> Any:
        """As TOML holds it."""
        return {"times": list(self.factors)}


@dataclass(frozen=True)
class Range:
    """Numbers between two: uniform, log-uniform, or whole ones; `int` takes in both ends."""

    kind: str
    low: float
    high: float

    def draw(self, stream: random.Random) -> Any:
        """One of them, of DIGITS digits."""
        share = stream.random()
        if self.kind == "int":
            return int(self.low) + int(share * (int(self.high) - int(self.low) + 1))
        if self.kind == "log":
            low, high = math.log(self.low), math.log(self.high)
            return float(f"{math.exp(low + share * (high - low)):.{DIGITS}g}")
        return float(f"{self.low + share * (self.high - self.low):.{DIGITS}g}")

    def plain(self) -> Any:
        """As TOML holds it."""
        return {self.kind: [self.low, self.high]}


@dataclass(frozen=True)
class Each:
    """A list, of which some members are drawn: `[uniform(0,1), 0.999]` for Adam's betas."""

    parts: tuple[Any, ...]

    def draw(self, stream: random.Random) -> Any:
        """A list of values."""
        return [p.draw(stream) if isinstance(p, Space) else p for p in self.parts]

    def plain(self) -> Any:
        """As TOML holds it."""
        return {"each": [p.plain() if isinstance(p, Space) else p for p in self.parts]}


Space = Choice | Times | Range | Each


def is_drawn(space: Space) -> bool:
    """Whether it has no list of values, so that they must be drawn."""
    return isinstance(space, Range | Each)


def space_of(value: Any, key: str) -> Space:
    """What a plain value says: a list of values, `{log = [low, high]}` (or uniform, int), `{times =
    [factors]}`, `{each = [members]}`. Raises BadConfig for anything else.
    """
    if isinstance(value, Choice | Times | Range | Each):
        return value
    if isinstance(value, list | tuple) and value:
        return _choice(tuple(value), key)
    if isinstance(value, Mapping) and len(value) == 1:
        ((form, given),) = value.items()
        if isinstance(given, list | tuple) and given:
            return _formed(str(form), list(given), key)
    raise _bad(f"no list of values and no range: {shown(value)}", key)


def _formed(form: str, given: list[Any], key: str) -> Space:
    """A space by the name of its form."""
    if form == "each":
        return Each(tuple(_member(part, key) for part in given))
    if form not in FORMS:
        raise _bad(f"no range {form!r}{nearest(form, FORMS)} (known: {', '.join(FORMS)})", key)
    numbers = [n for n in given if isinstance(n, int | float) and not isinstance(n, bool)]
    if len(numbers) < len(given) or not all(map(math.isfinite, numbers)):
        raise _bad(f"{form} takes numbers", key)
    if form == "times":
        return Times(tuple(map(float, numbers)))
    if len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise _bad(f"{form} takes two numbers, the lower first, as in {form}(1, 8)", key)
    if form == "log" and numbers[0] <= 0:
        raise _bad("log takes numbers above 0", key)
    if form == "int" and any(n != int(n) for n in numbers):
        raise _bad("int takes whole numbers", key)
    return Range(form, *numbers)


def _member(part: Any, key: str) -> Any:
    """A member of a list: a range, or a value that stands as it is."""
    ranged = isinstance(part, Range) or (
        isinstance(part, Mapping) and len(part) == 1 and next(iter(part)) in RANGES
    )
    return space_of(part, key) if ranged else part


def parse(text: str, key: str) -> Space:
    """`32,64`, `log(1e-4,1e-2)`, `times(0.1,10)`, `[uniform(0,1),0.999]`, as a person types them.

    Values are read as TOML, else as text. Raises BadConfig.
    """
    parts = [part.strip() for part in split(text)]
    if not all(parts):
        raise _bad("write the values with commas between, as in 32,64, or log(1e-4,1e-2)", key)
    if len(parts) == 1 and (call := CALL.fullmatch(parts[0])):
        return _called(call, key)
    if len(parts) == 1 and parts[0].startswith("[") and parts[0].endswith("]"):
        members = [part.strip() for part in split(parts[0][1:-1])]
        calls = [CALL.fullmatch(part) for part in members]
        if any(calls):
            each = zip(members, calls, strict=True)
            return Each(tuple(_called(call, key) if call else _value(part) for part, call in each))
    return _choice(tuple(_value(part) for part in parts), key)


def _choice(values: tuple[Any, ...], key: str) -> Choice:
    """Values of which none is there twice: it would be trained twice, and count for two."""
    for place, value in enumerate(values):
        if repr(value) in map(repr, values[:place]):
            raise _bad(f"{shown(value)} is there twice", key)
    return Choice(values)


def _called(call: re.Match[str], key: str) -> Space:
    return _formed(call[1], [_value(part.strip()) for part in split(call[2])], key)


def _value(text: str) -> Any:
    return setting(f"any.key={text}")[1]


def split(text: str) -> list[str]:
    """The text at its commas, but for those within brackets and quotes."""
    return [*_pieces(text)]


def _pieces(text: str) -> Iterator[str]:
    depth, quote, begin = 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and not depth:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def _bad(message: str, key: str) -> BadConfig:
    section, _, last = key.partition(",")[0].rpartition(".")
    return BadConfig(message, section=section or last, key=last if section else "")
