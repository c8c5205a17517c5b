"""The typed tree of a configuration: the sections of a run file and what each may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    create_model,
)

from ..components.kinds import FAMILIES
from .counts import Count, PositiveCount, parse_whole
from .schedules import MovingCount, is_schedule

Tree = dict[str, Any]


def _word(value: Any) -> Any:
    """TOML's true and false, which some take for yes and no."""
    words = {True: "yes", False: "no"}
    return words[value] if isinstance(value, bool) else value


Number = Annotated[int, Field(ge=1, le=2**31), BeforeValidator(parse_whole)]
Seed = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(parse_whole)]
Text = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
RateShape = Literal["constant", "linear", "cosine"]


def _is_role(value: Any) -> bool:
    """Whether a value of a section is the table of a role."""
    return isinstance(value, dict) and not is_schedule(value)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(BaseModel):
    """A component by name; keys that the core does not know are its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: Annotated[str, Field(min_length=1)]  # an empty path would be the folder one stands in

    @property
    def options(self) -> Tree:
        return {k: v for k, v in (self.model_extra or {}).items() if not _is_role(v)}

    @property
    def roles(self) -> dict[str, Tree]:
        """The tables of roles within: {"ba": ...} of [gen.ba]."""
        return {k: v for k, v in (self.model_extra or {}).items() if _is_role(v)}

    def of_role(self, name: str) -> Self:
        """The choice for a role: this one, but for what stands in the table of that name."""
        whole = {k: v for k, v in self.model_dump().items() if not _is_role(v)}
        return type(self).model_validate(whole | self.roles.get(name, {}))


class Net(Choice):
    init: Literal["auto", "normal", "xavier", "kaiming", "orthogonal"]


class Optimizer(Choice):
    schedule: RateShape
    warmup: Count
    lazy: bool
    clip_norm: NonNegativeFloat
    clip_value: NonNegativeFloat


class Optimizers(Section):
    gen: Optimizer
    disc: Optimizer


class Data(Choice):
    root: str
    resolution: Text
    channels: Literal["auto", 1, 3, 4]
    background: str
    resident: Literal["auto", "gpu", "host"]
    budget: Annotated[int, Field(ge=0, le=2**31)]
    lazy: bool
    flip: bool
    holdout: Annotated[float, Field(ge=0, lt=1)]
    pairs: Annotated[Literal["auto", "yes", "no", "off"], BeforeValidator(_word)]
    split: Literal[1, 2]
    given: Literal["A", "B"]


class Train(Section):
    images: PositiveCount
    batch_size: Number
    gen_batch: Annotated[int, Field(ge=0, le=2**31), BeforeValidator(parse_whole)]
    accumulate: Number
    n_critic: Number
    n_gen: Number
    updates: Literal["alternating", "simultaneous"]
    seed: Seed
    device: str
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    engine: Literal["auto", "eager", "compiled", "captured"]
    conditional: Literal["auto", True, False]
    label_dropout: Annotated[float, Field(ge=0, lt=1)]
    deterministic: bool
    on_nan: Literal["stop", "rollback"]
    reduce: Literal["fp32", "bf16"]
    shard: bool

    @property
    def part(self) -> int:
        """Samples that are computed at once."""
        return self.batch_size // self.accumulate

    def batch_of(self, side: str) -> int:
        """Samples in an update of a side."""
        return self.gen_batch if side == "generator" and self.gen_batch else self.batch_size

    def part_of(self, side: str) -> int:
        """Those of them that are computed at once."""
        return self.batch_of(side) // self.accumulate


class Average(Section):
    half_life: MovingCount
    ramp: NonNegativeFloat
    snapshots: Count


class Samples(Section):
    images: PositiveCount
    count: Annotated[int, Field(ge=1, le=4096)]


class Checkpoint(Section):
    images: Count
    minutes: NonNegativeFloat
    keep: Number


class Measure(Section):
    images: Count
    share: Annotated[float, Field(gt=0, le=1)]
    best: str
    patience: Count


class Log(Section):
    images: PositiveCount


class Parts(Section):
    gen: Net
    disc: Net
    enc: Net
    loss: Choice
    game: Choice


if TYPE_CHECKING:  # with a section for each kind of which there may be several

    class Families(Parts):
        reg: dict[str, Tree]

else:
    Families = create_model(
        "Families", __base__=Parts, **{section: (dict[str, Tree], {}) for section in FAMILIES}
    )


class Config(Families):
    """The whole tree, in the order in which a run file is written."""

    optim: Optimizers
    data: Data
    train: Train
    average: Average
    samples: Samples
    checkpoint: Checkpoint
    measure: Measure
    log: Log

    def tree(self) -> Tree:
        """The configuration as plain TOML values."""
        return self.model_dump()
