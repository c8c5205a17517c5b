"""Which losses, penalties, optimizers and initialisations hold on points and digits, at equal
budget and on one thread, and what a variational autoencoder reaches beside them: `python -m
benchmarks.results --out results --document docs/results.md`.

Every study is trained seed by seed, so that what is finished is a whole table of fewer seeds.
Ctrl-C stops it, and the same command goes on. Tables are written of what is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.config import merge

from . import tables
from .studies import (
    FEW,
    MACHINE,
    Report,
    Study,
    arguments,
    by_value,
    cell,
    crossed,
    listed,
    measured,
    measured_here,
    said,
    setting,
    train_all,
    whole,
)

LOSSES = ["minimax", "nonsat", "wgan", "hinge", "lsgan", "rpgan"]
R1, R2 = {"r1": {"weight": 0.1}}, {"r2": {"weight": 0.1}}  # their default is for 256x256
ALONE = {"r1": {"weight": 0.1, "every": 1}}  # of the studies of other things
PENALTIES: list[Any] = ["none", "gp", "lgp", "dragan", R1, R2, R1 | R2]
PAIRS = {"loss.name": LOSSES, "reg": PENALTIES}
BOTH = "optim.gen.{0},optim.disc.{0}"
OPTIMIZERS = {
    BOTH.format("name"): ["adam", "adamw", "rmsprop", "adagrad", "adadelta", "sgd"],
    BOTH.format("lr"): [1e-4, 1e-3, 1e-2, 1e-1, 1.0],
}
INITS = {"gen.init,disc.init": ["normal", "xavier", "kaiming", "orthogonal"]}
GAME = {"name": "autoencoder", "reconstruction": 10.0, "divergence": 0.1}
WEIGHTS = {"game.reconstruction,game.divergence": {"times": [1.0, 100.0]}}
AUTOENCODERS = "autoencoders"
SEEDS = 5


def adam(rate: float, beta: float) -> dict[str, Any]:
    """Both optimizers, whose rates fall to zero."""
    one = {"name": "adam", "lr": rate, "betas": [beta, 0.99], "schedule": "linear"}
    return {"gen": one, "disc": one}


def points(data: str) -> dict[str, Any]:
    """Narrow fully connected nets on points."""
    return {
        "data": {"name": data},
        "gen": {"name": "mlp", "latent_dim": 2, "width": 64, "depth": 3, "init": "auto"},
        "disc": {"name": "mlp", "width": 64, "depth": 3, "waves": 32, "init": "auto"},
        "optim": adam(3e-3, 0.5),
        "train": {"batch_size": 64, "n_critic": 1, **MACHINE},
        "average": {"half_life": "2k"},
        "metric": {"swd": {"count": 2500}},
        **FEW,
    }


def digits() -> dict[str, Any]:
    """Narrow convolutional nets on digits of 8x8 pixels."""
    return {
        "data": {"name": "digits", "resolution": "8"},
        "gen": {"name": "dcgan", "latent_dim": 32, "width": 16, "labels": False},
        "disc": {"name": "dcgan", "width": 16, "norm": "none", "labels": False},
        "optim": adam(2e-3, 0.0),
        "train": {"batch_size": 32, "n_critic": 1, **MACHINE},
        "average": {"half_life": "2k"},
        "metric": {"classifier": {"count": 2500}},
        **FEW,
    }


def over(base: Mapping[str, Any], **layer: Any) -> dict[str, Any]:
    """A base with a loss and a penalty that hold, and what else is said."""
    return merge(dict(base), {"loss": {"name": "nonsat"}, "reg": ALONE, **layer})


RING, DIGITS = "swd.distance", "classifier.distance"
STUDIES = {
    study.name: study
    for study in (
        Study("ring", "Losses and penalties on the ring", points("ring"), PAIRS, RING, 16_000),
        Study("digits", "Losses and penalties on digits", digits(), PAIRS, DIGITS, 8_000),
        Study("grid", "Losses and penalties on the grid", points("grid"), PAIRS, RING, 16_000),
        Study(
            "optimizers",
            "Optimizers and rates on the ring",
            over(points("ring")),
            OPTIMIZERS,
            RING,
            16_000,
        ),
        Study("inits", "Initialisations on the ring", over(points("ring")), INITS, RING, 16_000),
        Study(
            AUTOENCODERS,
            "A variational autoencoder on digits",
            over(digits(), game=GAME),
            WEIGHTS,
            DIGITS,
            8_000,
        ),
    )
}


def section(study: Study, folder: Path) -> str:
    """A study's tables and what they say; nothing where no seed of it is whole."""
    found = whole(study, folder)
    if found is None:
        return ""
    two = len(study.tries) == 2
    parts = [f"## {study.about}", measured(found), crossed(study, found) if two else listed(found)]
    parts += [by_value(found)] if two else []
    parts += [said(found)]
    if study.name == AUTOENCODERS:
        parts += [beside(whole(STUDIES["digits"], folder))]
    return "\n\n".join(part for part in parts if part)


def beside(gans: Report | None) -> str:
    """The best and the middle of the settings without an encoder, where these are whole."""
    if gans is None:
        return ""
    best, middle = gans["settings"][0], gans["settings"][len(gans["settings"]) // 2]
    return (
        f"Of the settings without an encoder the best is {setting(best)}, {cell(best)}, and the "
        f"one in the middle {setting(middle)}, {cell(middle)}."
    )


def main() -> None:
    """Train what is not trained yet, and write the tables of what is whole."""
    given = arguments(__doc__, [*STUDIES], SEEDS).parse_args()
    train_all((STUDIES[name] for name in given.only or STUDIES), given.out, given.seeds)
    sections = [section(study, given.out) for study in STUDIES.values()]
    text = "\n\n".join([*filter(None, sections), measured_here()])
    print(text)
    if given.document:
        tables.write(given.document, "results", text)


if __name__ == "__main__":
    main()
