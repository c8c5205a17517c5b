"""Where short trainings end: `python -m benchmarks.convergence` trains each of CASES with five
seeds, and keeps their scores.

What it finds is what tests/training/test_convergence.py holds the next seed to, so that a change
which spoils the mathematics without an error is seen. A case says every setting that matters, and
depends on no recipe; each takes half a minute on one thread. `--broken` trains what BROKEN spoils
on purpose instead, says where it ends, and keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ganzoo_plugins.datasets.points import GRID_CENTRES, RING_CENTRES, RING_STD
from ganzoo_plugins.metrics.frechet import frechet_distance
from ganzoo_plugins.metrics.sliced import sliced_distance
from torch import Tensor

from ganzoo import config as configuration
from ganzoo import create
from ganzoo.assembly.assembling import assemble
from ganzoo.assembly.pipeline import Pipeline
from ganzoo.bench.machine_limits import machine
from ganzoo.components.loading import zoo
from ganzoo.generate.sampling import sample
from ganzoo.io.files import write_text
from ganzoo.training.loop import Training

from .quality import Scores

FILE = Path(__file__).parents[1] / "tests" / "training" / "convergence.json"
SEEDS = range(5)
SAMPLES = 2500
COMPONENTS = 64  # of the digits' pixels
# Where a sixth value of a normal distribution lies with 99 %, in deviations of five values from
# their mean: Student's t with four degrees of freedom, times sqrt(1 + 1/5), since the mean is known
# from five values only.
REACH = 4.604 * (1 + 1 / len(SEEDS)) ** 0.5
# Five equal counts do not say that a sixth is the same.
SLACK = 0.1

Tree = dict[str, Any]


# What is measured.


def ring_scores(points: Tensor) -> Scores:
    """Share within 3 deviations of a centre, centres with such a point, sliced distance."""
    distance, mode = torch.cdist(points, torch.tensor(RING_CENTRES)).min(1)
    near = distance < 3 * RING_STD
    real, _ = create("dataset", "ring").batch(torch.arange(len(points)))
    return {
        "near": float(near.double().mean()),
        "modes": len(mode[near].unique()),
        "sliced": sliced_distance(points, real),
    }


def grid_scores(points: Tensor) -> Scores:
    """Centres that 1 % of the points are nearest to, how uneven their shares are, sliced distance.

    Uneven is the total variation from equal shares. So short a training puts few points within 3
    deviations of a centre, and their share says little.
    """
    nearest = torch.cdist(points, torch.tensor(GRID_CENTRES)).argmin(1)
    shares = torch.bincount(nearest, minlength=len(GRID_CENTRES)).double() / len(points)
    real, _ = create("dataset", "grid").batch(torch.arange(len(points)))
    return {
        "modes": int((shares >= 0.01).sum()),
        "uneven": float((shares - 1 / len(GRID_CENTRES)).abs().sum() / 2),
        "sliced": sliced_distance(points, real),
    }


def digit_scores(pictures: Tensor) -> Scores:
    """Distances from real digits: sliced, and Frechet's in principal components of the pixels."""
    data = create("dataset", "digits")
    real, _ = data.batch(torch.arange(len(data)))
    pixels = real.flatten(1).double()
    values, vectors = torch.linalg.eigh(pixels.T.cov())
    axes = vectors[:, values.argsort(descending=True)[:COMPONENTS]]
    some = torch.linspace(0, len(data) - 1, len(pictures)).long()  # of all writers
    return {
        "sliced": sliced_distance(pictures, real[some]),
        "frechet": frechet_distance(pictures.flatten(1).double() @ axes, pixels @ axes),
    }


# What is trained.


def adam(rate: float, betas: tuple[float, float], schedule: str) -> Tree:
    one = {"name": "adam", "lr": rate, "betas": list(betas), "eps": 1e-8, "schedule": schedule}
    return {"gen": one, "disc": dict(one)}


def falling(first: float, last: float) -> Tree:
    """r1 and r2 whose weights fall along a cosine."""
    weight = {"from": first, "to": last, "shape": "cosine"}
    return {name: {"weight": dict(weight), "every": 1} for name in ("r1", "r2")}


def mlps(width: int, latent: int) -> Tree:
    both = {"name": "mlp", "width": width, "depth": 3, "init": "auto"}
    return {"gen": {**both, "latent_dim": latent}, "disc": dict(both)}


CASES: dict[str, Tree] = {
    # Relativistic, penalties that fall, cosine rates.
    "ring": {
        **mlps(128, 2),
        "data": {"name": "ring"},
        "loss": {"name": "rpgan"},
        "reg": falling(0.1, 3e-4),
        "optim": adam(2e-3, (0.5, 0.99), "cosine"),
        "train": {"images": 200_000, "batch_size": 128, "n_critic": 1},
        "average": {"half_life": 20_000},
    },
    # The same where modes are many and far apart.
    "grid": {
        **mlps(128, 2),
        "data": {"name": "grid"},
        "loss": {"name": "rpgan"},
        "reg": falling(0.5, 5e-3),
        "optim": adam(2e-3, (0.5, 0.99), "cosine"),
        "train": {"images": 300_000, "batch_size": 256, "n_critic": 1},
        "average": {"half_life": 20_000},
    },
    # Cross-entropy on pictures, a lazy penalty, linear rates.
    "digits": {
        "gen": {"name": "dcgan", "width": 16, "latent_dim": 64, "init": "auto"},
        "disc": {"name": "dcgan", "width": 16, "norm": "none", "init": "auto"},
        "data": {"name": "digits"},
        "loss": {"name": "nonsat"},
        "reg": {"r1": {"weight": 0.1, "every": 4}},
        "optim": adam(2e-3, (0.0, 0.99), "linear"),
        "train": {"images": 12_000, "batch_size": 16, "n_critic": 1},
        "average": {"half_life": 2_000},
    },
}
SCORES: dict[str, Callable[[Tensor], Scores]] = {
    "ring": ring_scores,
    "grid": grid_scores,
    "digits": digit_scores,
}


def unchanged(pipeline: Pipeline) -> None:
    pass


def turned(pipeline: Pipeline) -> None:
    """The generator goes where its loss grows."""
    loss = pipeline.parts.loss
    right = loss.generator
    loss.generator = lambda step: -right(step)  # type: ignore[method-assign]


def unpenalised(pipeline: Pipeline) -> None:
    """Penalties weigh nothing."""
    for regularizer in pipeline.parts.regularizers.values():
        regularizer.scale = lambda progress: torch.zeros(())  # type: ignore[method-assign]


def hasty(pipeline: Pipeline) -> None:
    """Rates are ten times as high."""
    for optimizer in pipeline.optimizers.values():
        for group in optimizer.param_groups:
            group["initial_lr"] = 10 * float(group["lr"])


BROKEN = {function.__name__: function for function in (turned, unpenalised, hasty)}


def trained(case: str, seed: int, change: Callable[[Pipeline], None] = unchanged) -> Scores:
    """What the averaged generator scores after one training, in fp32 and eager."""
    plain = {
        "train": {"seed": seed, "device": "cpu", "engine": "eager", "precision": "fp32"},
        "checkpoint": {"images": 0, "minutes": 0},
    }
    tree = configuration.merge(configuration.merge(configuration.defaults(), CASES[case]), plain)
    pipeline = assemble(configuration.check(tree), zoo().registry)
    change(pipeline)
    Training(pipeline).run()
    return SCORES[case](sample(pipeline.average.net, SAMPLES, 0, spec=pipeline.spec))


def band(values: list[float]) -> tuple[float, float]:
    """Where another seed's score is expected with 99 %; of counts, at least SLACK to a side."""
    mean, reach = statistics.mean(values), REACH * statistics.stdev(values)
    if all(isinstance(value, int) for value in values):
        reach = max(reach, SLACK * mean)
    return mean - reach, mean + reach


def timed(*given: Any) -> Scores:
    began = time.process_time()
    found = trained(*given)
    print(*given[:2], {key: round(value, 4) for key, value in found.items()}, flush=True)
    return found | {"cpu_seconds": time.process_time() - began}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--broken", nargs="*", choices=BROKEN, help="how (all of them)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.broken is not None:
        for how in given.broken or BROKEN:
            print(how)
            for case in given.cases:
                timed(case, len(SEEDS), BROKEN[how])
        return
    for case in given.cases:
        rows = [timed(case, seed) for seed in SEEDS]
        scores = {key: [round(row[key], 5) for row in rows] for key in rows[0]}
        found = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
        found[case] = {"machine": machine(torch.device("cpu")), "seeds": [*SEEDS], "scores": scores}
        write_text(FILE, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
