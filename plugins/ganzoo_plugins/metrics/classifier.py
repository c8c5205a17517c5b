"""A small classifier of images, trained once on the labels of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo.contracts import Dataset, Spec
from ganzoo.data import kept, sum_of
from ganzoo.errors import Incompatible

VERSION = "ganzoo-classifier-1"  # another one where the recipe changes
WIDTHS = (16, 32, 64)
FEATURES = 64
DROPOUT = 0.3
LARGEST = 32  # pixels of a side; larger images are halved until they are at most that
BATCH, RATE = 128, 3e-3
STEPS = 300  # at most, and no more than EPOCHS need
EPOCHS = 20
MOVED = 14  # images are moved by up to a side over this, at most
SEED = 0
CHUNK = 500  # images at a time
TESTED = 10  # one in so many samples is tested and not trained on
SLOW = 1.0  # seconds of training below which a classifier is not worth a file
LOW = 0.9  # accuracy below which features say little
RECIPE = [VERSION, WIDTHS, FEATURES, DROPOUT, LARGEST, BATCH, RATE, STEPS, EPOCHS, MOVED, SEED]

Say = Callable[[str], None]
Read = Callable[[Tensor], Tensor]  # indices -> images in [-1, 1]


class Classifier(nn.Module):
    """Three strided convolutions with batch normalisation, a layer of 64 features and one of
    logits; larger images are halved first, and other sizes averaged over 4x4 places.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, kernel in zip((channels, *WIDTHS), WIDTHS, (5, 3, 3), strict=False):
            layers += [nn.Conv2d(before, after, kernel, 2, kernel // 2, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(WIDTHS[-1] * 16, FEATURES)]
        self.body = nn.Sequential(*layers, nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(FEATURES, classes))

    def features(self, images: Tensor) -> Tensor:
        """Vectors [n, 64] of images [n, c, h, w] in [-1, 1]."""
        while max(images.shape[2:]) > LARGEST and min(images.shape[2:]) > 1:
            images = functional.avg_pool2d(images, 2)
        found: Tensor = self.body(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, c, h, w] in [-1, 1]."""
        logits: Tensor = self.head(self.features(images))
        return logits


class Learned(NamedTuple):
    """A classifier with its accuracy on samples that it was not trained on.

    tested: how many these were; digest: of its weights
    """

    net: Classifier
    accuracy: float
    tested: int
    digest: str

    def features(self, images: Tensor) -> Tensor:
        """Float64 vectors [n, 64] of images [n, c, h, w] in [-1, 1]."""
        return _in_chunks(self.net.features, images).double()

    def logits(self, images: Tensor) -> Tensor:
        """Float64 logits [n, classes] of images [n, c, h, w] in [-1, 1]."""
        return _in_chunks(self.net, images).double()

    def protocol(self) -> dict[str, str | int | float | bool]:
        """What figures depend on: which net it is, and how good."""
        said = f"{self.accuracy:.4g} of {self.tested:,}"
        low = ", low: its features say little" if self.accuracy < LOW else ""
        return {"classifier": self.digest[:16], "accuracy": said + low}


def learned(data: Dataset, say: Say, name: str) -> Learned:
    """The classifier of these data's labels: from the cache, where it lies under their fingerprint
    and the recipe, else trained, which takes seconds.

    A tenth of the samples, chosen by chance, is tested and not trained on. Raises Incompatible for
    labels of one class, for too few samples, and where it is no better than chance.
    """
    labels = torch.cat([part.labels for part in _labels_of(data)])
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SEED))
    tested = order[: len(data) // TESTED]
    trained = order[len(tested) :]
    classes = int(labels.max()) + 1 if len(labels) else 0
    if not len(tested) or len(labels[trained].bincount().nonzero()) < 2:
        there = len(labels.bincount().nonzero())
        raise Incompatible(
            f"metric {name}: {len(data):,} samples of {there} classes are too few "
            f"for a classifier; it takes two classes and {TESTED} samples"
        )
    about = {key: value for key, value in data.fingerprint().items() if key != "classes"}

    def make() -> dict[str, Tensor]:
        net = fit(lambda at: data.batch(at)[0], labels, trained, data.spec, classes, say)
        return dict(net.state_dict())

    with torch.random.fork_rng(devices=[]):
        net = Classifier(data.spec.shape[0], classes)
    weights = kept("classifiers", [RECIPE, about], make, lambda found: _fits(net, found), SLOW)
    net.load_state_dict(dict(weights))
    net.eval()
    accuracy = accuracy_of(net, data, tested)
    _check_above_chance(accuracy, labels[tested], name)
    return Learned(net, accuracy, len(tested), sum_of(weights))


def fit(
    read: Read, labels: Tensor, chosen: Tensor, spec: Spec, classes: int, say: Say
) -> Classifier:
    """A classifier trained on the chosen samples; the same samples and labels give the same net.

    labels: of all samples; torch's random state is left as it was.
    """
    rounds = max(len(chosen) // BATCH, 1)
    steps = min(STEPS, EPOCHS * rounds)
    moved = max(min(spec.shape[1:]) // MOVED, 0)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(SEED)
        net = Classifier(spec.shape[0], classes)
        optimizer = torch.optim.Adam(net.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
        net.train()
        for step in range(steps):
            if step % rounds == 0:
                order = chosen[torch.randperm(len(chosen))]
            if step % max(steps // 10, 1) == 0:
                say(f"training a classifier on {len(chosen):,} samples: {100 * step // steps} %")
            batch = order[step % rounds * BATCH :][:BATCH]
            shift = torch.randint(-moved, moved + 1, (2,)).tolist()
            logits = net(torch.roll(read(batch), shift, (2, 3)))
            loss = functional.cross_entropy(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    say("")
    return net.eval()


def accuracy_of(net: Classifier, data: Dataset, chosen: Tensor) -> float:
    """The share of the chosen samples whose label it tells."""
    right = 0
    for indices in torch.split(chosen, CHUNK):
        images, labels = data.batch(indices)
        assert labels is not None
        right += int(_in_chunks(net, images).argmax(1).eq(labels).sum())
    return right / len(chosen)


def _labels_of(data: Dataset) -> list[Any]:
    return [data.gather(indices) for indices in torch.split(torch.arange(len(data)), 1024)]


@torch.no_grad()
def _in_chunks(call: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return torch.cat([call(part) for part in torch.split(images, CHUNK)])


def _fits(net: Classifier, weights: Mapping[str, Tensor]) -> bool:
    own = net.state_dict()
    return own.keys() == weights.keys() and all(
        own[name].shape == weights[name].shape and weights[name].isfinite().all() for name in own
    )


def _check_above_chance(accuracy: float, labels: Tensor, name: str) -> None:
    """Raises Incompatible for a classifier that is not three deviations better than calling all
    samples by the most frequent class.
    """
    chance = int(torch.bincount(labels).max()) / len(labels)
    bound = chance + 3 * math.sqrt(chance * (1 - chance) / len(labels))
    if accuracy < min(bound, 1.0):
        raise Incompatible(
            f"metric {name}: a classifier tells {accuracy:.1%} of {len(labels):,} samples that it "
            f"was not trained on, no more than chance ({chance:.1%}): these labels or so few "
            "samples give no features"
        )
