"""The ladder: short trainings on harder and harder data, each held to a band that was measured.

A rung is a recipe with a table `rung`. Its data, metric and length are the rung's, whatever is
tried; the rest is what is tried, but for what the rung fixes too, and for nets that draw no such
samples: then the rung's are taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from . import config as configuration
from .assembly import memory
from .assembly.assembling import assemble
from .assembly.builder import Assembly, open_split
from .components.kinds import SINGLE
from .components.options import reason
from .components.registry import Component, Registry
from .config.tree import Config, Tree
from .engine.randomness import forked
from .errors import (
    BadData,
    BrokenPlugin,
    DeviceError,
    GanzooError,
    Incompatible,
    UsageError,
    nearest,
)
from .training import rollback as recovery
from .training.loop import Training
from .training.meters import NotFinite

RUN = ("data", "train.images", "measure", "samples", "checkpoint", "log")  # fixed by every rung
NETS = ("gen", "disc")
PASSED, MISSED, FAILED = "passed", "not passed", "failed"
NO_BAND, UNFIT = "no band measured", "does not apply"


class Band(BaseModel):
    """What the rung's own settings reached, measured by `python -m benchmarks.ladder`.

    values: the figure by seed
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    values: tuple[FiniteFloat, ...] = Field(min_length=5)
    seeds: tuple[int, ...]
    machine: str
    date: str
    versions: str

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest."""
        return min(self.values), max(self.values)


class Rung(BaseModel):
    """The table `rung` of a recipe.

    step: its place on the ladder, from below
    quick: whether it takes less than a minute on a CPU, and so is climbed unless others are named
    figure: METRIC.FIGURE of its metric
    fixes: sections and settings that are the rung's, beside those that are so for every rung
    band: what its own settings reach, if that was measured
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(min_length=1)]
    step: int
    quick: bool = False
    figure: Annotated[str, Field(pattern=r"^[^.]+\.[^.]+$")]
    fixes: tuple[str, ...] = ()
    band: Band | None = None


@dataclass(frozen=True)
class Placed:
    """A rung with the recipe that it stands in."""

    rung: Rung
    recipe: Component

    @property
    def settings(self) -> Tree:
        """What its own settings are."""
        return configuration.settings(self.recipe.recipe())


@dataclass
class Climb:
    """What came of one rung.

    value, larger: the mean of `values` over the seeds, and whether a larger one is better
    why: in words, where it was not climbed to the end
    notes: what was taken in place of what is tried
    """

    rung: Rung
    verdict: str = ""
    values: list[float] = field(default_factory=list)
    larger: bool = False
    seconds: float = 0.0
    why: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def value(self) -> float | None:
        """The mean over the seeds."""
        return sum(self.values) / len(self.values) if self.values else None


def rung_of(recipe: Component) -> Rung | None:
    """The rung that a recipe is, if any; raises BrokenPlugin for a table that is none."""
    table = recipe.recipe().get("rung")
    if table is None:
        return None
    try:
        return Rung.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["rung", *map(str, first["loc"])])
        raise BrokenPlugin(f"{recipe}: {where}: {reason(first, where)}") from None


def rungs(registry: Registry) -> list[Placed]:
    """All rungs that are installed, from the lowest; those of broken recipes are left out."""
    found = []
    for recipe in registry.components("recipe"):
        with contextlib.suppress(GanzooError):
            rung = rung_of(recipe)
            found += [] if rung is None else [Placed(rung, recipe)]
    return sorted(found, key=lambda each: (each.rung.step, each.rung.name))


def chosen(registry: Registry, names: Sequence[str]) -> list[Placed]:
    """The rungs of these names, from the lowest; without names, the quick ones.

    Raises UsageError for a name that no rung has, or several.
    """
    every = rungs(registry)
    known = [each.rung.name for each in every]
    for name in names:
        if known.count(name) != 1:
            hint = "several plugins have it" if name in known else f"known: {', '.join(known)}"
            message = f"no rung {name!r}{nearest(name, known)} ({hint})"
            raise UsageError(message, key="rungs", value=name)
    return [each for each in every if (each.rung.name in names if names else each.rung.quick)]


def placed(tried: Tree, rung: Placed, registry: Registry) -> tuple[Config, Registry, list[str]]:
    """The configuration of what is tried on a rung, with whose parts its names mean, and what was
    taken in place of its own.

    tried: a whole tree; registry: as its author means the names in it
    """
    own = configuration.merge(configuration.defaults(), rung.settings)
    taken: Tree = {"metric": own.get("metric", {}), "tracker": {}}
    for path in (*RUN, *rung.rung.fixes):
        section, _, key = path.partition(".")
        kept: Tree = taken.get(section) or tried[section]
        taken[section] = {**kept, key: own[section][key]} if key else own[section]
    notes = []
    if "gen" not in taken and not _draws(tried, own, registry, rung.recipe.distribution):
        taken |= {section: own[section] for section in NETS}
        names = " and ".join(dict.fromkeys(str(tried[section]["name"]) for section in NETS))
        notes.append(f"{names}: for other samples, so the rung's own nets are taken")
    meant = configuration.meaning({}, taken, rung.recipe.distribution)
    return configuration.check({**tried, **taken}), registry.meaning(meant), notes


def _draws(tried: Tree, own: Tree, registry: Registry, owner: str) -> bool:
    """Whether the nets that are tried are for the samples of the rung's data."""
    theirs = registry.meaning(configuration.meaning({}, own, owner))
    with forked(torch.device("cpu")):
        dataset, _ = open_split(Assembly(configuration.check(own), theirs), None)
    named = [(SINGLE[section], tried[section]["name"]) for section in NETS]
    nets = [registry.get(kind, name).load() for kind, name in named if name != "auto"]
    return all(dataset.spec.modality in net.modalities for net in nets)


def climb(
    tried: Tree,
    rung: Placed,
    registry: Registry,
    seeds: Sequence[int],
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Climb:
    """Train what is tried on a rung, once a seed, and hold its figure to the band.

    tried: a whole tree; registry: as its author means the names in it
    tick: is told of images shown, and of all
    """
    found = Climb(rung.rung)
    try:
        config, registry, found.notes = placed(tried, rung, registry)
        for number, seed in enumerate(seeds):
            found.values.append(
                _trained(config, registry, seed, found, _share(tick, number, len(seeds)))
            )
    except NotFinite as error:
        found.verdict, found.why = FAILED, str(error)
    except (Incompatible, BadData, DeviceError) as error:
        found.verdict, found.why = UNFIT, error.line()
    else:
        found.verdict = verdict(found)
    return found


def _share(tick: Callable[[int, int], None], number: int, seeds: int) -> Callable[[int, int], None]:
    """The images of one seed among those of all."""
    return lambda done, total: tick(number * total + min(done, total), seeds * total)


def _trained(
    config: Config,
    registry: Registry,
    seed: int,
    found: Climb,
    tick: Callable[[int, int], None],
) -> float:
    """The figure of one training."""
    tree = config.tree()
    seeded = configuration.check({**tree, "train": {**tree["train"], "seed": seed}})
    pipeline = assemble(seeded, registry)
    memory.check_fits(pipeline)
    goal = config.train.images
    with forked(pipeline.device):
        training = Training(pipeline, tick=lambda images: tick(images, goal))
        recovery.run(training, lambda line: None)
    found.seconds += training.seconds
    metric, _, figure = found.rung.figure.partition(".")
    found.larger = figure in pipeline.metrics[metric].larger
    value = training.scores.get(found.rung.figure)
    if value is None:
        raise BrokenPlugin(
            f"rung {found.rung.name}: {found.rung.figure} is no figure of its metric"
        )
    if value != value:
        raise NotFinite(f"{found.rung.figure} is not finite")
    return value


def verdict(found: Climb) -> str:
    """Passed if the mean over the seeds is no worse than the worst seed of the band."""
    if found.rung.band is None or found.value is None:
        return NO_BAND
    least, most = found.rung.band.ends
    good = found.value >= least if found.larger else found.value <= most
    return PASSED if good else MISSED
