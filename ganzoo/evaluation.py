"""Measuring what there is already: the generator of a run or file, or pictures of any origin."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import config as configuration
from .assembly.assembling import assemble
from .assembly.builder import Assembly, Progress, open_split
from .assembly.compatibility import check_modality
from .components.isolation import contained, off_stdout
from .components.registry import Registry
from .config.tree import Config, Tree
from .contracts import Dataset, Metric, Spec
from .engine.randomness import derive, forked
from .errors import BadConfig, BadRun, BrokenPlugin, GanzooError, Incompatible, UsageError, one_line
from .generate import generator_file
from .generate.images import as_stored
from .generate.sampling import LoadedGenerator
from .io import checkpoints
from .library import load
from .measure import Score, scores_file
from .measure.measuring import (
    Asked,
    Labels,
    Real,
    Tick,
    common,
    fingerprint,
    labels_drawn,
    pieces,
)
from .measure.records import FLOOR, figures_of, now, versions_of
from .spec import as_given
from .training import resume
from .training import run_folder as runs

AVERAGE, BEST, RAW = "average", "best", "raw"
WEIGHTS = {
    AVERAGE: "generator.safetensors",
    BEST: "best.safetensors",
}  # of a run, by whose they are
USUAL = 2500  # samples that a metric draws
ALL, TRAIN, HELD = "all", "train", "held"  # of the data


@dataclass
class Subject:
    """What is measured: samples of a generator, or pictures.

    draw: (count, seed, data) -> blocks of samples as such data are stored
    labels: (data) -> the labels of what is drawn, by how many; None where it has none of the data's
    net: the generator itself, where it draws as it is
    most: samples that there are; None for as many as are wanted
    file: the generator file that scores are written into; run: the folder that has them too
    """

    path: Path
    spec: Spec
    weights: str
    draw: Callable[[int, int, Dataset], Iterator[Tensor]]
    images: int = 0
    most: int | None = None
    truncation: float | None = None
    generator: str = ""
    file: Path | None = None
    run: Path | None = None
    labels: Callable[[Dataset], Labels | None] = lambda data: None
    net: nn.Module | None = None


# Generators.


def is_run(path: Path) -> bool:
    """Whether a path is a run folder; raises OSError for one that no system has."""
    return resume.is_run(path) or (path / "generator.safetensors").is_file()


def config_of(path: Path) -> tuple[Config | None, dict[str, Any]]:
    """The configuration that a generator was trained with, and who made its parts; None where a
    file says none that can be read. A file's is a stranger's, without places on this machine.
    """
    if path.is_dir():
        if not resume.is_run(path):
            return None, {}
        opened = resume.open_run(path)
        return opened.config, dict(opened.about)
    said = generator_file.read_header(path).training.get("config")
    try:
        whole = configuration.merge(configuration.defaults(), said)  # type: ignore[arg-type]
        whole["data"] = {**whole["data"], "root": ""}
        return configuration.check(whole), {}
    except (GanzooError, TypeError, AttributeError, KeyError):
        return None, {}


def of_generator(
    path: Path, registry: Registry, weights: str = AVERAGE, truncation: float | None = None
) -> Subject:
    """The generator of a run, by whose weights it has, or of a file.

    Raises GanzooError where there is none, UsageError for weights that a file cannot have.
    """
    folder = path if path.is_dir() else None
    if folder is None and weights != AVERAGE:
        message = "a generator file has the weights that it has; give the run's folder"
        raise UsageError(message, key="weights", value=weights)
    file = path / WEIGHTS[weights] if folder is not None and weights in WEIGHTS else path
    if folder is not None and weights == BEST and not file.is_file():
        message = "this run has kept no best generator"
        raise UsageError(message, key="weights", value=weights)
    if weights == RAW and folder is not None:
        generator = _raw(folder, registry)
    else:
        generator = load(file if file.is_file() else path, registry)
    generator.sampling_options({"truncation": truncation})
    images = generator.header.training.get("images")
    return Subject(
        path,
        generator.spec,
        weights,
        _draw(generator, truncation),
        images if type(images) is int and images >= 0 else 0,
        truncation=truncation,
        file=None if weights == RAW else runs.find_generator(file),
        run=folder,
        labels=lambda data: labels_drawn(generator.net, generator.spec.classes, data),
        net=generator.net if truncation is None else None,
    )


def _raw(folder: Path, registry: Registry) -> LoadedGenerator:
    """The generator of a run as it was trained, without the average, from its last checkpoint."""
    opened = resume.open_run(folder)
    found = checkpoints.find(folder)
    if found is None:
        message = "this run has no checkpoint, which alone holds them"
        raise UsageError(message, key="weights", value=RAW)
    meant = configuration.recorded(opened.config.tree(), opened.about.get("plugins"))
    pipeline = assemble(opened.config, registry.meaning(meant))
    pipeline.load_state_dict(found.state)
    role = next(iter(generator_file.generators(pipeline)))
    header = generator_file.make_header(pipeline, int(found.state["counters"]["images"]), {}, role)
    net = generator_file.plain(pipeline.parts.nets[role]).cpu()
    conditions = [*pipeline.parts.conditions.values()]
    return LoadedGenerator(net.eval(), header, lambda: conditions)


def _draw(
    generator: LoadedGenerator, truncation: float | None
) -> Callable[[int, int, Dataset], Iterator[Tensor]]:
    def draw(count: int, seed: int, data: Dataset) -> Iterator[Tensor]:
        for piece in pieces(count, seed, generator.spec):
            indices = torch.arange(piece.start, piece.start + piece.size)
            given = _given(generator, data, indices, piece.seed)
            drawn = generator.sample(piece.size, piece.seed, given=given, truncation=truncation)
            yield as_stored(drawn.cpu(), data.samples.dtype)

    return draw


def _given(
    generator: LoadedGenerator, data: Dataset, indices: Tensor, seed: int
) -> dict[str, Tensor] | None:
    """What a generator reads, of the data: what comes with them, or what is made of samples."""
    reads = generator.spec.given
    if not reads:
        return None
    batch = data.gather(indices % len(data))
    found = dict(batch.given)
    for name, other in data.others.items():
        chosen = torch.randperm(
            len(other), generator=torch.Generator().manual_seed(derive(seed, name))
        )
        found[name] = other.gather(chosen[indices % len(other)]).samples
    if all(name in found for name in reads):
        return as_given({name: found[name] for name in reads})
    return generator.given_of(data.batch(indices % len(data))[0], seed)


# Pictures.


def of_pictures(path: Path, dataset: Dataset) -> Subject:
    """The samples of a data set as what is measured; with fewer than all of them, by chance."""

    def draw(count: int, seed: int, data: Dataset) -> Iterator[Tensor]:
        if dataset.samples.dtype != data.samples.dtype:
            raise Incompatible(f"{path}: samples of another type than the real ones")
        yield from Real(dataset, count).blocks()

    def labels(data: Dataset) -> Labels | None:
        alike = [*dataset.classes] == [*data.classes] and dataset.labels is not None
        return (lambda count: Real(dataset, count).labels()) if alike else None

    return Subject(
        path,
        Spec(dataset.spec.shape),
        "pictures",
        draw,
        most=len(dataset),
        generator=fingerprint(dataset),
        labels=labels,
    )


# Data.


def open_data(
    config: Config, registry: Registry, progress: Progress | None = None
) -> tuple[Dataset, Dataset | None]:
    """The data of a configuration, and those of them that its training does not see, if any."""
    with off_stdout(), forked(torch.device("cpu")):
        return open_split(Assembly(config, registry), progress)


def config_for(config: Config, path: str) -> Config:
    """The same configuration for other pictures."""
    tree = config.tree()
    return configuration.check({**tree, "data": {**tree["data"], "name": path, "holdout": 0.0}})


def is_registered(name: str, registry: Registry) -> bool:
    """Whether data have a name of their own, and so are no pictures of a folder or zip."""
    with contextlib.suppress(GanzooError):
        return bool(registry.get("dataset", name))
    return False


def data_name(config: Config, registry: Registry) -> str:
    """The name of data, without the folder that they lie in."""
    name = config.data.name
    return name if is_registered(name, registry) else Path(name).name


def check_held(config: Config, trained: Config | None) -> None:
    """Raises BadConfig where data are held out now that the training of the generator has seen.

    config: how it is measured. trained: how it was trained, where that is known
    """
    asked = config.data
    if trained is None or asked.name != trained.data.name:
        return
    if asked.holdout > trained.data.holdout:
        raise BadConfig(
            f"was {trained.data.holdout:g} in the training, which has seen what would be held out",
            section="data",
            key="holdout",
            value=asked.holdout,
            remedy="train with that",
        )


def side_of(dataset: Dataset, held: Dataset | None, split: str) -> tuple[Dataset, str]:
    """The data that stand for the real side, and what a protocol calls them.

    split: train, or held: those that the training did not see
    """
    if split == HELD and held is None:
        raise UsageError(
            "no data were held out",
            key="split",
            value=split,
            remedy="those of a training with data.holdout are, or hold some out here",
            change={"data.holdout": 0.1},
        )
    if split == HELD and held is not None:
        return held, HELD
    return dataset, ALL if held is None else TRAIN


# Metrics.


def default_metrics(registry: Registry, spec: Spec) -> list[str]:
    """The metrics that measure such samples where none is named."""
    found = []
    for component in registry.components("metric"):
        with contextlib.suppress(BrokenPlugin):
            found += [component.name] * (spec.modality in component.load().default)
    return found


@dataclass
class Evaluation:
    """Metrics of a configuration against some data.

    held: data that the training did not see, if any; name: theirs, as protocols have it
    split: which of them are the real side
    count: samples that are drawn, and real ones that are taken at most; the metric's own by
        default, and all pictures where those are measured
    seeds: how often samples are drawn
    tick: is told of samples that were read or drawn, as many more
    """

    config: Config
    registry: Registry
    dataset: Dataset
    held: Dataset | None = None
    name: str = ""
    split: str = TRAIN
    count: int | None = None
    seeds: int = 1
    tick: Tick = lambda count: None

    def scores(self, subject: Subject) -> Iterator[Score]:
        """The score by each metric, one after another.

        Raises Incompatible for samples of unlike shapes and metrics that cannot measure them.
        """
        dataset, side = side_of(self.dataset, self.held, self.split)
        _check_shapes(subject, dataset)
        if self.seeds > 1 and subject.most is not None:
            message = "pictures are what they are: nothing is drawn"
            raise UsageError(message, key="seeds", value=self.seeds)
        build = Assembly(self.config, self.registry)
        for name, choice in build.family("metric").items():
            section = f"metric.{name}"
            measures = build.component(section, "metric", choice.name).load()
            check_modality(build, section, "metric", name, measures, subject.spec)
            spec = replace(subject.spec, classes=0, given={})
            metric: Metric = build.build(section, "metric", choice, spec)
            yield self._score(subject, build, name, metric, dataset, side)

    def _score(
        self,
        subject: Subject,
        build: Assembly,
        name: str,
        metric: Metric,
        dataset: Dataset,
        side: str,
    ) -> Score:
        section = f"metric.{name}"
        owner = build.owners[section]
        distribution = owner.partition(":")[0]
        version = f"{owner} {build.versions[distribution]}"
        asked = Asked(name, metric, build.complete[section], version)
        fake, real = self._counts(subject, name, metric, dataset)

        def draw(count: int, seed: int) -> Iterator[Tensor]:
            return subject.draw(count, seed, dataset)

        with _blamed(name, owner):
            found = asked.ask(
                real,
                draw,
                fake,
                range(self.seeds),
                self.held,
                self.tick,
                self.dataset,
                subject.labels(dataset),
                subject.net,
            )
            said = any(key.startswith(FLOOR) for key in found[0])
            floors = {} if said else asked.floors(real, self.tick)
        shared = common(
            dataset,
            Spec(subject.spec.shape),
            data=self.name,
            split=side,
            real=len(real),
            fake=fake,
            weights=subject.weights,
            truncation=subject.truncation,
            seeds=self.seeds,
            versions=versions_of(build.versions, distribution),
        )
        protocol = asked.protocol(**shared)
        return Score(
            metric=name,
            images=subject.images,
            date=now(),
            figures=figures_of(found, metric.larger, floors),
            protocol=protocol | ({"generator": subject.generator} if subject.generator else {}),
        )

    def _counts(
        self, subject: Subject, name: str, metric: Metric, dataset: Dataset
    ) -> tuple[int, Real]:
        """How many samples are drawn, and the real ones that they are compared to."""
        set_ = "count" in self._metrics()[name]
        asked = self.count or (metric.count if set_ or subject.most is None else None)
        if subject.most is None:
            wanted = asked or metric.count
            return wanted, Real(dataset, wanted)
        return min(asked or subject.most, subject.most), Real(dataset, asked or len(dataset))

    def _metrics(self) -> Tree:
        metrics: Tree = getattr(self.config, "metric")  # noqa: B009  (a family)
        return metrics

    def steps(self, subject: Subject) -> int:
        """About how many samples are read and drawn, for whoever shows how far it is."""
        each = self.count or subject.most or USUAL
        return len(self._metrics()) * each * (self.seeds + 1)


def _check_shapes(subject: Subject, dataset: Dataset) -> None:
    """Raises Incompatible for samples of another shape than the real ones."""
    have, real = subject.spec.shape, dataset.spec.shape
    if have == real:
        return
    change: dict[str, object] = {}
    if len(have) == len(real) == 3:
        sides = "x".join(map(str, have[1:]))
        sized = have[1:] != real[1:]
        change = {"data.resolution": sides} if sized else {"data.channels": max(have[0], real[0])}
    one, other = ("x".join(map(str, shape)) for shape in (have, real))
    raise Incompatible(
        f"{subject.path}: samples of {one}, and the real ones are of {other}",
        remedy="have pictures of one form" if change else "give its own data",
        change=change,
    )


@contextlib.contextmanager
def _blamed(name: str, owner: str) -> Iterator[None]:
    """What fails in a metric is a line that names it."""
    try:
        with contained(), off_stdout():
            yield
    except GanzooError:
        raise
    except Exception as error:
        message = f"metric {name} of {owner} fails: {one_line(error)}"
        raise BrokenPlugin(message, section=f"metric.{name}") from error


def keep(subject: Subject, scores: Sequence[Score]) -> str:
    """Write scores into the run, if it is one, and the generator's file.

    Returns a note where a training holds the run, which writes that file itself: it is left alone.
    """
    if subject.run is not None:
        scores_file.append(subject.run, scores)
    if subject.file is None:
        return ""
    with contextlib.ExitStack() as stack:
        if subject.run is not None:
            try:
                stack.callback(runs.Lock(subject.run).release)
            except BadRun:
                return "a training is writing to this run: its generator's file is left as it is"
        generator_file.add_scores(subject.file, scores)
    return ""
