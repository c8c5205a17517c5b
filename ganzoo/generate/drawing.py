"""What a run shows of its generators: samples, and beside them what they were given."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..contracts import Condition, Spec, Update
from ..engine.randomness import derive, forked, reseed
from .generator_file import generators, spec_of
from .sampling import sample

if TYPE_CHECKING:
    from ..assembly.pipeline import Pipeline


@dataclass
class Drawn:
    """What the generator of a role drew of some of the data.

    given: what it read; real: the samples that it was drawn from, where they are its answers
    """

    samples: Tensor
    given: Mapping[str, Tensor]
    real: Tensor | None


def indices_of(length: int, count: int, seed: int) -> Tensor:
    """Which of the data are shown, sorted; all of them, again and again, where there are fewer."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(length, generator=generator)[:count].sort().values
    return chosen.repeat(-(-count // len(chosen)))[:count]


def draw(pipeline: Pipeline, role: str, indices: Tensor, seed: int) -> Drawn:
    """Samples of an averaged generator, of what belongs to the data at these indices if it reads
    any; the same seed gives the same.
    """
    spec = spec_of(pipeline, role)
    net = generators(pipeline)[role]
    if not getattr(net, "reads", ()):
        return Drawn(sample(net, len(indices), seed, spec=spec), {}, None)
    dataset, parts = pipeline.dataset, pipeline.parts
    batch = dataset.gather(indices)
    others = dict(batch.given)
    for name, other in dataset.others.items():
        chosen = indices_of(other.at_hand, len(indices), derive(seed, name))
        others[name] = other.gather(chosen).samples
    batch = batch._replace(labels=None, given=others)
    with forked(pipeline.device), torch.no_grad():
        reseed(seed)
        nets = {**parts.nets, **generators(pipeline)}
        conditions = [*parts.conditions.values()]
        latents = torch.zeros(len(indices), 0)
        update = Update("generator", nets, batch, latents, conditions=_on_host(conditions))
        given = dict(parts.game.given_to(role, update))
    samples = sample(net, len(indices), seed, spec=spec, given=given)
    return Drawn(samples, given, update.samples if parts.game.paired else None)


def _on_host(conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions where the data are; they have no weights that a training moves."""
    return [copy.deepcopy(condition).cpu() for condition in conditions]


def tiles(pipeline: Pipeline, count: int, seed: int, real_seed: int) -> Tensor:
    """What a picture of a run shows: samples, or, where pictures are given, these, samples and, if
    there is one, the right answer side by side, [n, c, h, columns w].
    """
    indices = indices_of(pipeline.dataset.at_hand, count, real_seed)
    shown: list[Tensor] = []
    for role in generators(pipeline):
        drawn = draw(pipeline, role, indices, seed)
        if "image" not in drawn.given:
            return drawn.samples
        shown += [drawn.given["image"], drawn.samples]
        shown += [] if drawn.real is None else [drawn.real]
    return side_by_side(shown)


def side_by_side(pictures: Sequence[Tensor]) -> Tensor:
    """Pictures [n, c, h, w] of any sizes and channels in one row each, in the largest size."""
    height, width = (max(each.shape[side] for each in pictures) for side in (2, 3))
    counts = {each.shape[1] for each in pictures}
    channels = max(counts)
    if len(counts) > 1 and channels != 4:
        channels = 3  # two channels, or more than four, are no colour
    return torch.cat([_fitted(each.cpu().float(), channels, height, width) for each in pictures], 3)


def _fitted(pictures: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Pictures enlarged without smoothing, grey as colour and opaque where others are not."""
    if pictures.shape[2:] != (height, width):
        pictures = interpolate(pictures, size=(height, width))
    have = pictures.shape[1]
    if have == channels:
        return pictures
    colour = pictures[:, :1].expand(-1, 3, -1, -1) if have < 3 else pictures[:, :3]
    opaque = torch.ones_like(pictures[:, :1])
    return torch.cat([colour, opaque], 1) if channels == 4 else colour


def tile_spec(pipeline: Pipeline, tile: Tensor) -> Spec:
    """The spec of what is shown, for whoever draws it."""
    spec = pipeline.spec
    return spec if tuple(tile.shape[1:]) == spec.shape else Spec(tuple(tile.shape[1:]))
