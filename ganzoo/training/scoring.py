"""Metrics in a training: when they are due, what they found, and which generator was the best."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..assembly.pipeline import Pipeline
from ..errors import Incompatible, nearest
from ..generate import drawing, generator_file
from ..generate.images import as_stored
from ..measure import Score
from ..measure.measuring import Asked, Clock, Labels, Piece, Real, common, labels_drawn, pieces
from ..measure.records import figures_of, now, versions_of

SEED = 0  # of the samples that are measured: what an evaluation draws first


class Scores:
    """What the metrics of a pipeline found, as `METRIC.FIGURE`.

    found, images: the last figures, and after how many images; records: the same with their
    protocols; best: (figure, images) or None; waited: measurements since the best
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.config = pipeline, pipeline.config.measure
        self.found: dict[str, float] = {}
        self.records: list[Score] = []
        self.images = -1
        self.best: tuple[float, int] | None = None
        self.waited = 0
        self.clock = Clock(self.config.share)
        self._waits = False
        self._known: dict[str, dict[str, Tensor]] = {}  # of real samples, by metric
        best, metrics = self.config.best, pipeline.metrics
        if best not in ("", "auto") and best.partition(".")[0] not in metrics:
            known = ", ".join(metrics) or "there is none"
            raise Incompatible(
                f"names no figure of a metric of this pipeline ({known})",
                section="measure",
                key="best",
                value=best,
                remedy="write METRIC.FIGURE",
            )
        if self.config.patience and not (metrics and best and self.config.images):
            raise Incompatible(
                "ends a training by what its metrics find, and they are not asked",
                section="measure",
                key="patience",
                value=self.config.patience,
                remedy="choose a metric, and how often it is asked",
                change={"measure.images": max(pipeline.config.train.images // 20, 1)},
            )

    @property
    def seconds(self) -> float:
        """Seconds that measuring took."""
        return self.clock.seconds

    def due(self, crossed: bool, training: float) -> bool:
        """Whether to measure now: what is due waits while metrics have had their share of the time.

        training: seconds of training so far
        """
        self._waits = self._waits or (crossed and bool(self.pipeline.metrics))
        if not self._waits or not self.clock.allows(training):
            return False
        self._waits = False
        return True

    def measure(self, images: int) -> bool:
        """Score the averaged generator by every metric; whether it is the best so far."""
        with self.clock:
            self.found, self.records = {}, []
            for name in self.pipeline.metrics:
                self._measure(name, images)
        self.images = images
        best = self._is_best(images)
        self.waited = 0 if best else self.waited + 1
        return best

    @property
    def verdict(self) -> str:
        """Why the training has come to its end, or nothing: no better figure for too long."""
        if not 0 < self.config.patience <= self.waited:
            return ""
        best = f"best {self.best[0]:.4g} after {self.best[1]:,} images" if self.best else "none yet"
        figure = self.chosen() or "the first figure"
        return f"{figure} got no better in {self.waited} measurements ({best})"

    def _measure(self, name: str, images: int) -> None:
        pipeline, metric = self.pipeline, self.pipeline.metrics[name]
        owner = pipeline.owners.get(f"metric.{name}", "")
        distribution = owner.partition(":")[0]
        asked = Asked(
            name,
            metric,
            getattr(pipeline.config, "metric").get(name, {}),  # noqa: B009  (a family)
            f"{owner} {pipeline.versions.get(distribution, '')}",
            self._known.setdefault(name, {}),
        )
        real = Real(pipeline.dataset, metric.count)
        found = asked.ask(
            real,
            self._drawn,
            metric.count,
            [SEED],
            pipeline.held,
            labels=self._labels(),
            generator=self._net(),
        )
        self.found |= {f"{name}.{key}": value for key, value in found[0].items()}
        protocol = asked.protocol(
            **common(
                pipeline.dataset,
                pipeline.spec,
                data=generator_file.data_name(pipeline),
                split="all" if pipeline.held is None else "train",
                real=len(real),
                fake=metric.count,
                weights="average",
                truncation=None,
                seeds=1,
                versions=versions_of(pipeline.versions, distribution),
            )
        )
        self.records.append(
            Score(
                metric=name,
                images=images,
                date=now(),
                figures=figures_of(found, metric.larger),
                protocol=protocol,
            )
        )

    def _drawn(self, count: int, seed: int) -> Iterator[Tensor]:
        """Samples of the first averaged generator, as the data are stored."""
        dataset = self.pipeline.dataset
        role = next(iter(generator_file.generators(self.pipeline)))
        for piece in pieces(count, seed, self.pipeline.spec):
            drawn = drawing.draw(self.pipeline, role, read_at(piece, len(dataset)), piece.seed)
            yield as_stored(drawn.samples.cpu(), dataset.samples.dtype)

    def _net(self) -> nn.Module:
        """The first averaged generator, which is measured."""
        return next(iter(generator_file.generators(self.pipeline).values()))

    def _labels(self) -> Labels | None:
        """The labels of what it draws, if it has some."""
        if self.pipeline.config.train.label_dropout:
            return None
        return labels_drawn(self._net(), self.pipeline.spec.classes, self.pipeline.dataset)

    def _is_best(self, images: int) -> bool:
        name = self.chosen()
        value = self.found.get(name, math.nan)
        if not self.config.images or not math.isfinite(value):
            return False
        metric, _, figure = name.partition(".")
        sign = -1 if figure in self.pipeline.metrics[metric].larger else 1
        if self.best is not None and sign * value >= sign * self.best[0]:
            return False
        self.best = value, images
        return True

    def chosen(self) -> str:
        """The figure by which generators are compared; nothing where they are not.

        Raises Incompatible for one that no metric gives.
        """
        name = self.config.best
        if name == "auto":
            return next(iter(self.found), "")
        if name and self.found and name not in self.found:
            raise Incompatible(
                f"no figure of these metrics{nearest(name, self.found)} (there are: "
                f"{', '.join(self.found)})",
                section="measure",
                key="best",
                value=name,
            )
        return name

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on with."""
        return {
            "best": list(self.best) if self.best else [],
            "seconds": self.clock.seconds,
            "last": self.clock.last,
            "waited": self.waited,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; what was found last is measured again when it is due."""
        best = state.get("best", [])
        self.best = (float(best[0]), int(best[1])) if best else None
        self.clock.seconds = float(state.get("seconds", 0.0))
        self.clock.last = float(state.get("last", 0.0))
        self.waited = int(state.get("waited", 0))
        self.found, self.records, self.images, self._waits = {}, [], -1, False


def read_at(piece: Piece, length: int) -> Tensor:
    """Which of the data a piece of samples is drawn from, by a generator that reads them."""
    return torch.arange(piece.start, piece.start + piece.size) % length
