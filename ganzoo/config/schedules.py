"""Numbers that move during a training: a table `{from = 10, to = 1}` in the place of a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from ..components.options import reason
from ..errors import BadConfig
from .counts import Count, PositiveCount, parse_count, parse_whole

ENDS = {"from", "to"}
Number = Annotated[FiniteFloat, BeforeValidator(parse_count)]


class Schedule(BaseModel):
    """A way from one number to another, counted in real images that the discriminator was shown.

    shape: of the way: linear, cosine (flat at both ends), exponential (equal ratios)
    over: images that it takes; none for all from `after` to the end of the training
    after: images before it begins
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    start: Number = Field(alias="from")
    to: Number
    shape: Literal["linear", "cosine", "exponential"] = "linear"
    over: PositiveCount | None = None
    after: Count = 0

    @model_validator(mode="after")
    def _has_ratios(self) -> Schedule:
        if self.shape == "exponential" and self.start * self.to <= 0:
            raise ValueError("an exponential way has both ends above zero, or both below")
        return self

    def at(self, images: int, goal: int) -> float:
        """The number after so many images of a training of `goal`."""
        over = self.over or max(goal - self.after, 1)
        done = min(max(images - self.after, 0) / over, 1.0)
        if self.shape == "exponential":
            return self.start * math.pow(self.to / self.start, done)
        if self.shape == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return self.start + (self.to - self.start) * done


def is_schedule(value: Any) -> bool:
    """Whether a value of a configuration is such a table; that of a role holds options."""
    return isinstance(value, Mapping) and value.keys() >= ENDS


def moves(value: Any) -> bool:
    """Whether a value, or one in a list of them, is such a table."""
    if isinstance(value, list | tuple):
        return any(map(is_schedule, value))
    return is_schedule(value)


def parse_schedule(value: Mapping[str, Any], section: str = "", key: str = "") -> Schedule:
    """The schedule of a table; raises BadConfig with the key that is wrong."""
    try:
        return Schedule.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([key, *map(str, first["loc"])])
        raise BadConfig(
            reason(first, key), section=section, key=where, value=first["input"]
        ) from None


def followed(value: Any, section: str = "", key: str = "") -> Callable[[int, int], Any]:
    """A function of images and goal that gives a value of a configuration at that moment, every
    schedule in it as a number.
    """
    if isinstance(value, list | tuple):
        each = [followed(one, section, key) for one in value]
        return lambda images, goal: [at(images, goal) for at in each]
    if not is_schedule(value):
        return lambda images, goal: value
    return parse_schedule(value, section, key).at


def at_moment(options: Mapping[str, Any], images: int, goal: int) -> dict[str, Any]:
    """Options with every schedule as the number of that moment."""
    return {name: followed(value)(images, goal) for name, value in options.items()}


def ends(value: Any, section: str = "", key: str = "") -> tuple[Any, Any]:
    """A value with its schedules' first numbers, and with their last."""
    if isinstance(value, list | tuple):
        both = [ends(each, section, key) for each in value]
        return [first for first, _ in both], [last for _, last in both]
    if not is_schedule(value):
        return value, value
    schedule = parse_schedule(value, section, key)
    return schedule.start, schedule.to


def _count_or_schedule(value: Any) -> Any:
    if not is_schedule(value):
        return _whole_count(parse_count(value))
    try:
        found = parse_schedule(value)
    except BadConfig as error:
        raise ValueError(f"{error.key}: {error.message}") from None
    for number in (found.start, found.to):
        _whole_count(number)
    return dict(value)


def _whole_count(value: Any) -> Any:
    """Raises ValueError for what is no count of images."""
    if not isinstance(parse_whole(value), int | float) or not 0 <= value <= 10**15:
        raise ValueError("give a count, as in 500, 200k or 1.5M, or a table of from and to")
    if value != int(value):
        raise ValueError("give a whole number")
    return int(value)


MovingCount = Annotated[Any, BeforeValidator(_count_or_schedule)]
