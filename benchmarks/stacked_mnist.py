"""Stacked MNIST against the clock: 1,000 modes, and how evenly
they are covered, by rpgan with r1 and r2 on plain dcgan nets.

`python -m benchmarks.stacked_mnist` trains a digit classifier, then a GAN for each seed, and scores
26,000 samples of each (Metz et al. 2017; Srivastava et al. 2017): the modes that at least one
sample falls in, and the KL divergence of their histogram from the uniform one. Beside them stand
the score of as many real triples and of a perfect sampler of digits that are all equally frequent.
With small budgets (--images 20k --classifier-epochs 1) it runs on a CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import config as configuration
from ganzoo import create
from ganzoo.assembly.assembling import assemble
from ganzoo.bench.machine_limits import machine
from ganzoo.components.loading import zoo
from ganzoo.config.tree import Config
from ganzoo.contracts import Dataset, Tracker
from ganzoo.generate.sampling import sample
from ganzoo.io.files import write_text
from ganzoo.training.loop import Training

SAMPLES = 26_000
MODES = 1000
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


class Classifier(nn.Sequential):
    """A plain CNN for one digit, [n, 1, size, size] in [-1, 1]."""

    def __init__(self, size: int) -> None:
        super().__init__(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(64 * (size // 4) ** 2, 128), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(128, 10),
        )  # fmt: skip

    @torch.no_grad()
    def digits(self, pictures: Tensor) -> Tensor:
        """The likeliest digit of each picture, [n]."""
        self.eval()
        return torch.cat([self(chunk).argmax(1) for chunk in pictures.split(500)])


def digits(given: argparse.Namespace, split: str) -> Dataset:
    """MNIST at the resolution that the GAN draws."""
    found: Dataset = create(
        "dataset", "mnist", root=given.data_root, resolution=(given.resolution,) * 2, split=split
    )
    return found


def train_classifier(given: argparse.Namespace, device: torch.device) -> tuple[Classifier, float]:
    """The classifier, and its accuracy on the test digits."""
    torch.manual_seed(0)
    net = Classifier(given.resolution).to(device)
    data, batch = digits(given, "train"), 128
    assert data.labels is not None
    rounds = given.classifier_epochs * (len(data) // batch)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds)
    samples, labels = data.samples.to(device), data.labels.to(device)
    net.train()
    for step in range(rounds):
        if step % (len(data) // batch) == 0:
            order = torch.randperm(len(data)).to(device)
        chosen = order[(step % (len(data) // batch)) * batch :][:batch]
        pictures = samples[chosen].float().div_(127.5).sub_(1)
        loss = nn.functional.cross_entropy(net(pictures), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    test = digits(given, "test")
    pictures, truth = test.batch(torch.arange(len(test)))
    assert truth is not None
    return net, float((net.digits(pictures.to(device)).cpu() == truth).float().mean())


def modes_of(net: Classifier, pictures: Tensor, device: torch.device) -> Tensor:
    """The mode of each triple [n, 3, size, size]: 100 red + 10 green + blue."""
    red, green, blue = (
        net.digits(pictures[:, channel : channel + 1].to(device)).cpu() for channel in range(3)
    )
    return 100 * red + 10 * green + blue


def score(modes: Tensor) -> dict[str, float]:
    """Modes covered, and KL(histogram of the samples || uniform), in nats."""
    shares = torch.bincount(modes, minlength=MODES).double() / len(modes)
    covered = shares > 0
    return {
        "modes": int(covered.sum()),
        "kl": float((shares[covered] * (shares[covered] * MODES).log()).sum()),
    }


def floor(repeats: int = 50) -> dict[str, float]:
    """What a perfect sampler of equally frequent modes scores: mean and deviation of its KL."""
    stream = torch.Generator().manual_seed(0)
    drawn = torch.tensor(
        [score(torch.randint(MODES, (SAMPLES,), generator=stream))["kl"] for _ in range(repeats)]
    )
    return {"kl": float(drawn.mean()), "deviation": float(drawn.std())}


def real_score(net: Classifier, data: Dataset, device: torch.device) -> dict[str, float]:
    """The score of as many real triples, classified like the samples."""
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:SAMPLES]
    found = [modes_of(net, data.batch(part)[0], device) for part in chosen.split(500)]
    return score(torch.cat(found))


def configured(given: argparse.Namespace, seed: int) -> Config:
    """rpgan + r1 + r2 with gamma from 1 to 0.1, Adam at
    4e-4 along a cosine, no norm in the discriminator.
    """
    adam = {"name": "adam", "lr": 4e-4, "betas": [0.0, 0.99], "schedule": "cosine"}
    penalty = {"weight": {"from": 1.0, "to": 0.1, "shape": "cosine"}}
    tree = {
        "gen": {"name": "dcgan", "width": given.width},
        "disc": {"name": "dcgan", "width": given.width, "norm": "none"},
        "loss": {"name": "rpgan"},
        "reg": {"r1": penalty, "r2": penalty},
        "optim": {"gen": adam, "disc": adam},
        "data": {
            "name": "stacked-mnist",
            "root": str(given.data_root),
            "resolution": given.resolution,
        },
        "train": {
            "images": given.images,
            "batch_size": given.batch_size,
            "seed": seed,
            "device": given.device,
        },
        "average": {"half_life": "200k"},
        "log": {"images": "10k"},
    }
    return configuration.check(configuration.merge(configuration.defaults(), tree))


class Clock(Tracker):
    """When the log lines came: the first is behind the compilation."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def log(self, record: Mapping[str, Any]) -> None:
        """One mark."""
        self.marks.append((int(record["images"]), time.perf_counter()))


def train(given: argparse.Namespace, seed: int, net: Classifier) -> dict[str, Any]:
    """One GAN: its scores, raw and averaged, and how long the training took."""
    began = time.perf_counter()
    pipeline = assemble(configured(given, seed), zoo().registry)
    clock, device = Clock(), pipeline.device
    training = Training(pipeline, listeners=[clock])
    start = time.perf_counter()
    training.run()
    end = time.perf_counter()
    (first_images, first), (last_images, last) = clock.marks[0], clock.marks[-1]
    timed = last_images - first_images
    pace = (last - first) / timed if timed else (end - start) / training.images  # seconds an image
    scores = {}
    for name, generator in (("raw", pipeline.parts.generator), ("averaged", pipeline.average.net)):
        drawn = sample(generator, SAMPLES, seed, spec=pipeline.spec)
        scores[name] = score(modes_of(net, drawn, device))
    return {
        "seed": seed,
        "images": training.images,
        "engine": training.engine.mode,
        "precision": pipeline.parts.precision,
        "assembly_seconds": start - began,
        "training_seconds": end - start,  # compilation included
        "update_seconds": pace * training.images,  # at the pace after the first log line
        "images_per_second": 1 / pace,
        **scores,
    }


def trained(given: argparse.Namespace, seed: int, net: Classifier) -> dict[str, Any]:
    """One seed's results, printed as well."""
    result = train(given, seed, net)
    print(
        f"seed {seed}: {result['images']:,} images in {result['training_seconds']:.1f} s, "
        f"compilation included",
        flush=True,
    )
    print(
        f"  {result['update_seconds']:.1f} s without it, {result['images_per_second']:,.0f} "
        f"images/s by {result['engine']}"
    )
    for name in ("raw", "averaged"):
        print(f"  {name}: {result[name]['modes']} modes, KL {result[name]['kl']:.4f}", flush=True)
    return result


def arguments() -> argparse.Namespace:
    """What was given on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="4M", help="real images shown (default: %(default)s)")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--width", type=int, default=64, help="of both nets")
    parser.add_argument("--resolution", type=int, default=32, help="the digits are resized to this")
    parser.add_argument("--classifier-epochs", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--data-root", type=Path, default=SHARED, help="folder with MNIST (default: ../shared/data)"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    pipeline_device = (
        "cuda"
        if given.device == "auto" and torch.cuda.is_available()
        else given.device.replace("auto", "cpu")
    )
    device = torch.device(pipeline_device)
    began = time.perf_counter()
    net, accuracy = train_classifier(given, device)
    print(
        f"classifier: {accuracy:.2%} of the test digits, trained in "
        f"{time.perf_counter() - began:.0f} s",
        flush=True,
    )
    triples: Dataset = create(
        "dataset", "stacked-mnist", root=given.data_root, resolution=(given.resolution,) * 2
    )
    real, least = real_score(net, triples, device), floor()
    print(f"{SAMPLES:,} real triples: {real['modes']} modes, KL {real['kl']:.4f}")
    print(
        f"a perfect sampler of uniform modes: KL {least['kl']:.4f} +- {least['deviation']:.4f}",
        flush=True,
    )
    found = [trained(given, seed, net) for seed in map(int, given.seeds.split(","))]
    about = {
        "machine": machine(device),
        "classifier": accuracy,
        "real": real,
        "floor": least,
        "seeds": found,
    }
    if given.out:
        write_text(given.out, json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
