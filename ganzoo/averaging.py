"""Averages of a run's generators and encoders whose length is chosen after the training (Karras et
al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .components.registry import Registry
from .engine.power_average import LEAST, LENGTHS, MOST, Moment, combination, exponent
from .errors import BadFile, BadOption, BadRun
from .generate import generator_file
from .generate.generator_file import Header
from .io import untrusted_folder as inside
from .io.files import write_bytes
from .library import load, load_encoder
from .training import resume
from .training.average_files import Snapshot, snapshots

TIMES = 500  # of snapshots that are combined: more say nothing more
SAME = ("component", "plugin", "distribution", "shape", "classes", "given", "alphabet", "columns")


class Averaged(NamedTuple):
    """An average of one generator, or of an encoder.

    role: of a further generator of a game with several, or of its encoder, else nothing
    misfit: how far its profile is from the one that was asked for, as a share
    """

    role: str
    header: Header
    weights: Mapping[str, Tensor]
    misfit: float
    snapshots: int


def average(
    run: Path, length: float, at: int | None = None, registry: Registry | None = None
) -> list[Averaged]:
    """The generators and encoders of a run, averaged over that length up to a moment.

    length: standard deviation of the profile, as a share of the images up to then: 0.01 to 0.25
    at: after how many images, at which there must be snapshots; the last ones by default

    Raises BadRun where there are none, BadOption for lengths and moments that cannot be had.
    """
    if not resume.is_run(run):
        raise BadRun(f"{run}: no run there")
    if not LEAST <= length <= MOST:
        message = f"give a share of the training from {LEAST} to {MOST}"
        raise BadOption(message, key="length", value=length)
    found = snapshots(run)
    if not found:
        raise BadRun(
            f"{run}: has no snapshots to average",
            remedy="a training keeps them with",
            change={"average.snapshots": "20k"},
        )
    end = _moment(found, at)
    made = []
    for role in dict.fromkeys(each.role for each in found if each.images == end):
        own = [each for each in found if each.role == role and each.images <= end]
        made.append(_combined(run, role, _last(own), length, registry))
    return made


def _moment(found: Sequence[Snapshot], at: int | None) -> int:
    """The images of the snapshots up to which is averaged."""
    times = sorted({each.images for each in found})
    if at is None:
        return times[-1]
    if at not in times:
        near = min(times, key=lambda each: abs(each - at))
        message = f"there are no snapshots of that moment; the nearest are after {near:,} images"
        raise BadOption(message, key="at", value=at)
    return at


def _last(own: Sequence[Snapshot]) -> list[Snapshot]:
    """At most so many times, evenly over all, with the last one; of each both lengths."""
    times = sorted({each.images for each in own})
    chosen = {times[-1 - len(times) * k // TIMES] for k in range(TIMES)}
    return [each for each in own if each.images in (chosen if len(times) > TIMES else times)]


def _combined(
    run: Path, role: str, own: Sequence[Snapshot], length: float, registry: Registry | None
) -> Averaged:
    """The sum of snapshots that comes nearest to the average."""
    end = own[-1].images
    moments = [Moment(each.images, exponent(LENGTHS[each.length])) for each in own]
    factors, misfit = combination(moments, Moment(end, exponent(length)))
    last = inside.way(own[-1].path, run)
    header = generator_file.read_header(last)
    # Counts the net before it is built, and holds the file to it.
    (load_encoder if header.kind else load)(last, registry)
    total: dict[str, Tensor] = {}
    for snapshot, factor in zip(own, factors, strict=True):
        path = inside.way(snapshot.path, run)
        _check_same(path, header, last)
        weights = generator_file.read_weights(path, generator_file.read_header(path))
        for name, value in weights.items():
            if value.is_floating_point():
                share = value.double() * factor
                total[name] = total[name].add_(share) if name in total else share
    final = generator_file.read_weights(last, header)
    types = {name: value.dtype for name, value in final.items()}
    whole = final | {name: value.to(types[name]) for name, value in total.items()}
    for name, value in whole.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BadFile(f"{last.parent}: the average of {name} is not finite")
    training = {**header.training, "average": {"length": length}}
    return Averaged(role, header.model_copy(update={"training": training}), whole, misfit, len(own))


def _check_same(path: Path, header: Header, last: Path) -> None:
    """Raises BadFile for a snapshot of another net than the last one's."""
    other = generator_file.read_header(path)
    same = all(getattr(other, name) == getattr(header, name) for name in SAME)
    if not same or generator_file.read_listed(path) != generator_file.read_listed(last):
        raise BadFile(f"{path}: of another net than {last.name}", remedy="move it away")


def write(out: Path, made: Sequence[Averaged]) -> list[Path]:
    """Write averages as generator files, those of further generators and encoders with their role
    in the name.
    """
    written = []
    for each in made:
        place = out.with_stem(f"{out.stem}.{each.role}") if each.role else out
        write_bytes(place, generator_file.generator_bytes(each.header, each.weights))
        written.append(place)
    return written
