"""How well a training covers the ring of eight Gaussians, or the grid of twenty-five: `python
-m benchmarks.ring -- --gen mlp --data ring --loss rpgan`.

What follows `--` are the flags of `ganzoo train`. For each seed a training is timed, and 2,500
samples of the averaged generator are judged as Srivastava et al. 2017 and Lin et al. 2018 do: the
share within 3 standard deviations of the nearest centre, and the modes that at least one of those
falls in. A perfect sampler has 98.89 % (1 - exp(-4.5)) and all of them. With --mixture grid it
judges by the grid's centres, and its tables are the grid's.
"""

from __future__ import annotations

import argparse
import math

import torch
from ganzoo_plugins.datasets.points import GRID_CENTRES, GRID_STD, RING_CENTRES, RING_STD
from ganzoo_plugins.metrics.modes import coverage
from torch import Tensor, nn

from ganzoo.assembly.pipeline import Pipeline

from . import quality, tables

SAMPLES = 2500
COLUMNS = {
    "near": "{:.1%}",
    "modes": "{:.0f}",
    "kl": "{:.3f}",
    "images": "{:,.0f}",
    "seconds": "{:.0f} s",
    "cpu_seconds": "{:.0f} s",
}
HEADS = ["within 3 deviations", "modes", "KL to uniform", "points", "time", "CPU time"]
MIXTURES = {"ring": (RING_CENTRES, RING_STD), "grid": (GRID_CENTRES, GRID_STD)}


def scores(points: Tensor, mixture: str = "ring") -> quality.Scores:
    """Share within 3 deviations of a centre, modes with one
    such point, KL of the modes' shares from equal ones (nats).
    """
    centres, deviation = MIXTURES[mixture]
    found = coverage(points, torch.tensor(centres), deviation)
    return {"near": found["quality"], "modes": int(found["covered"]), "kl": found["kl"]}


def perfect(mixture: str) -> quality.Scores:
    """What a perfect sampler is expected to score."""
    modes = len(MIXTURES[mixture][0])
    return {"near": 1 - math.exp(-4.5), "modes": modes, "kl": (modes - 1) / (2 * SAMPLES)}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mixture", choices=MIXTURES, default="ring")


def main() -> None:
    given = quality.arguments(__doc__, options)
    floors = {"a perfect sampler": perfect(given.mixture)}

    def score(generator: nn.Module, pipeline: Pipeline) -> quality.Scores:
        return scores(quality.drawn(generator, pipeline, SAMPLES), given.mixture)

    text = quality.markdown(quality.measure(given, floors, score), COLUMNS, HEADS)
    print(text)
    if given.document:
        tables.write(given.document, given.mixture, text)


if __name__ == "__main__":
    main()
