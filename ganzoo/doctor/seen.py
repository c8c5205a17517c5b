"""What the log does not hold: a run's nets as its last checkpoint has them, its data, and what it
draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from .. import config as configuration
from ..assembly.assembling import assemble
from ..assembly.pipeline import Pipeline
from ..components.registry import Registry
from ..contracts import Dataset
from ..contracts.step import as_judges, mean_of
from ..engine.randomness import forked
from ..errors import GanzooError
from ..generate import generator_file
from ..generate.sampling import sample
from ..io import checkpoints
from ..measure.measuring import BLOCK_NUMBERS, Real, labels_drawn
from ..training import resume
from .case import Case

COUNT = 2000  # samples of each side, and fewer where they are large
LATENTS = 1000  # seed of what is drawn, apart from those of metrics
SMALL = 16  # pixels of a side that samples are compared at


@dataclass
class Seen:
    """A run that can be asked.

    folder: its own. images: shown until the checkpoint was written
    """

    case: Case
    folder: Path
    registry: Registry
    pipeline: Pipeline
    images: int

    @property
    def dataset(self) -> Dataset:
        """What the training sees."""
        return self.pipeline.dataset

    @property
    def plain(self) -> bool:
        """Whether its generator draws from latents alone, or from a class beside them."""
        return not getattr(self.net, "reads", ())

    @property
    def alone(self) -> bool:
        """Whether its discriminator judges samples one by one, and as they are drawn."""
        augmentations = self.pipeline.parts.augmentations.values()
        packed = any(each.packs > 1 for each in augmentations)
        return self.plain and not packed and not getattr(self.judge, "reads", ())

    @property
    def net(self) -> Any:
        """The first averaged generator, which pictures and scores are of."""
        return next(iter(generator_file.generators(self.pipeline).values()))

    @property
    def judge(self) -> Any:
        """The first discriminator."""
        return next(iter(self.pipeline.parts.nets_of("discriminator").values()))

    @property
    def classes(self) -> int:
        """Classes that the generator is told, which are the data's; 0 where it is told none."""
        told = labels_drawn(self.net, self.pipeline.spec.classes, self.dataset)
        return self.pipeline.spec.classes if told is not None else 0

    @cached_property
    def count(self) -> int:
        """Samples of each side."""
        return max(1, min(COUNT, BLOCK_NUMBERS // self.pipeline.spec.numel, len(self.dataset)))

    @cached_property
    def drawn(self) -> Tensor:
        """Generated samples [n, *shape], each class in turn if there are some."""
        return sample(self.net, self.count, LATENTS, spec=self.pipeline.spec).cpu()

    @cached_property
    def real(self) -> tuple[Tensor, Tensor | None]:
        """Real samples [n, *shape] of the training, and their labels [n]."""
        return self.dataset.batch(Real(self.dataset, self.count).indices)

    @cached_property
    def held(self) -> tuple[Tensor, Tensor | None] | None:
        """Samples that the training did not see, and their labels, if there are any."""
        held = self.pipeline.held
        return None if held is None else held.batch(Real(held, self.count).indices)

    def logits(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """The mean logit [n] of each sample, without augmentation."""
        device = next(self.judge.parameters()).device
        told = labels if getattr(self.judge, "conditional", False) else None
        with torch.no_grad(), forked(device):
            self.judge.eval()
            found = self.judge(samples.to(device), None if told is None else told.to(device))
        return mean_of(as_judges(found)).cpu()


def small(samples: Tensor) -> Tensor:
    """Samples as vectors [n, d] that they are compared by, images reduced to at most 16x16."""
    if samples.dim() == 4:
        sides = tuple(min(side, SMALL) for side in samples.shape[2:])
        samples = adaptive_avg_pool2d(samples.float(), sides)  # type: ignore[arg-type]
    return samples.flatten(1).float()


def look(case: Case, folder: Path, registry: Registry) -> Seen:
    """A run from its last checkpoint; raises GanzooError where there is none, or where its data are
    not what they were.
    """
    opened = resume.open_run(folder)
    found = checkpoints.find(folder)
    if found is None:
        raise GanzooError(f"{folder}: no checkpoint, so only its log was looked at")
    tree = opened.config.tree()
    meant = configuration.recorded(tree, opened.about.get("plugins"))
    tree["train"] |= {"device": "auto", "engine": "eager"}
    pipeline = assemble(configuration.check(tree), registry.meaning(meant))
    resume.check_data(opened, pipeline.dataset)
    pipeline.load_state_dict(found.state)
    counters: Mapping[str, Any] = found.state["counters"]
    return Seen(case, folder, registry, pipeline, int(counters["images"]))
