"""Generated samples as lessons: a classifier that is trained on them, or tested on them."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.contracts import Dataset, Metric, PositiveInt, Spec

from .classifier import CHUNK, Classifier, Say, fit
from .features import Compared
from .floor import check_count


class TrainOnGenerated(Metric):
    """Accuracy on held-out images of a classifier trained on generated ones (GAN-train, Shmelkov et
    al. 2018; classification accuracy score, Ravuri and Vinyals 2019).

    Low where samples are poor, belong to another class than they are said to, or vary too little:
    classes that miss a part of the data teach less. The classifier is the small one of `classifier`
    with the same recipe; figures at another count do not compare.

    Figures, larger is better:
    accuracy: share of held-out images whose class it tells, 0 to 1
    floor_accuracy: that of one trained on as many real images

    count: samples to draw for it, and real ones that the other is trained on
    """

    modalities = ("image",)
    larger = ("accuracy",)
    reads = ("real", "labels", "held")

    def __init__(self, spec: Spec, *, count: PositiveInt = 5000) -> None:
        super().__init__(spec, count=count)
        check_count("gan-train", count, 5)
        self.say: Say = _silent
        self.floors: dict[int, float] = {}  # by the hash of the real samples

    def learn(self, data: Dataset, say: Say) -> None:
        """Nothing; but to whom progress is told."""
        self.say = say

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """All values of samples [n, *spec.shape], and behind them their labels, [n, d + 1]."""
        assert labels is not None
        return torch.cat([samples.flatten(1), labels[:, None].to(samples.dtype)], 1)

    def compare(self, real: Tensor, fake: Tensor, held: Tensor | None = None) -> dict[str, float]:
        """The accuracy on held-out samples, values and labels [n, d + 1] each."""
        assert held is not None
        classes = int(max(side[:, -1].max() for side in (real, fake, held))) + 1
        key = hash((real.numpy().tobytes(), held.numpy().tobytes()))
        if key not in self.floors:
            self.floors[key] = self._taught(real, held, classes)
        return {
            "accuracy": self._taught(fake, held, classes),
            "floor_accuracy": self.floors[key],
        }

    def _taught(self, lessons: Tensor, test: Tensor, classes: int) -> float:
        images, labels = self._parted(lessons)
        everything = torch.arange(len(labels))
        net = fit(lambda at: images[at], labels, everything, self.spec, classes, self.say)
        return _accuracy(net, *self._parted(test))

    def _parted(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows[:, :-1].view(-1, *self.spec.shape), rows[:, -1].long()


class TestOnGenerated(Compared):
    """How much of generated images a classifier tells that was trained on real ones (GAN-test of
    Shmelkov et al. 2018).

    Low where samples do not look like their class; one mode of each class is enough for a high one,
    and more than the floor is a sign of samples that are easier than real ones, or memorised.

    Figures, larger is better:
    accuracy: share of generated images whose class it tells, 0 to 1
    floor_accuracy: of the real images that it was not trained on

    count: samples to draw for it
    """

    modalities = ("image",)
    larger = ("accuracy",)
    reads = ("real", "labels")
    called = "gan-test"

    def __init__(self, spec: Spec, *, count: PositiveInt = 2500) -> None:
        super().__init__(spec, count=count, features="classifier")

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """1 where the classifier tells the label of samples [n, *spec.shape], else 0, [n, 1]."""
        assert labels is not None
        told = self.known[0].logits(samples).argmax(1)
        return told.eq(labels)[:, None].double()

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """The share of generated samples that are told."""
        return {"accuracy": float(fake.mean()), "floor_accuracy": self.known[0].accuracy}

    def protocol(self) -> dict[str, str | int | float | bool]:
        """Which classifier it is, and how good."""
        return {"features": "classifier", **super().protocol()}


@torch.no_grad()
def _accuracy(net: Classifier, images: Tensor, labels: Tensor) -> float:
    told = torch.cat([net(part).argmax(1) for part in torch.split(images, CHUNK)])
    return float(told.eq(labels).double().mean())


def _silent(what: str) -> None:
    pass
