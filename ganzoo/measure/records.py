"""What a metric found, beside everything that another figure must share to be compared with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from ..errors import plain_line

MOST = 64  # figures of a metric, and fields of a protocol
SEEDS = 1000  # at most, of one score
FLOOR = "floor_"  # begins the name of what real samples score in a figure's place
IDENTITY = ("seeds", "generator")  # fields that say which samples were drawn, not how they count

Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(plain_line)]
Word = Annotated[StrictStr, Field(max_length=1000), AfterValidator(plain_line)]
Plain = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Value = StrictBool | StrictInt | Plain | Word | None  # of a protocol
Protocol = dict[str, Value]


class Figure(BaseModel):
    """One figure of a metric.

    value: mean of `values`, which have one for each seed of the samples
    floor: what real samples score in place of generated ones; None where nothing says it
    larger: whether a larger one is better
    """

    model_config = ConfigDict(extra="forbid")
    value: FiniteFloat
    values: list[FiniteFloat] = Field(min_length=1, max_length=SEEDS)
    floor: FiniteFloat | None
    larger: StrictBool

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds of the samples; None of one."""
        if len(self.values) < 2:
            return None
        squares = sum((value - self.value) ** 2 for value in self.values)
        return math.sqrt(squares / (len(self.values) - 1))


class Score(BaseModel):
    """The figures of a metric and their protocol: one line of scores.jsonl.

    images: that the generator was trained on
    date: of the measurement, in UTC; none in a file that the same training is to write again
    """

    model_config = ConfigDict(extra="forbid")
    metric: Name
    images: int = Field(ge=0)
    date: str = Field(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?$")
    figures: dict[Name, Figure] = Field(max_length=MOST)
    protocol: dict[Name, Value] = Field(max_length=MOST)


def differs(one: Mapping[str, object], other: Mapping[str, object]) -> tuple[str, ...]:
    """The fields of two protocols that differ and matter, in the order in which they stand: with
    none, figures may stand in one column.

    What says which samples were drawn does not matter, nor does the name of data whose
    fingerprints are equal. A field that one of them lacks differs.
    """
    fields = list(dict.fromkeys([*one, *other]))
    known = one.get("fingerprint"), other.get("fingerprint")
    free = {*IDENTITY, *(("data",) if known[0] and known[0] == known[1] else ())}
    return tuple(
        field
        for field in fields
        if field not in free
        and (field not in one or field not in other or one[field] != other[field])
    )


def text_of(protocol: Mapping[str, object]) -> str:
    """A protocol as one line, without what says nothing."""
    said = {key: value for key, value in protocol.items() if value not in (None, "")}
    return ", ".join(f"{key} {value}" for key, value in said.items())


def figures_of(
    found: Sequence[Mapping[str, float]],
    larger: Sequence[str],
    floors: Mapping[str, float] | None = None,
) -> dict[str, Figure]:
    """Figures of what a metric gave for each seed of the samples.

    A name that begins with `floor_` is the floor of the figure of the rest of it; a figure that is
    not finite for each of the seeds is left out. floors: by figure, of those that have no such name
    """
    made = {}
    names = found[0] if found else {}
    for name in names:
        if name.startswith(FLOOR) and name.removeprefix(FLOOR) in names:
            continue
        values = [float(each.get(name, math.nan)) for each in found]
        if not all(map(math.isfinite, values)):
            continue
        own = [each[FLOOR + name] for each in found if FLOOR + name in each]
        floor = sum(own) / len(own) if own else (floors or {}).get(name)
        known = floor is not None and math.isfinite(floor)
        made[name] = Figure(
            value=sum(values) / len(values),
            values=values,
            floor=floor if known else None,
            larger=name in larger,
        )
    return made


def now() -> str:
    """This moment, as a record has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def versions_of(versions: Mapping[str, str], *further: str) -> str:
    """The versions that figures may hang on, without a build's own mark: `torch 2.15.0`.

    further: distributions beside ganzoo and torch
    """
    wanted = dict.fromkeys(["ganzoo", "torch", *further])
    known = {name: versions[name].partition("+")[0] for name in wanted if name in versions}
    return ", ".join(f"{name} {version}" for name, version in known.items())
