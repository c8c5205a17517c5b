"""Asking a metric: both sides are read block by block, and what they are compared by is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..contracts import Batch, Dataset, Generator, Metric, Spec
from ..data.contents import marks
from ..data.kept import digest_of
from ..engine.randomness import derive, forked, reseed
from ..engine.sizes import check_samples
from ..errors import Incompatible
from ..io.activity import doing
from ..spec import as_samples
from . import feature_cache
from .records import Protocol

BLOCK = 1024  # samples that are drawn and read at once
BLOCK_NUMBERS = 1 << 26  # and fewer where they have more numbers together
CHOICE = 0  # seed of which real samples are taken

Draw = Callable[[int, int], Iterator[Tensor]]  # (count, seed) -> blocks as the data are stored
Tick = Callable[[int], None]  # is told of so many samples more
Labels = Callable[[int], Tensor]  # count -> those of the samples that are drawn, [count]


class Piece(NamedTuple):
    """Samples that are drawn at once: from which on, how many, and of which seed."""

    start: int
    size: int
    seed: int


def pieces(count: int, seed: int, spec: Spec) -> Iterator[Piece]:
    """How `count` samples are drawn, whoever draws them: the same count and seed give the same.

    The first piece has the seed itself, so that few samples are those of one draw. A piece has as
    many of each class.
    """
    size = block_of(spec)
    size = max(size // spec.classes, 1) * spec.classes if spec.classes else size
    for number, start in enumerate(range(0, count, size)):
        own = derive(seed, "piece", number) if number else seed
        yield Piece(start, min(size, count - start), own)


def block_of(spec: Spec) -> int:
    """How many samples are in memory at once."""
    return max(1, min(BLOCK, BLOCK_NUMBERS // spec.numel))


class Real:
    """Some samples of a data set, always the same ones: all, or as many by chance.

    part: which of the data stand in for generated ones, 1, where real ones are compared to others
    """

    def __init__(self, dataset: Dataset, count: int, part: int = 0) -> None:
        self.dataset, length = dataset, len(dataset)
        self.indices = torch.arange(length)
        if count < length or part:
            stream = torch.Generator().manual_seed(CHOICE)
            order = torch.randperm(length, generator=stream)
            self.indices = order[part * count : (part + 1) * count].sort().values
        self.key = [len(self), count, part]

    def __len__(self) -> int:
        return len(self.indices)

    def blocks(self) -> Iterator[Tensor]:
        """The samples as they are stored."""
        for batch in self.batches():
            yield batch.samples

    def batches(self) -> Iterator[Batch]:
        """The same with what comes with them."""
        for indices in self.indices.split(block_of(self.dataset.spec)):
            yield self.dataset.gather(indices)

    def labels(self) -> Tensor:
        """Their labels [n]; of data that have some."""
        found = [batch.labels for batch in self.batches()]
        return torch.cat([each for each in found if each is not None])


class Asked:
    """A metric by its name, with what its figures depend on.

    options: all of them, defaults too; owner: who ships it, in which version
    known: what was taken of real samples before, by anything that tells them apart
    """

    def __init__(
        self,
        name: str,
        metric: Metric,
        options: Mapping[str, Any],
        owner: str = "",
        known: MutableMapping[str, Tensor] | None = None,
    ) -> None:
        self.name, self.metric, self.options, self.owner = name, metric, dict(options), owner
        self.known = {} if known is None else known
        self.streams = type(metric).features is not Metric.features

    def check(
        self,
        real: int,
        fake: int,
        data: Dataset,
        held: Dataset | None,
        labelled: bool,
        generator: bool,
    ) -> None:
        """Raises Incompatible without what it needs, DeviceError for too many samples."""
        check_reads(self.name, self.metric, data, held, labelled, generator)
        spec = self.metric.spec
        most = min(max(real, fake), block_of(spec)) if self.streams else max(real, fake)
        check_samples(most, spec.numel, torch.device("cpu"), section=f"metric.{self.name}")

    def ask(
        self,
        real: Real,
        draw: Draw,
        count: int,
        seeds: Sequence[int],
        held: Dataset | None = None,
        tick: Tick = lambda count: None,
        data: Dataset | None = None,
        labels: Labels | None = None,
        generator: nn.Module | None = None,
    ) -> list[dict[str, float]]:
        """The figures for samples of each seed.

        held: samples that no training saw, for a metric that reads them
        data: what the training saw, which the real samples are of by default
        labels: of what is drawn, where it has some
        generator: the net that draws, for a metric of it
        """
        data = real.dataset if data is None else data
        self.check(len(real), count, data, held, labels is not None, generator is not None)
        self.metric.learn(data, doing)
        if generator is not None and "generator" in self.metric.reads:
            return [self._of_generator(generator, seed) for seed in seeds]
        ours = self._of_real(real, tick)
        own = (held,) if held is not None and "held" in self.metric.reads else ()
        further = [self._of_real(Real(each, count), tick, "held") for each in own]
        told = labels(count) if labels is not None and "labels" in self.metric.reads else None
        return [
            self._figures(ours, self._taken(draw(count, seed), count, tick, told), *further)
            for seed in seeds
        ]

    def floors(self, real: Real, tick: Tick = lambda count: None) -> dict[str, float]:
        """The figures of real samples in place of generated ones; nothing where there are not
        twice as many as are compared, or where the metric says by itself.
        """
        other = Real(real.dataset, len(real), 1)
        if len(other) < len(real) or {"held", "generator"} & {*self.metric.reads}:
            return {}
        return self._figures(self._of_real(real, tick), self._of_real(other, tick))

    def _of_generator(self, generator: nn.Module, seed: int) -> dict[str, float]:
        """The figures of a net; neither its mode nor anyone's random numbers are changed."""
        device = next((each.device for each in generator.parameters()), torch.device("cpu"))
        was_training = generator.training
        with forked(device), torch.no_grad():
            reseed(seed)
            generator.eval()
            try:
                found = self.metric.of_generator(cast("Generator", generator), seed)
            finally:
                generator.train(was_training)
        return {str(key): float(value) for key, value in found.items()}

    def _figures(self, *sides: Tensor) -> dict[str, float]:
        metric: Any = self.metric
        found = metric.compare(*sides) if self.streams else metric.measure(*sides)
        return {str(key): float(value) for key, value in found.items()}

    def _of_real(self, real: Real, tick: Tick, split: str = "") -> Tensor:
        """What real samples are compared by, which is kept where it is less than the samples."""
        if not self.streams:
            return self._taken(real.blocks(), len(real), tick)
        name = f"{split} {real.key}"
        if name not in self.known:
            told = real.labels() if "labels" in self.metric.reads else None
            self.known[name] = feature_cache.cached(
                lambda: self._cached_by(real),
                len(real),
                lambda: self._taken(real.blocks(), len(real), tick, told),
            )
        return self.known[name]

    def _cached_by(self, real: Real) -> list[Any]:
        about = [self.owner, self.name, self.options, dict(self.metric.protocol())]
        return [*about, torch.__version__, real.dataset.fingerprint(), real.key]

    def _taken(
        self, blocks: Iterator[Tensor], count: int, tick: Tick, labels: Tensor | None = None
    ) -> Tensor:
        """What samples are compared by: their features, or themselves. In the order of their
        contents, so that no figure hangs on the order of files, unless the metric minds.
        """
        found, order, done = [], [], 0
        for block in blocks:
            told = () if labels is None else (labels[done : done + len(block)],)
            done += len(block)
            samples = as_samples(block)
            with torch.no_grad():
                found.append(self.metric.features(samples, *told) if self.streams else samples)
            if len(found) == 1:
                self._check_room(count, found[0])
            if not self.metric.in_order:
                order.append(marks(block))
            tick(len(block))
        whole = torch.cat(found)
        return whole[torch.cat(order).argsort(stable=True)] if order else whole

    def _check_room(self, count: int, first: Tensor) -> None:
        """Raises DeviceError where what all samples are compared by does not fit in memory."""
        numbers = first[0].numel() * first.element_size() // 4
        section = f"metric.{self.name}"
        check_samples(count, numbers, torch.device("cpu"), section=section)

    def protocol(self, **common: Any) -> Protocol:
        """The protocol of its figures: what all metrics share, its options, what it says itself."""
        own = {key: _value(value) for key, value in self.options.items() if key != "count"}
        own = {key: value for key, value in own.items() if value is not None}
        clash = {key if key not in common else f"{self.name} {key}": own[key] for key in own}
        return {**common, "features": "samples", **clash, **self.metric.protocol()}


def check_reads(
    name: str,
    metric: Metric,
    data: Dataset,
    held: Dataset | None,
    labelled: bool,
    generator: bool = True,
) -> None:
    """Raises Incompatible for a metric of what is not there: data that no training sees, or labels.

    labelled: whether what is drawn has labels; generator: whether a net draws it, as it is
    """
    section = f"metric.{name}"
    if "generator" in metric.reads and not generator:
        raise Incompatible(
            "measures a generator itself: give it, and no pictures nor truncation", section=section
        )
    if "held" in metric.reads and held is None:
        raise Incompatible(
            "measures data that were held out of the training, and there are none",
            section=section,
            remedy="hold some out of it",
            change={"data.holdout": 0.1},
        )
    if {"classes", "labels"} & {*metric.reads} and len(data.classes) < 2:
        have = "of one class" if data.classes else "without labels"
        raise Incompatible(
            f"takes labels of two classes or more, and the data are {have}",
            section=section,
            remedy="have pictures in a folder for each class, or leave it out",
        )
    if "labels" in metric.reads and not labelled:
        raise Incompatible(
            "takes samples with labels: of a generator that draws each of the data's classes, or "
            "pictures in a folder for each of them",
            section=section,
        )


def labels_drawn(net: object, classes: int, data: Dataset) -> Labels | None:
    """The labels of what a net of so many classes draws where none is asked for: every class in
    turn; None where it draws by none, or by others than the data have.
    """
    if not (getattr(net, "conditional", False) and classes and classes == len(data.classes)):
        return None
    return lambda count: torch.arange(count) % classes


def _value(option: object) -> object:
    """An option as a protocol has it: of a path of this machine, the file's name alone."""
    if isinstance(option, Path) or (isinstance(option, str) and Path(option).is_absolute()):
        return Path(option).name
    return option if option is None or isinstance(option, bool | int | float) else str(option)


def common(
    dataset: Dataset,
    spec: Spec,
    *,
    data: str,
    split: str,
    real: int,
    fake: int,
    weights: str,
    truncation: float | None,
    seeds: int,
    versions: str,
) -> Protocol:
    """The fields that all protocols share.

    split: which of the data the real samples are of: all, train or held
    """
    stored = dataset.samples.dtype == torch.uint8
    return {
        "data": data,
        "split": split,
        "fingerprint": fingerprint(dataset),
        "real": real,
        "fake": fake,
        "size": "x".join(map(str, spec.shape)),
        "range": "8 bits in [-1, 1]" if stored else "as the data",
        "weights": weights,
        "truncation": truncation,
        "seeds": seeds,
        "versions": versions,
    }


def fingerprint(dataset: Dataset) -> str:
    """What tells data from others, in 16 digits."""
    return digest_of(dataset.fingerprint())[:16]


class Clock:
    """Seconds that measuring took, and whether one more stays within a share of all.

    share: most of the time that metrics may have
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.share, self.clock = share, clock
        self.seconds = self.last = 0.0
        self._began = 0.0

    def allows(self, training: float) -> bool:
        """Whether another measurement, as long as the last, is within the share.

        training: seconds of training so far
        """
        if not self.seconds:
            return True  # how long one takes is not known yet
        need = self.seconds + self.last
        return need <= self.share * (training + need)

    def __enter__(self) -> Clock:
        self._began = self.clock()
        return self

    def __exit__(self, *error: object) -> None:
        self.last = self.clock() - self._began
        self.seconds += self.last
