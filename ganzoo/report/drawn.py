"""The pictures of a page: what a run drew while it trained, and what its generator draws now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..components.isolation import contained
from ..components.registry import Registry
from ..contracts import Dataset
from ..errors import BadRun, GanzooError, one_line
from ..evaluation import open_data
from ..generate.images import grid
from ..generate.sampling import LoadedGenerator
from ..io.activity import doing
from ..library import load
from ..runs import compare
from ..runs.listing import Run
from ..training import resume
from .encoding import encoded

PICTURES = 2_700_000  # bytes of all pictures of a page
MOMENTS, REST = 0.6, 0.12  # of a run's part: all moments of its samples, and each other picture
FRAME = 15_000  # bytes that one moment has at least, as long as there are more than FEWEST
FEWEST, MOST = 5, 24  # moments
CORNERS, BETWEEN = 4, 8  # samples that an interpolation passes, and pictures from one to the next
PAIRS, COLUMNS = 12, 4  # generated samples whose neighbours are looked for, and how they lie
READ = 100_000  # training samples that are looked through
NUMBERS = 1 << 24  # of training samples that are held at once
SIDE = 32  # pixels of a side that pictures are compared at
SEED = 0
EXACT = "donot_use_mm_for_euclid_dist"  # a copy is at 0
NAMES = ("moments", "real", "walk", "neighbours")  # that may be missing


@dataclass
class Drawn:
    """Pictures of a run as data addresses, "" where there is none and `why` says so in a sentence.

    moments: (images, picture) of its samples over time. real: real samples. walk: interpolation.
    neighbours: pairs of a generated sample and the nearest training sample; distances: medians, of
    the pairs, and of training samples to the nearest other; among: training samples looked through
    """

    moments: list[tuple[int, str]] = field(default_factory=list)
    real: str = ""
    walk: str = ""
    neighbours: str = ""
    distances: tuple[float, float] = (0.0, 0.0)
    among: int = 0
    why: dict[str, str] = field(default_factory=lambda: dict.fromkeys(NAMES, ""))


def of_run(run: Run, registry: Registry, runs: int = 1) -> Drawn:
    """All pictures of one of so many runs; what cannot be had has a sentence in its place."""
    room = PICTURES // runs
    found = Drawn()
    limit = int(REST * room)
    doing("reading pictures")
    with _said(found, "moments"):
        found.moments = _moments(run, room)
    with _said(found, "real"):
        found.real = encoded(compare.picture(run.folder / "real.png", run.folder), limit)
    with _said(found, "walk", "neighbours"):
        generator = _generator(run, registry)
        doing("drawing the interpolation")
        found.walk = encoded(grid(generator.walk(CORNERS, BETWEEN, SEED), BETWEEN), limit)
        _draw_neighbours(found, run, generator, registry, limit)
    return found


@contextlib.contextmanager
def _said(found: Drawn, *names: str) -> Iterator[None]:
    """What goes wrong is said in the place of the pictures that are missing then, whatever a part
    or a codec raises: the rest of the page is worth having.
    """
    try:
        with contained():
            yield
    except Exception as error:
        found.why |= {name: one_line(error) for name in names if not getattr(found, name)}


def _moments(run: Run, room: int) -> list[tuple[int, str]]:
    """Evenly chosen moments, the first and the last among them."""
    counts = sorted(compare.drawn(run))
    most = min(max(int(MOMENTS * room) // FRAME, FEWEST), MOST, len(counts))
    steps = [round(i * (len(counts) - 1) / max(most - 1, 1)) for i in range(most)]
    limit = int(MOMENTS * room) // most
    folder = run.folder / "samples"
    return [
        (images, encoded(compare.picture(folder / f"{images:09d}.png", run.folder), limit))
        for images in (counts[i] for i in dict.fromkeys(steps))
    ]


def _generator(run: Run, registry: Registry) -> LoadedGenerator:
    """The averaged generator; raises GanzooError where none draws images of noise alone."""
    doing("opening the generator")
    generator = load(run.folder, registry)
    if generator.spec.modality != "image":
        raise GanzooError(f"samples are {generator.spec.modality}, and no pictures")
    if generator.spec.given:
        raise GanzooError("the generator reads more than noise, so there is nothing to draw alone")
    return generator


def _draw_neighbours(
    found: Drawn, run: Run, generator: LoadedGenerator, registry: Registry, limit: int
) -> None:
    doing("opening the training data")
    data = training_data(run.folder, registry)
    if tuple(data.spec.shape) != tuple(generator.spec.shape):
        raise GanzooError("the training samples are no such pictures")
    doing("looking for the nearest training samples")
    made = generator.sample(PAIRS, SEED).cpu().float()
    near = nearest(made, data)
    pairs = torch.cat([made, data.batch(near.indices)[0].float()], 3)
    found.neighbours = encoded(grid(pairs, COLUMNS), limit)
    found.distances, found.among = near.distances, near.among


# The nearest training samples.


def training_data(folder: Path, registry: Registry) -> Dataset:
    """The data that a run was trained on; raises BadRun where what is at hand are others, or the
    run does not say which they were.
    """
    opened = resume.open_run(folder)
    before = (opened.manifest or {}).get("data")
    if not isinstance(before, dict):
        raise BadRun("the run has no checkpoint that says which data it was trained on")
    data, _ = open_data(opened.config, registry)
    what = resume.difference(before, data.fingerprint())
    if what:
        raise BadRun(f"the data at hand are not those of the training: {what}")
    return data


@dataclass
class Near:
    """indices: of the nearest training sample of each; distances and among: as Drawn has them."""

    indices: Tensor
    distances: tuple[float, float]
    among: int


def nearest(samples: Tensor, data: Dataset) -> Near:
    """The nearest training samples of samples [n, c, h, w] in [-1, 1], by the root mean square of
    the difference of their pixels, at 32 pixels a side at most.
    """
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(data), generator=generator)[:READ].sort().values
    known = order[torch.randperm(len(order), generator=generator)[: len(samples)]]
    asked = torch.cat([_pixels(samples), _pixels(data.batch(known)[0])])
    own = torch.cat([torch.full((len(samples),), -1), known])
    best = torch.full((len(asked),), torch.inf)
    where = torch.zeros(len(asked), dtype=torch.long)
    for block in order.split(max(NUMBERS // data.spec.numel, 1)):
        read = _pixels(data.batch(block)[0])
        gaps = torch.cdist(asked, read, compute_mode=EXACT) / asked.shape[1] ** 0.5
        gaps[own[:, None] == block] = torch.inf
        least, place = gaps.min(1)
        where = torch.where(least < best, block[place], where)
        best = torch.minimum(best, least)
    count = len(samples)
    halves = float(best[:count].median()), float(best[count:].median())
    return Near(where[:count], halves, len(order))


def _pixels(samples: Tensor) -> Tensor:
    """Pictures [n, c, h, w] as vectors [n, d]."""
    samples = samples.float()
    height, width = (min(side, SIDE) for side in samples.shape[2:])
    return adaptive_avg_pool2d(samples, (height, width)).flatten(1)
