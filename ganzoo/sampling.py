"""Drawing samples, and the generator file: weights with a header that says how to build the net and what it is."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .contracts import Spec
from .drawing import write_picture
from .errors import BadFile, UsageError
from .files import tensor_bytes, write_bytes

if TYPE_CHECKING:
    from .pipeline import Pipeline

FORMAT = 1
HEADER_LIMIT = 1 << 20  # bytes; a generator's header is a few kilobytes
CHUNK = 256  # samples drawn at once
__all__ = ["Header", "LoadedGenerator", "generator_writer", "read_header", "read_weights", "sample", "write_picture"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Header(BaseModel):
    """What a generator file says of itself. It can only name components; nothing in it is executed."""

    model_config = ConfigDict(extra="forbid")
    format: int
    component: Name
    plugin: Name
    distribution: Name
    version: str = Field(max_length=100)
    shape: list[Annotated[int, Field(ge=1, le=1 << 24)]] = Field(min_length=1, max_length=3)
    classes: int = Field(ge=0, le=1 << 24)
    class_names: list[str] = Field(max_length=1 << 16)
    options: dict[str, Any]
    training: dict[str, Any]
    scores: dict[str, float]


@torch.no_grad()
def sample(net: nn.Module, count: int, seed: int, *, spec: Spec, label: int | None = None) -> Tensor:
    """Samples [count, *shape] of a net in evaluation mode; the same seed gives the same latents on every device.

    Labels, for a conditional net: the given one, or every class in turn.
    """
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    latents = net.draw_latents(count, torch.Generator().manual_seed(seed))  # type: ignore[operator]
    labels = None
    if getattr(net, "conditional", False):
        labels = torch.arange(count) % spec.classes if label is None else torch.full((count,), label)
    was_training = net.training
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):  # a net that draws noise must not disturb, nor depend on, the training's stream
        torch.manual_seed(seed)
        net.eval()
        drawn = [
            net(latents[i : i + CHUNK].to(device), None if labels is None else labels[i : i + CHUNK].to(device)).float()
            for i in range(0, count, CHUNK)
        ]
        net.train(was_training)
    return torch.cat(drawn)


def make_header(pipeline: Pipeline, images: int, scores: dict[str, float]) -> Header:
    """What a pipeline's generator file says of itself."""
    config = pipeline.config
    distribution, _, plugin = pipeline.owners["gen"].partition(":")
    return Header(
        format=FORMAT,
        component=config.gen.name.rpartition("/")[2],
        plugin=plugin,
        distribution=distribution,
        version=pipeline.versions[distribution],
        shape=list(pipeline.spec.shape),
        classes=pipeline.spec.classes,
        class_names=[str(c) for c in pipeline.dataset.classes] if pipeline.spec.classes else [],
        options=config.gen.options,
        training={
            "images": images,
            "data": config.data.name,
            "config": config.tree(),
            "versions": dict(pipeline.versions),
        },
        scores=scores,
    )


def generator_writer(pipeline: Pipeline, images: int, scores: dict[str, float]) -> Callable[[Path], None]:
    """A function that writes the averaged generator, as it is now, as a self-describing file."""
    header = make_header(pipeline, images, scores).model_dump_json()
    weights = plain(pipeline.average.net).state_dict()  # of a copy: the training goes on
    return lambda path: write_bytes(path, tensor_bytes(weights, {"ganzoo": header}))


def plain(net: nn.Module) -> nn.Module:
    """A copy whose parametrized weights (spectral norm) are plain ones of the value that they have."""
    net = copy.deepcopy(net)
    for module in net.modules():
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return net


def read_header(path: Path) -> Header:
    """The header of a generator file, its size checked before anything is read; raises BadFile."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= size <= HEADER_LIMIT:
                raise BadFile(f"{path}: no generator file (a safetensors header of {size:,} bytes)")
            text = file.read(size)
        metadata = json.loads(text.decode()).get("__metadata__")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("ganzoo"), str):
            raise BadFile(f"{path}: safetensors, but not a ganzoo generator (no ganzoo header)")
        header = Header.model_validate_json(metadata["ganzoo"])
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise BadFile(f"{path}: bad header: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, AttributeError, RecursionError):
        raise BadFile(f"{path}: no generator file (its header cannot be read)") from None
    if header.format != FORMAT:
        raise BadFile(f"{path}: generator format {header.format}; this ganzoo reads {FORMAT}")
    return header


class LoadedGenerator:
    """A generator from a file, ready to draw samples."""

    def __init__(self, net: nn.Module, header: Header) -> None:
        self.net, self.header = net, header
        self.spec = Spec(tuple(header.shape), header.classes)

    def sample(self, count: int, seed: int = 0, label: int | None = None) -> Tensor:
        """Samples [count, *shape], images in [-1, 1]; the same count and seed give the same samples."""
        if count < 1:
            raise UsageError(f"--count {count}: at least 1")
        if label is not None and not (getattr(self.net, "conditional", False) and 0 <= label < self.spec.classes):
            has = f"has classes 0 to {self.spec.classes - 1}" if self.spec.classes else "was trained without labels"
            raise UsageError(f"--label {label}: this generator {has}")
        return sample(self.net, count, seed, spec=self.spec, label=label)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a generator file; raises BadFile when it is damaged."""
    try:
        return load_tensors(path.read_bytes())
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, ValueError) as error:
        raise BadFile(f"{path}: damaged or cut short: {error}") from None
