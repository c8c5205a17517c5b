"""A training's configuration: layers of plain TOML trees merged in order, then checked against one typed tree."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from .errors import BadConfig, nearest, one_line

Tree = dict[str, Any]
CHOICES = ("gen", "disc", "loss", "data")  # sections with one name
FAMILIES = {
    "reg": "regularizer",
    "aug": "augmentation",
    "metric": "metric",
    "tracker": "tracker",
}  # sections of many names


def parse_count(value: Any) -> Any:
    """`"200k"` and `"1.5M"` as integers; anything else unchanged, for the type check to judge."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kKmM]?)\s*", value)):
        scaled = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6}[match[2].lower()]
        return int(scaled) if scaled == int(scaled) else value
    return value


Count = Annotated[int, Field(ge=0), BeforeValidator(parse_count)]
PositiveCount = Annotated[int, Field(ge=1), BeforeValidator(parse_count)]
Schedule = Literal["constant", "linear", "cosine"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(BaseModel):
    """A component by name; keys that the core does not know are its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> Tree:
        return dict(self.model_extra or {})


class Net(Choice):
    init: Literal["auto", "normal", "xavier", "kaiming", "orthogonal"]


class Optimizer(Choice):
    schedule: Schedule
    clip_norm: NonNegativeFloat
    clip_value: NonNegativeFloat


class Optimizers(Section):
    gen: Optimizer
    disc: Optimizer


class Data(Choice):
    root: str
    resolution: str | int
    channels: Literal["auto", 1, 3, 4]
    background: str
    resident: Literal["auto", "gpu", "host"]
    budget: NonNegativeInt
    flip: bool


class Train(Section):
    images: PositiveCount
    batch_size: PositiveInt
    n_critic: PositiveInt
    seed: NonNegativeInt
    device: str
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    engine: Literal["auto", "eager", "compiled", "captured"]
    conditional: Literal["auto"] | bool
    on_nan: Literal["stop", "rollback"]


class Average(Section):
    half_life: Count


class Samples(Section):
    images: PositiveCount
    count: PositiveInt


class Checkpoint(Section):
    images: Count
    minutes: NonNegativeFloat
    keep: PositiveInt


class Log(Section):
    images: PositiveCount


class Config(Section):
    """The whole tree, in the order in which a run file is written."""

    gen: Net
    disc: Net
    loss: Choice
    reg: dict[str, Tree] = {}
    aug: dict[str, Tree] = {}
    metric: dict[str, Tree] = {}
    tracker: dict[str, Tree] = {}
    optim: Optimizers
    data: Data
    train: Train
    average: Average
    samples: Samples
    checkpoint: Checkpoint
    log: Log

    def tree(self) -> Tree:
        """The configuration as plain TOML values."""
        return self.model_dump()


@functools.cache
def defaults() -> Tree:
    """The tree of ganzoo's own defaults.toml; not to be changed in place."""
    return tomllib.loads((resources.files("ganzoo") / "defaults.toml").read_text("utf-8"))


def read(path: Path, flag: str = "--config") -> Tree:
    """A run file's tree; raises BadConfig naming the flag when it is missing or no TOML."""
    try:
        if path.stat().st_size > 1 << 20:
            raise BadConfig(f"{flag} {path}: larger than 1 MiB, which no run file is")
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadConfig(f"{flag} {path}: {error.strerror or one_line(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadConfig(f"{flag} {path}: no TOML: {one_line(error)}") from None


def merge(base: Tree, layer: Mapping[str, Any], where: str = "") -> Tree:
    """The base with a layer over it. Another name in a section drops the old component's options; `reg = false` clears all,
    `reg.gp = false` one."""
    result = dict(base)
    core = _section(defaults(), where)
    if "name" in core and layer.get("name", base.get("name")) != base.get("name"):
        result = {key: base.get(key, value) for key, value in core.items()}
    for key, value in layer.items():
        path = f"{where}.{key}" if where else key
        if value is False and (where in FAMILIES or path in FAMILIES):
            result.pop(key, None)
        elif isinstance(value, Mapping):
            old = result.get(key, {})
            result[key] = merge(old if isinstance(old, dict) else {}, value, path)
        else:
            result[key] = value
    return result


def _section(tree: Tree, where: str) -> Tree:
    for key in where.split(".") if where else ():
        tree = tree.get(key, {})
    return tree


def setting(text: str) -> tuple[list[str], Any]:
    """`--set gen.width=64` as a path and a value; the value is read as TOML, else as text."""
    path, equals, value = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys) or len(keys) < 2:
        raise BadConfig(f"--set {text}: write SECTION.KEY=VALUE, for instance --set gen.width=64")
    try:
        return keys, tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return keys, value.strip()


def apply_settings(tree: Tree, settings: Iterable[str]) -> Tree:
    """The tree with every `--set` applied, in order; raises BadConfig for a part that is not in the pipeline."""
    for text in settings:
        keys, value = setting(text)
        family = keys[0]
        if family in FAMILIES and value is not False:
            if len(keys) > 3:  # a component's name may hold dots
                keys = [family, ".".join(keys[1:-1]), keys[-1]]
            chosen = tree.get(family, {})
            if keys[1] not in chosen:
                raise BadConfig(
                    f"--set {text}: {keys[1]!r} is not in this pipeline; add --{family} {keys[1]}{nearest(keys[1], chosen)}"
                )
        layer: Any = value
        for key in reversed(keys):
            layer = {key: layer}
        tree = merge(tree, layer)
    return tree


def check(tree: Mapping[str, Any], source: str = "configuration") -> Config:
    """The typed configuration, or BadConfig with the key, what is wrong and the nearest right one."""
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"] if part not in ("constrained-str", "int", "str", "bool")]
        where = ".".join(path)
        if first["type"] == "extra_forbidden":
            known = _known(path[:-1])
            raise BadConfig(f"{source}: no setting {where!r}{nearest(path[-1], known)} (known: {', '.join(known)})") from None
        reason = first["msg"].replace("Input should", "it should")
        raise BadConfig(f"{source}: {where} = {first['input']!r}: {reason}") from None


def _known(path: list[str]) -> list[str]:
    """The keys that a section of the typed tree has."""
    model: Any = Config
    for key in path:
        model = model.model_fields[key].annotation
    return list(model.model_fields)


def parts_of(config: Config) -> list[tuple[str, str, str]]:
    """(section, kind, name) of every component that a configuration names."""
    single = [
        ("gen", "generator", config.gen.name),
        ("disc", "discriminator", config.disc.name),
        ("loss", "loss", config.loss.name),
        ("optim.gen", "optimizer", config.optim.gen.name),
        ("optim.disc", "optimizer", config.optim.disc.name),
    ]
    many = [(f"{family}.{name}", kind, name) for family, kind in FAMILIES.items() for name in getattr(config, family)]
    return single + many
