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

from .errors import BadConfig, nearest, one_line, shown
from .files import depth, read_limited

Tree = dict[str, Any]
CHOICES = ("gen", "disc", "loss", "data")  # sections with one name
FAMILIES = {
    "reg": "regularizer",
    "aug": "augmentation",
    "metric": "metric",
    "tracker": "tracker",
}  # sections of many names
SIZE = 1 << 17  # bytes; a run file has two thousand
DOTS = 300  # in one line: tomllib's time and memory grow with the square of a key's parts
UNION = ("constrained-str", "int", "str", "bool", "literal['auto']", "literal['auto',1,3,4]")
DEPTH = 16  # of tables within tables


def parse_count(value: Any) -> Any:
    """`"200k"` and `"1.5M"` as integers; anything else unchanged, for the type check to judge."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([kKmM]?)\s*", value)):
        scaled = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6}[match[2].lower()]
        return int(scaled) if scaled == int(scaled) else value
    return value


Count = Annotated[int, Field(ge=0, le=10**15), BeforeValidator(parse_count)]  # bounds that nobody meets by intention:
PositiveCount = Annotated[int, Field(ge=1, le=10**15), BeforeValidator(parse_count)]  # a file may hold any number
Number = Annotated[int, Field(ge=1, le=2**31)]
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
    batch_size: Number
    n_critic: Number
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    device: str
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    engine: Literal["auto", "eager", "compiled", "captured"]
    conditional: Literal["auto"] | bool
    on_nan: Literal["stop", "rollback"]


class Average(Section):
    half_life: Count


class Samples(Section):
    images: PositiveCount
    count: Annotated[int, Field(ge=1, le=4096)]


class Checkpoint(Section):
    images: Count
    minutes: NonNegativeFloat
    keep: Number


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
    """A run file's tree; raises BadConfig naming the flag when it is missing, no TOML, or larger than any run file is."""
    try:
        content = read_limited(path, SIZE)
        if max(line.count(b".") for line in content.split(b"\n")) > DOTS:
            raise BadConfig(f"{flag} {path}: a line with more than {DOTS} dots, which no run file has")
        tree = tomllib.loads(content.decode())
    except OSError as error:
        raise BadConfig(f"{flag} {path}: {error.strerror or one_line(error)}") from None
    except (ValueError, RecursionError) as error:  # an integer may be too long, which tomllib does not call its own error
        raise BadConfig(f"{flag} {path}: no TOML: {one_line(error)}") from None
    if depth(tree) > DEPTH:
        raise BadConfig(f"{flag} {path}: tables nested deeper than {DEPTH}, which no run file has")
    return tree


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
        tree = tree.get(key, {}) if isinstance(tree, dict) else {}
    return tree if isinstance(tree, dict) else {}


def setting(text: str) -> tuple[list[str], Any]:
    """`--set gen.width=64` as a path and a value; the value is read as TOML, else as text."""
    path, equals, value = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys) or len(keys) < 2:
        raise BadConfig(f"--set {text}: write SECTION.KEY=VALUE, for instance --set gen.width=64")
    try:
        return keys, tomllib.loads(f"v = {value}")["v"]
    except (ValueError, RecursionError):
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
            if not isinstance(chosen, dict) or keys[1] not in chosen:
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
        # Beyond section and key, pydantic names the branch of a union that it tried.
        path = [str(part) for i, part in enumerate(first["loc"]) if i < 2 or part not in UNION]
        where = ".".join(path)
        if first["type"] == "extra_forbidden":
            known = _known(path[:-1])
            raise BadConfig(f"{source}: no setting {shown(where)}{nearest(path[-1], known)} (known: {', '.join(known)})") from None
        reason = first["msg"].replace("Input should", "it should")
        raise BadConfig(f"{source}: {where} = {shown(first['input'])}: {reason}") from None


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
