"""What each family of nets reaches on digits or other pictures of 32x32 after as many images as a
budget of CPU time buys it: `python -m benchmarks.families --out families --budget 60 --document
docs/families.md`. Other data or another budget want a folder of their own.

Loss, penalties and optimizers are the same for all, and the nets narrow. What an image costs is
measured once for each family, on one thread, and kept beside its runs; so a training is as long on
a busy machine as on an idle one. Ctrl-C stops it, and the same command goes on. The table is
written of what is whole.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.config import merge
from ganzoo.io.files import write_text
from ganzoo.library import layered
from ganzoo.measure import scores_file
from ganzoo.training.loop import Training

from . import tables
from .studies import (
    FEW,
    MACHINE,
    Report,
    Study,
    arguments,
    interval,
    measured_here,
    train_all,
    whole,
)

BATCH = 16
FIRST, LAST = 4, 12  # updates between which is measured what an image costs
SEEDS = 2
BUDGET = 60.0  # CPU seconds
ADAM = {"name": "adam", "lr": 2e-3, "betas": [0.0, 0.99], "schedule": "linear"}
PENALTY = {"weight": 0.1, "every": 4}
MAPPED = {"width": 16, "latent_dim": 64, "mapping": 2}
SMALL = {"width": 64, "depth": 4, "patch": 8}
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # options of both nets
    "mlp": ({}, {}),
    "dcgan": ({"width": 32}, {"width": 32, "norm": "none"}),
    "resnet": ({"width": 32}, {"width": 32}),
    "sagan": ({"width": 32}, {"width": 32}),
    "biggan": ({"width": 8}, {"width": 8}),
    "biggan-deep": ({"width": 8}, {"width": 8}),
    "stylegan2": (MAPPED, {"width": 16}),
    "progan": (MAPPED, {"width": 16}),
    "r3gan": ({"width": 32}, {"width": 32}),
    "fastgan": ({"width": 16}, {"width": 16, "norm": "none"}),
    "gat": (SMALL, SMALL),
}


def base(family: str, data: str) -> dict[str, Any]:
    """A family's nets, and what is the same for all."""
    gen, disc = FAMILIES[family]
    return {
        "data": {"name": data, "resolution": "32"},
        "gen": {"name": family, **gen},
        "disc": {"name": family, **disc},
        "loss": {"name": "rpgan"},
        "reg": {"r1": PENALTY, "r2": PENALTY},
        "optim": {"gen": ADAM, "disc": ADAM},
        "train": {"batch_size": BATCH, "n_critic": 1, "conditional": False, **MACHINE},
        "average": {"half_life": "2k"},
        **FEW,
    }


def cost(family: str, folder: Path) -> float:
    """CPU seconds of an image of any data of that size, measured once and kept."""
    kept = folder / family / "cost.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps({"seconds_per_image": _measured(family)}) + "\n")
    return float(json.loads(kept.read_text("utf-8"))["seconds_per_image"])


def _measured(family: str) -> float:
    """By a few updates, the first of which are not counted."""
    registry = zoo().registry
    given = merge(base(family, "digits"), {"train": {"images": LAST * BATCH}})
    config, meant = layered(given, registry)
    pipeline = assemble(configuration.check(config), registry.meaning(meant))
    clock: dict[int, float] = {}

    def note(images: int) -> None:
        clock[images] = time.process_time()

    Training(pipeline, tick=note).run()
    counted = (LAST - FIRST) * BATCH
    return (clock[LAST * BATCH] - clock[FIRST * BATCH]) / counted


def study(family: str, folder: Path, budget: float, data: str) -> Study:
    """A family's trainings: as many images as the budget buys."""
    images = max(int(budget / cost(family, folder)) // BATCH, 1) * BATCH
    measured = merge(base(family, data), {"metric": {"classifier": {"count": 2500}}})
    return Study(family, family, measured, {}, "classifier.distance", images)


def row(one: Study, report: Report, folder: Path) -> list[str]:
    """A family's line of the table."""
    figures = [
        score.figures
        for seed in range(report["seeds"])
        for score in scores_file.read(one.place(folder, seed) / "trials" / "000")
    ]
    shares = [
        f"{statistics.mean(each[name].value for each in figures):.0%}"
        for name in ("precision", "recall")
    ]
    survived = f"{report['survival']['count']} of {report['survival']['total']}"
    score = interval(report["settings"][0]["score"])
    return [f"`{one.name}`", f"{report['images']:,}", score, *shares, survived]


def markdown(chosen: list[Study], folder: Path, budget: float) -> str:
    """The table of the families of which a seed is whole, the best first."""
    found = [(report["settings"][0]["score"]["mean"], row(one, report, folder))
             for one in chosen if (report := whole(one, folder)) is not None]  # fmt: skip
    lines = [line for _, line in sorted(found, key=lambda pair: (pair[0] is None, pair[0] or 0.0))]
    if not lines:
        return "No family has been trained for it yet."
    heads = ["family", "images", "`classifier.distance`", "precision", "recall", "survived"]
    said = f"As many images as {budget:g} CPU seconds buy."
    return f"{said}\n\n{tables.table(heads, lines)}\n\n{measured_here()}"


def main() -> None:
    """Train what is not trained yet, and write the table of what is whole."""
    parser = arguments(__doc__, [*FAMILIES], SEEDS)
    parser.add_argument("--budget", type=float, default=BUDGET, help="CPU seconds of a training")
    parser.add_argument("--data", default="digits", help="a data set of pictures")
    parser.add_argument("--table", default="families", help="which of the document")
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = given.only or FAMILIES
    chosen = [study(name, given.out, given.budget, given.data) for name in names]
    train_all(chosen, given.out, given.seeds)
    text = markdown(chosen, given.out, given.budget)
    print(text)
    if given.document:
        tables.write(given.document, given.table, text)


if __name__ == "__main__":
    main()
