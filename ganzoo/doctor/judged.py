"""Rules that need samples which the training did not see."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from .. import config as configuration
from .. import evaluation
from ..components.registry import Registry
from .finding import Rule, Sign
from .seen import Seen

LEAST = 20  # held-out samples
DRAWN = 1000  # samples that a metric is asked about


class Overfit(Rule[Seen]):
    """The discriminator takes samples that it was not trained on for generated ones."""

    name = "discriminator overfit"
    reason = "a discriminator that knows the samples by heart leads the generator to them alone"
    source = "Karras et al. 2020 (arXiv:2006.06676), section 3, r_v"
    origin = "chosen: half way from real to generated, and 2.5 standard errors beyond chance"
    SHARE = 0.5
    RANK, ERRORS = 0.65, 2.5

    def sign(self, looked: Seen) -> Sign | None:
        if looked.held is None or not looked.alone or len(looked.held[0]) < LEAST:
            return None
        told = torch.arange(looked.count) % looked.classes if looked.classes else looked.real[1]
        real, held = looked.logits(*looked.real), looked.logits(*looked.held)
        fake = looked.logits(looked.drawn, told)
        share = float((real.mean() - held.mean()) / (real.mean() - fake.mean()).clamp(min=1e-6))
        rank = float((real[:, None] > held).float().mean())
        least = max(self.RANK, 0.5 + self.ERRORS * error_of_rank(len(real), len(held)))
        if share < self.SHARE or rank < least:
            return None
        return Sign(
            looked.images,
            f"the mean logit of held-out samples is {share:.0%} of the way from those of the "
            f"training to generated ones, and {rank:.0%} of pairs of the two are told apart; from "
            f"{self.SHARE:.0%} and {least:.0%} on counted",
        )

    def change(self, looked: Seen) -> Mapping[str, object]:
        return looked.case.rate("disc")


def error_of_rank(one: int, other: int) -> float:
    """The standard error of the share of pairs in which the one is larger, of so many numbers each
    that are alike (Mann and Whitney 1947).
    """
    return math.sqrt((one + other + 1) / (12 * one * other))


class Memorising(Rule[Seen]):
    """Samples are copies of the training's; a metric says so that has this name among its signs."""

    name = "memorising"
    reason = "a generator that copies has learnt a list, and gives away what it was trained on"
    source = "Meehan et al. 2020 (arXiv:2004.05675)"
    origin = "the metric's own level"

    def sign(self, looked: Seen) -> Sign | None:
        held = looked.pipeline.held
        if held is None or not looked.plain or min(len(held), len(looked.dataset)) < LEAST:
            return None
        for name, figure in metrics(looked.registry, self.name, looked.pipeline.spec.modality):
            tree = looked.pipeline.config.tree()
            config = configuration.check({**tree, "metric": {name: {}}})
            asked = evaluation.Evaluation(
                config, looked.registry, looked.dataset, held, count=DRAWN
            )
            for score in asked.scores(evaluation.of_generator(looked.folder, looked.registry)):
                if score.figures[figure].value > 0:
                    figures = [f"{key} {each.value:.3g}" for key, each in score.figures.items()]
                    return Sign(looked.images, f"{name} says so: {', '.join(figures)}")
        return None

    def change(self, looked: Seen) -> Mapping[str, object]:
        return looked.case.rate("disc")


def metrics(registry: Registry, ailment: str, modality: str) -> list[tuple[str, str]]:
    """The metrics that tell an ailment of such samples, each with the figure that does."""
    found = []
    for component in registry.components("metric"):
        part = component.load()
        signs = getattr(part, "signs", {})
        if ailment in signs and modality in part.modalities:
            found.append((component.name, signs[ailment]))
    return found
