"""What `memorised` finds of planted copies: `python -m benchmarks.copying --document
docs/measures.md`.

Of the built-in digits nine tenths are the training's and the rest are held out. In place of
generated samples stand digits of MNIST's training set, which neither has, and in a share of them
copies of training digits: as they are, with noise, or moved by a pixel. Each row is of several
draws: how often the verdict says that samples were memorised, in pixels, in features or in either.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ganzoo import create
from ganzoo.contracts import Dataset, Spec
from ganzoo.data.holdout import split

from . import tables
from .stacked_mnist import SHARED

COUNT = 1000  # samples of each draw
SHARES = (0.01, 0.1, 0.5)
PERMUTATIONS = 399
LEVEL = 0.01
MARK = "copying"
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "exact": lambda images: images,
    "noise of deviation 0.2": lambda images: (images + 0.2 * torch.randn(images.shape)).clamp(
        -1, 1
    ),
    "moved by one pixel": lambda images: torch.roll(images, (1, 0), (2, 3)),
}


def whole(data: Dataset) -> Tensor:
    """All images [n, c, h, w] in [-1, 1]."""
    return data.batch(torch.arange(len(data)))[0]


def found(metric: object, real: Tensor, fake: Tensor, held: Tensor) -> dict[str, float]:
    """The figures of `memorised`."""
    asked: dict[str, float] = metric.compare(  # type: ignore[attr-defined]
        *(metric.features(each) for each in (real, fake, held))  # type: ignore[attr-defined]
    )
    return asked


def row(name: str, share: float, drawn: list[dict[str, float]]) -> list[str]:
    """The cells of one kind of copies and one share of them."""
    spaces = ("p", "features_p")
    ways = [[each[space] <= LEVEL / 2 for each in drawn] for space in spaces]
    ways.append([each["memorised"] > 0 for each in drawn])
    mean = {key: sum(each[key] for each in drawn) / len(drawn) for key in drawn[0]}
    return [
        name,
        f"{share:.0%}",
        *(f"{sum(way)} of {len(way)}" for way in ways),
        f"{mean['share']:.3f}",
        f"{mean['ct']:.1f}",
        f"{mean['authenticity']:.2f} ({mean['floor_authenticity']:.2f})",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--features", default="random-conv", help="or classifier")
    parser.add_argument("--data-root", type=Path, default=SHARED, help="folder with MNIST")
    parser.add_argument("--document", type=Path, help="write the table between its marks")
    given = parser.parse_args()
    trained, held = split(create("dataset", "digits"), 0.1)
    assert held is not None
    options = {"count": COUNT, "permutations": PERMUTATIONS, "features": given.features}
    metric = create("metric", "memorised", Spec((1, 28, 28)), **options)
    metric.learn(trained, print)
    known, kept = whole(trained), whole(held)
    fresh = create("dataset", "mnist", root=given.data_root)
    cases = [("none", 0.0), *((name, share) for name in CHANGES for share in SHARES)]
    rows = []
    for name, share in cases:
        drawn = []
        for seed in range(given.draws):
            torch.manual_seed(seed)
            fake = fresh.batch(torch.randperm(len(fresh))[:COUNT])[0]
            copies = round(share * COUNT)
            if copies:
                fake[:copies] = CHANGES[name](known[torch.randperm(len(known))[:copies]])
            drawn.append(found(metric, known[:COUNT], fake, kept))
        rows.append(row(name, share, drawn))
        print(*rows[-1], sep=" | ", flush=True)
    heads = [
        "copies",
        "share",
        "found in pixels",
        "found in features",
        "verdict",
        "`share`",
        "`ct`",
    ]
    text = tables.table([*heads, "`authenticity` (floor)"], rows)
    if given.document:
        tables.write(given.document, MARK, text)


if __name__ == "__main__":
    main()
