"""How readable the digits are that a training draws: `python
-m benchmarks.digits -- --gen dcgan --loss nonsat --reg gp`.

What follows `--` are the flags of `ganzoo train`. For each seed a training is timed, and 10,000
samples of the averaged generator are judged by a small classifier: the share that it recognises
with more than .9 confidence, the entropy of its classes (1: all equally frequent), how many of the
ten have at least 1 % of the samples, and the Frechet distance in its 64 features from the embedded
digits. The classifier is trained once on MNIST's 60,000 training digits, which it looks for where
`--data mnist` does, and kept in the cache folder.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import sys
from pathlib import Path

import torch
from ganzoo_plugins.metrics.frechet import frechet_distance
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import create
from ganzoo.assembly.pipeline import Pipeline

from . import quality, tables
from .stacked_mnist import SHARED

SAMPLES = 10_000
SURE = 0.9  # probability from which a digit counts as recognised
EPOCHS, BATCH, RATE = 6, 128, 3e-3
CACHE = Path("~/.cache/ganzoo/benchmarks").expanduser()
COLUMNS = {
    "recognised": "{:.1%}",
    "distance": "{:.1f}",
    "entropy": "{:.3f}",
    "classes": "{:.0f}",
    "images": "{:,.0f}",
    "seconds": "{:.0f} s",
    "cpu_seconds": "{:.0f} s",
}
HEADS = [
    "recognised",
    "Frechet distance",
    "entropy of classes",
    "classes",
    "images",
    "time",
    "CPU time",
]
DOCUMENT_MARK = "digits"


class Classifier(nn.Module):
    """Three strided convolutions and 64 features: 98.7
    to 99.2 % of the test digits after six epochs.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, kernel in ((1, 16, 5), (16, 32, 3), (32, 64, 3)):
            layers += [nn.Conv2d(before, after, kernel, 2, kernel // 2, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(64, 10))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits [n, 10] of pictures [n, 1, 28, 28] in [-1, 1]."""
        logits: Tensor = self.head(self.body(pictures))
        return logits

    @torch.no_grad()
    def judge(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [n, 10] and features [n, 64]."""
        self.eval()
        features = torch.cat([self.body(part) for part in pictures.split(500)])
        return self.head(features).softmax(1), features.double()


def train_classifier(root: Path) -> Classifier:
    """The classifier, trained on MNIST's training digits moved by up to two pixels."""
    torch.manual_seed(0)
    net, data = Classifier(), create("dataset", "mnist", root=root)
    rounds = EPOCHS * (len(data) // BATCH)
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, rounds)
    net.train()
    for step in range(rounds):
        if step % (len(data) // BATCH) == 0:
            order = torch.randperm(len(data))
        chosen = order[(step % (len(data) // BATCH)) * BATCH :][:BATCH]
        pictures, labels = data.batch(chosen)
        moved = torch.roll(pictures, torch.randint(-2, 3, (2,)).tolist(), (2, 3))
        loss = functional.cross_entropy(net(moved), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


def classifier(root: Path) -> Classifier:
    """The classifier from the cache, else trained and
    kept there under a name that goes with how it is made.
    """
    made = inspect.getsource(Classifier) + inspect.getsource(train_classifier)
    name = hashlib.sha256(f"{made}{EPOCHS}{BATCH}{RATE}".encode()).hexdigest()[:12]
    file = CACHE / f"digits-{name}.safetensors"
    net = Classifier()
    if file.exists():
        net.load_state_dict(load_file(file))
        return net
    print("training the classifier", file=sys.stderr, flush=True)
    net = train_classifier(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), file)
    return net


def scores(net: Classifier, pictures: Tensor, real: Tensor) -> quality.Scores:
    """All figures of pictures [n, 1, 28, 28] beside the features [m, 64] of real ones."""
    probabilities, features = net.judge(pictures)
    shares = torch.bincount(probabilities.argmax(1), minlength=10).double() / len(pictures)
    return {
        "recognised": float((probabilities.max(1).values > SURE).double().mean()),
        "entropy": float(-torch.special.xlogy(shares, shares).sum() / torch.tensor(10.0).log()),
        "classes": int((shares > 0.01).sum()),
        "distance": frechet_distance(features, real),
    }


def main() -> None:
    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data-root", type=Path, default=SHARED, help="folder with MNIST")

    given = quality.arguments(__doc__, more)
    net = classifier(given.data_root)
    data = create("dataset", "digits")
    real, labels = data.batch(torch.arange(len(data)))
    probabilities, features = net.judge(real)
    right = float((probabilities.argmax(1) == labels).double().mean())
    train = create("dataset", "mnist", root=given.data_root)
    others, _ = train.batch(torch.randperm(len(train))[:SAMPLES])
    floors = {"10,000 other real digits": scores(net, others, features)}
    print(f"classifier: {right:.2%} of the test digits; floors {floors}", flush=True)

    def score(generator: nn.Module, pipeline: Pipeline) -> quality.Scores:
        return scores(net, quality.drawn(generator, pipeline, SAMPLES), features)

    found = quality.measure(given, floors, score)
    text = quality.markdown(found, COLUMNS, HEADS)
    print(text)
    if given.document:
        tables.write(given.document, DOCUMENT_MARK, text)


if __name__ == "__main__":
    main()
