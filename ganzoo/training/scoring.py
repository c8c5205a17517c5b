"""Metrics in a training: when they are due, what they found, and which generator was the best."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from ..assembly.pipeline import Pipeline
from ..engine.randomness import derive
from ..errors import Incompatible, nearest
from ..generate import drawing, generator_file


class Scores:
    """What the metrics of a pipeline found, as `METRIC.FIGURE`.

    found, images: the last figures, and after how many images; best: (figure, images) or None
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.config = pipeline, pipeline.config.measure
        self.found: dict[str, float] = {}
        self.images = -1
        self.best: tuple[float, int] | None = None
        self.seconds = 0.0  # that measuring took
        self._waits = False
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

    def due(self, crossed: bool, training: float) -> bool:
        """Whether to measure now: what is due waits while metrics have had their share of the time.

        training: seconds of training so far
        """
        self._waits = self._waits or (crossed and bool(self.pipeline.metrics))
        if not self._waits or self.seconds > self.config.share * (training + self.seconds):
            return False
        self._waits = False
        return True

    def measure(self, images: int) -> bool:
        """Score the averaged generator by every metric; whether it is the best so far."""
        began = time.perf_counter()
        self.found = {}
        for name, metric in self.pipeline.metrics.items():
            seed = derive(self.pipeline.config.train.seed, "metric", name)
            generator = torch.Generator().manual_seed(seed)
            indices = torch.randint(
                len(self.pipeline.dataset), (metric.count,), generator=generator
            )
            role = next(iter(generator_file.generators(self.pipeline)))
            fake = drawing.draw(self.pipeline, role, indices, seed).samples.cpu()
            real = self.pipeline.dataset.batch(indices)[0]
            figures = metric.measure(real, fake)
            self.found |= {f"{name}.{key}": float(value) for key, value in figures.items()}
        self.images = images
        self.seconds += time.perf_counter() - began
        return self._is_best(images)

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
        return {"best": list(self.best) if self.best else [], "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; what was found last is measured again when it is due."""
        best = state.get("best", [])
        self.best = (float(best[0]), int(best[1])) if best else None
        self.seconds = float(state.get("seconds", 0.0))
        self.found, self.images, self._waits = {}, -1, False
