"""The generator file: weights with a header that says how to build the net and what it is."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..components.kinds import ROLES
from ..config.schedules import at_moment
from ..contracts import Column, Spec
from ..contracts.game import Nets
from ..errors import BadFile, one_line, plain_line, printable, shown
from ..io.checkpoints import tensors_of
from ..io.files import tensor_bytes, write_bytes
from ..io.transfer import Transfer
from ..io.untrusted_files import open_regular, parse_json
from ..measure import Score, differs

if TYPE_CHECKING:
    from ..assembly.pipeline import Pipeline

FORMAT = 2  # 1 had no sum of its header; no release wrote it
READING = 3  # of a generator that reads what is given, which older versions cannot draw from
MEANING = 4  # of one whose samples are videos, tokens, rows of a table or maps, likewise
ENCODING = 5  # of an encoder, which older versions do not know
FORMATS = (FORMAT, READING, MEANING, ENCODING)
SELDOM = (
    "given",
    "conditions",
    "measured",
    "alphabet",
    "columns",
    "unbounded",
    "kind",
)  # left out where empty
HEADER_LIMIT = 1 << 20  # bytes; a generator's header is a few kilobytes
MOST = 64  # things that a generator reads, or conditions
SCORES = 64  # that a file keeps
SYMBOLS = 4096  # of an alphabet
COLUMNS = 1024  # of a table
VALUES = 4096  # of all its categories together
LARGEST = 1 << 26  # numbers in one sample: 4096x4096 in four channels
BLOCK = 1 << 20  # bytes that are summed at once
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}  # what generators are made of, by safetensors' names

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+!-]{0,100}$")]
Text = Annotated[str, Field(max_length=1000), AfterValidator(plain_line)]
Written = Annotated[str, Field(max_length=200), AfterValidator(printable)]  # spaces stay
Size = Annotated[int, Field(ge=1, le=LARGEST)]
Shape = Annotated[list[Size], Field(min_length=1, max_length=4)]


class Made(BaseModel):
    """A condition that a generator was trained under."""

    model_config = ConfigDict(extra="forbid")
    component: Name
    plugin: Name
    distribution: Name
    options: dict[str, Any]


class Meant(BaseModel):
    """A column of the table that a generator draws."""

    model_config = ConfigDict(extra="forbid")
    name: Written
    values: list[Written] = Field(max_length=VALUES)
    offset: FiniteFloat
    scale: FiniteFloat
    whole: bool

    def column(self) -> Column:
        """The same, as a spec has it."""
        return Column(self.name, tuple(self.values), self.offset, self.scale, self.whole)


class Header(BaseModel):
    """What a generator file says of itself. It can
    only name components; nothing in it is executed.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")
    format: int
    component: Name
    plugin: Name
    distribution: Name
    version: Version
    shape: Shape
    classes: int = Field(ge=0, le=1 << 24)
    class_names: list[Text] = Field(max_length=1 << 16)
    options: dict[str, Any]
    training: dict[str, Any]
    scores: dict[Text, FiniteFloat]
    # what it reads: shapes by name
    given: dict[Name, Shape] = {}
    conditions: list[Made] = []  # what makes that from samples, in order
    measured: list[Score] = Field(max_length=SCORES, default=[])  # with their protocols
    alphabet: list[Written] = Field(default=[], max_length=SYMBOLS)  # of tokens
    columns: list[Meant] = Field(default=[], max_length=COLUMNS)  # of a table
    unbounded: bool = False  # of a map
    kind: Literal["", "encoder"] = ""  # of the net, where it is no generator

    @model_validator(mode="after")
    def _consistent(self) -> Header:
        if math.prod(self.shape) > LARGEST:
            raise ValueError(f"samples of shape {self.shape} are larger than any that are drawn")
        if len(self.class_names) not in (0, self.classes):
            raise ValueError(f"{len(self.class_names)} names for {self.classes} classes")
        if self.format in FORMATS and self.format != self.least_format():
            raise ValueError(f"format {self.format} does not fit what it says")
        if any(math.prod(shape) > LARGEST for shape in self.given.values()):
            raise ValueError("what it reads is larger than any sample")
        if len(self.given) > MOST or len(self.conditions) > MOST:
            raise ValueError(f"it reads more than {MOST} things")
        if sum(len(column.values) for column in self.columns) > VALUES:
            raise ValueError(f"its categories have more than {VALUES} values")
        self.spec()  # raises ValueError where alphabet or columns do not fit the shape
        return self

    def least_format(self) -> int:
        """The oldest format that says all this."""
        if self.kind:
            return ENCODING
        video = 4 in (len(self.shape), *map(len, self.given.values()))
        if video or self.alphabet or self.columns or self.unbounded:
            return MEANING
        return READING if self.given else FORMAT

    def values(self) -> dict[str, Any]:
        """Everything that it says, without what most generators have nothing to say of."""
        found = self.model_dump()
        return {k: v for k, v in found.items() if v or k not in SELDOM}

    def spec(self) -> Spec:
        """What its net was built for."""
        given = {name: Spec(tuple(shape)) for name, shape in self.given.items()}
        columns = tuple(column.column() for column in self.columns)
        meant = tuple(self.alphabet), columns, self.unbounded
        return Spec(tuple(self.shape), self.classes, given, *meant)


def make_header(
    pipeline: Pipeline,
    images: int,
    scores: dict[str, float],
    role: str = "",
    measured: Sequence[Score] = (),
) -> Header:
    """What a pipeline's generator file says of itself; of the first generator, or of a role's, who
    may be an encoder.
    """
    config = pipeline.config
    role = role or next(iter(generators(pipeline)))
    spec = spec_of(pipeline, role)
    kind = pipeline.parts.game.roles()[role].kind
    chosen = getattr(config, ROLES[kind]).of_role(role.partition(".")[2])
    reads = getattr(pipeline.parts.nets[role], "reads", ())
    header = Header(
        format=0,  # told from the rest
        # an encoder that is not named is the generator's namesake
        **_named(pipeline, role, config.gen.name if chosen.name == "auto" else chosen.name),
        version=pipeline.versions[pipeline.owners[role].partition(":")[0]],
        shape=list(spec.shape),
        classes=pipeline.spec.classes,
        class_names=[str(c) for c in pipeline.dataset.classes] if pipeline.spec.classes else [],
        options=at_moment(chosen.options, images, config.train.images),
        training={
            "images": images,
            "config": _shareable(pipeline),
            "versions": dict(pipeline.versions),
        },
        scores={name: score for name, score in scores.items() if math.isfinite(score)},
        given={name: list(spec.given[name].shape) for name in reads},
        conditions=[_made(pipeline, name, images) for name in pipeline.parts.conditions]
        if reads
        else [],
        measured=[score.model_copy(update={"date": ""}) for score in measured],
        alphabet=list(spec.alphabet),
        columns=[Meant(**asdict(column)) for column in spec.columns],
        unbounded=spec.unbounded,
        kind="encoder" if kind == "encoder" else "",
    )
    return header.model_copy(update={"format": header.least_format()})


def _named(pipeline: Pipeline, section: str, name: str) -> dict[str, Any]:
    """Where a section's component is to be found."""
    distribution, _, plugin = pipeline.owners[section].partition(":")
    component = name.rpartition("/")[2]
    return {"component": component, "plugin": plugin, "distribution": distribution}


def _made(pipeline: Pipeline, name: str, images: int) -> Made:
    """What a header says of a condition."""
    chosen: dict[str, Any] = getattr(pipeline.config, "given")[name]  # noqa: B009  (a family)
    options = at_moment(chosen, images, pipeline.config.train.images)
    return Made(**_named(pipeline, f"given.{name}", name), options=options)


def _shareable(pipeline: Pipeline) -> dict[str, Any]:
    """The configuration without paths of this machine, for a file that is made to be given away."""
    tree = pipeline.config.tree()
    return {**tree, "data": {**tree["data"], "name": data_name(pipeline), "root": ""}}


def data_name(pipeline: Pipeline) -> str:
    """The name of a pipeline's data, without the folder that they lie in."""
    name = pipeline.config.data.name
    return name if "data" in pipeline.owners else Path(name).name


def generator_writer(
    pipeline: Pipeline,
    images: int,
    scores: dict[str, float],
    measured: Sequence[Score] = (),
    averaged: nn.Module | None = None,
) -> Callable[[Path], None]:
    """A function that writes the averaged generators and encoders, as they are now, as
    self-describing files: the first generator under the path that it is given, another with its
    role in the name, and so an encoder, as `generator.enc.safetensors`.

    averaged: another average than the pipeline's own
    """
    written = []
    drawing = generators(pipeline, averaged)
    for role, net in {**drawing, **_of_kind(pipeline, "encoder", averaged)}.items():
        told = (scores, measured) if role in drawing else ({}, ())
        header = make_header(pipeline, images, told[0], role, told[1])
        # Of a copy: the training goes on.
        written.append((role, header, Transfer(plain(net).state_dict(), pipeline.device)))

    def write(path: Path) -> None:
        for number, (role, header, transfer) in enumerate(written):
            place = path.with_stem(f"{path.stem}.{role.removeprefix('gen.')}") if number else path
            write_bytes(place, generator_bytes(header, transfer.fetch()))

    return write


def generators(pipeline: Pipeline, averaged: nn.Module | None = None) -> dict[str, nn.Module]:
    """The averaged generators by role; of another average than the pipeline's own, if given."""
    return _of_kind(pipeline, "generator", averaged)


def _of_kind(pipeline: Pipeline, kind: str, averaged: nn.Module | None) -> dict[str, nn.Module]:
    """The averaged nets of a kind that the generator's player has, by role."""
    averaged = pipeline.average.net if averaged is None else averaged
    nets = averaged.by_role() if isinstance(averaged, Nets) else {"gen": averaged}
    roles = pipeline.parts.game.roles()
    return {role: net for role, net in nets.items() if roles[role].kind == kind}


def spec_of(pipeline: Pipeline, role: str) -> Spec:
    """What a role's generator draws, and what it may read, or what its encoder reads."""
    spec = pipeline.parts.game.roles()[role].spec
    assert isinstance(spec, Spec)  # theirs do not hang on other nets
    return spec


def generator_bytes(header: Header, weights: Mapping[str, Tensor]) -> bytes:
    """A generator file: the same bytes for the same header and weights."""
    # Sorted: options and plugins stand in another order in a configuration that was read again.
    values = json.loads(header.model_dump_json())
    values = {name: values[name] for name in header.values()}
    written = json.dumps(values, sort_keys=True, separators=(",", ":"))
    about = {"ganzoo": written, "sha256": sum_of(header, weights)}
    return tensor_bytes(weights, about)


def add_scores(path: Path, scores: Sequence[Score]) -> None:
    """Write scores into the header of a generator file, in the place of those of the same metrics
    under the same protocols; the oldest beyond a limit go.

    Raises BadFile where the file is not whole; then, and where it cannot be written, it stays.
    """
    header = read_header(path)
    weights = read_weights(path, header)
    kept = [old for old in header.measured if not any(_replaces(new, old) for new in scores)]
    measured = [*kept, *scores][-SCORES:]
    write_bytes(path, generator_bytes(header.model_copy(update={"measured": measured}), weights))


def _replaces(new: Score, old: Score) -> bool:
    return new.metric == old.metric and not differs(new.protocol, old.protocol)


def sum_of(header: Header, weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over what the header means, however it is written,
    and names, types, shapes and numbers of tensors by name.
    """
    found = _meaning(header)
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(_heading(name, tensor.dtype, tuple(tensor.shape)))
        found.update(tensor.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _meaning(header: Header) -> hashlib._Hash:
    """The sum of a header alone: its values as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(header.values(), sort_keys=True).encode())


def _heading(name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> bytes:
    """What goes into the sum before a tensor's numbers."""
    return f" {json.dumps(name)} {dtype} {list(shape)} ".encode()


def check_sum(path: Path, header: Header) -> None:
    """Raises BadFile unless header and tensors of a generator
    file are those that were written; reads a block at a time.
    """
    fields = _fields(path)
    about = fields.pop("__metadata__")
    listed = read_listed(path)
    found = _meaning(header)
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            start = 8 + struct.unpack("<Q", file.read(8))[0]
            for name in sorted(listed):
                dtype, shape = listed[name]
                found.update(_heading(name, dtype, shape))
                file.seek(start + _offset(fields[name]))
                left = math.prod(shape) * dtype.itemsize
                while left > 0 and (block := file.read(min(left, BLOCK))):
                    found.update(block)
                    left -= len(block)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or one_line(error)}") from None
    if about.get("sha256") != found.hexdigest():
        raise BadFile(f"{path}: damaged (the sum of its header and weights does not match)")


def _offset(field: Mapping[str, Any]) -> int:
    """Where a tensor's bytes begin; what safetensors itself
    would refuse is taken for 0, and gives another sum.
    """
    offsets = field.get("data_offsets")
    first = offsets[0] if isinstance(offsets, list) and offsets else 0
    return min(max(first, 0), 2**62) if type(first) is int else 0


def plain(net: nn.Module) -> nn.Module:
    """A copy whose parametrized weights (spectral
    norm) are plain ones of the value that they have.
    """
    net = copy.deepcopy(net)
    for module in list(net.modules()):
        if parametrize.is_parametrized(module):
            # Not by remove_parametrizations: it takes the weight from
            # the class, which the copy shares with the net in training.
            names: list[str] = list(module.parametrizations)  # type: ignore[arg-type]
            values = {name: getattr(module, name).detach().clone() for name in names}
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            for name, value in values.items():
                setattr(module, name, nn.Parameter(value))
    return net


def _fields(path: Path) -> dict[str, Any]:
    """The fields of a safetensors header, its size
    checked before anything is read; raises BadFile.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            start = file.read(8)
            size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= size <= HEADER_LIMIT:
                raise BadFile(f"{path}: no generator file (a safetensors header of {size:,} bytes)")
            fields = parse_json(file.read(size))
        if not isinstance(fields, dict):
            raise ValueError("no table")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or one_line(error)}") from None
    except ValueError as error:
        raise BadFile(
            f"{path}: no generator file (its header cannot be read: {one_line(error)})"
        ) from None
    return fields


def _right_file(path: Path) -> str:
    """What to open instead of a checkpoint's weights, which do not say how to build their net."""
    run = path.absolute().parent.parent.parent
    inside_one = path.absolute().parent.parent.name == "checkpoints"
    file = run / "generator.safetensors"
    return f"it is a checkpoint's; the run's generator is {file}" if inside_one else ""


def read_header(path: Path) -> Header:
    """The header of a generator file; raises BadFile when
    it is none, damaged, or not as the schema wants it.
    """
    metadata = _fields(path).get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("ganzoo"), str):
        raise BadFile(
            f"{path}: safetensors, but not a ganzoo generator (no ganzoo header)",
            remedy=_right_file(path),
        )
    try:
        header = Header.model_validate(parse_json(metadata["ganzoo"].encode()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "header"
        raise BadFile(f"{path}: bad header: {shown(where)}: {first['msg']}") from None
    except ValueError as error:
        raise BadFile(f"{path}: bad header: {one_line(error)}") from None
    if header.format not in FORMATS:
        known = f"{min(FORMATS)} to {max(FORMATS)}"
        raise BadFile(
            f"{path}: generator format {header.format}; this ganzoo reads {known}",
            remedy="a run writes its own anew when it is resumed to more images"
            if header.format < FORMAT
            else "a newer ganzoo reads it",
        )
    return header


def read_listed(path: Path) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Types and shapes of a generator file's tensors,
    which account for every byte of it; raises BadFile.
    """
    listed = {}
    total = 0
    for name, field in _fields(path).items():
        if name == "__metadata__":
            continue
        dtype, shape = (
            (field.get("dtype"), field.get("shape")) if isinstance(field, dict) else (None, None)
        )
        if not isinstance(dtype, str) or dtype not in TYPES:
            raise BadFile(
                f"{path}: tensor {shown(name)} is of a type that no generator has: {shown(dtype)}"
            )
        if (
            not isinstance(shape, list)
            or len(shape) > 16
            or any(type(n) is not int or not 0 <= n < 2**40 for n in shape)
        ):
            raise BadFile(f"{path}: tensor {shown(name)} has no shape")
        listed[name] = TYPES[dtype], tuple(shape)
        total += math.prod(shape) * TYPES[dtype].itemsize
    with path.open("rb") as file:
        expected = total + 8 + struct.unpack("<Q", file.read(8))[0]
    if path.stat().st_size != expected:
        raise BadFile(
            f"{path}: damaged or cut short: {path.stat().st_size:,} bytes, and its tensors make "
            f"{expected:,}"
        )
    return listed


def read_weights(path: Path, header: Header) -> dict[str, Tensor]:
    """The tensors of a generator file; raises BadFile when
    they, or its header, are not those that were written.
    """
    check_sum(path, header)
    try:
        return tensors_of(path.read_bytes(), path)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or one_line(error)}") from None
