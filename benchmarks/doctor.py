"""How far the doctor is right: `python -m benchmarks.doctor --out /tmp/doctor --document
docs/doctor.md`.

Small trainings that were made sick on purpose, each in one way, and healthy ones; on points and on
digits of 8x8 pixels, 12,800 images each. Thresholds were chosen on seeds up to 10
and from 100 on; others prove them. A training whose findings are in the folder is not done again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d

import ganzoo
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component
from ganzoo.contracts import Dataset, Generator, PositiveInt, Spec
from ganzoo.doctor import rules
from ganzoo.doctor.case import open_case
from ganzoo.doctor.seen import look
from ganzoo.errors import GanzooError
from ganzoo.io.files import write_text
from ganzoo.training.meters import NotFinite

from . import tables

Tree = dict[str, Any]
MARK = "doctor"
IMAGES, LINES = 12_800, 20
PROOF = (11, 12, 13, 14, 15)  # seeds of the table; no threshold was chosen by them
FEW = 80  # pictures, of which half are held out

# Parts that are at fault.


class Checkered(Generator):
    """Doubles its size by kernels of 3 and a stride of 2, which overlap in every second pixel."""

    partner = "dcgan"

    def __init__(
        self, spec: Spec, *, latent_dim: PositiveInt = 16, width: PositiveInt = 32
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.small = spec.shape[0], spec.shape[1] // 2, spec.shape[2] // 2
        self.body = nn.Sequential(
            nn.Linear(latent_dim, width), nn.ReLU(), nn.Linear(width, math.prod(self.small))
        )
        self.register_buffer("kernel", torch.ones(1, 1, 3, 3))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        small = self.body(latents).unflatten(1, self.small)
        large = conv_transpose2d(small, self.kernel, stride=2, padding=1, output_padding=1)
        return large / 2


class OneAlike(Generator):
    """Draws one picture of the first class, whatever the latents are."""

    conditional = True
    partner = "dcgan"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 16, width: PositiveInt = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.body = ganzoo.create(
            "generator", "dcgan", spec, latent_dim=latent_dim, width=width, labels=True
        )

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        samples: Tensor = self.body(latents * (labels > 0)[:, None], labels)
        return samples


class Inner(Generator):
    """A fully connected net, which others make a fault of."""

    partner = "mlp"

    def __init__(
        self, spec: Spec, *, latent_dim: PositiveInt = 16, width: PositiveInt = 32
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.body = ganzoo.create(
            "generator", "mlp", spec, latent_dim=latent_dim, width=width, depth=3
        )

    def calibrate(self, points: Tensor) -> None:
        self.body.calibrate(points)


class Alike(Inner):
    """Hardly looks at the latents."""

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        samples: Tensor = self.body(latents / 1000)
        return samples


class Quarter(Inner):
    """Draws no number below zero."""

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        samples: Tensor = self.body(latents).abs()
        return samples


def digits() -> Dataset:
    """The built-in digits, every fifth."""
    whole = ganzoo.create("dataset", "digits")
    assert whole.labels is not None
    return Dataset(whole.samples[::5].clone(), whole.labels[::5].clone(), whole.classes)


def few() -> Dataset:
    """A few of the digits, without labels."""
    return Dataset(digits().samples[:FEW])


def repeated() -> Dataset:
    """Digits of which a third stand for another third too."""
    data = digits()
    third = len(data) // 3
    data.samples[:third] = data.samples[-third:]
    return data


def blank() -> Dataset:
    """Digits of which a fifth are black."""
    data = digits()
    data.samples[::5] = 0
    return data


def tripled() -> Dataset:
    """Grey digits in three channels."""
    data = digits()
    return replace(data, samples=data.samples.repeat(1, 3, 1, 1))


FAULTY: tuple[tuple[str, str, Callable[..., object]], ...] = (
    ("generator", "checkered", Checkered),
    ("generator", "one-alike", OneAlike),
    ("generator", "alike", Alike),
    ("generator", "quarter", Quarter),
    ("dataset", "fifth", digits),
    ("dataset", "few", few),
    ("dataset", "repeated", repeated),
    ("dataset", "blank", blank),
    ("dataset", "tripled", tripled),
)

# Trainings.

RING: Tree = {
    "data": {"name": "ring"},
    "gen": {"name": "mlp", "width": 32, "depth": 4},
    "disc": {"width": 32, "depth": 3},
    "train": {"batch_size": 64},
}
GRID = {**RING, "data": {"name": "grid"}}
DIGITS: Tree = {
    "recipe": "rpgan-digits",
    "data": {"name": "fifth", "resolution": 8},
    "gen": {"name": "dcgan", "width": 8},
    "disc": {"name": "dcgan", "width": 8},
    "train": {"batch_size": 32},
}
UNTOLD: Tree = {"gen": {"labels": False}, "disc": {"labels": False}}


def data(name: str, **more: Any) -> Tree:
    """Pictures of another data set."""
    return {"data": {"name": name, **more}}


def game(loss: str, **regularizers: Any) -> Tree:
    """A loss with regularizers in place of the recipe's."""
    own = {k: {"every": 1, **v} if k in ("r1", "r2") else v for k, v in regularizers.items()}
    return {"loss": {"name": loss}, "reg": {"r1": False, "r2": False, **own}}


def rates(gen: float | None = None, disc: float | None = None, **more: Any) -> Tree:
    """Rates of the two."""
    sides = {"gen": gen, "disc": disc}
    return {"optim": {side: {"lr": rate, **more} for side, rate in sides.items() if rate}}


def joined(*trees: Tree) -> Tree:
    """Settings over settings."""
    found: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            old = found.get(key)
            both = isinstance(value, dict) and isinstance(old, dict)
            found[key] = joined(old, value) if both else value  # type: ignore[arg-type]
    return found


def built(name: str) -> Tree:
    """A generator that is at fault, of points."""
    return {"gen": {"name": name, "depth": None}}


HASTY = rates(2e-3, 2e-2, schedule="constant")
STEADY = {"schedule": "constant", "betas": [0.9, 0.9]}
AT_ONCE: Tree = {"train": {"updates": "simultaneous"}}
LONGER: Tree = {"train": {"images": 4 * IMAGES}}
LONG = {"average": {"half_life": 10**6, "ramp": 0.0}}
FEWER = joined(UNTOLD, data("few", holdout=0.5), {"train": {"batch_size": 16}})
WIDE: Tree = {
    "gen": {"name": "mlp", "width": 128, "latent_dim": 16},
    "disc": {"name": "mlp", "width": 128, "norm": None},
}
Training = tuple[Tree, Tree]
SICK: dict[str, list[Training]] = {  # what is to be found -> data, and what makes it so
    "mode collapse": [(each, built("alike")) for each in (RING, GRID)],
    "modes missing": [(each, built("quarter")) for each in (RING, GRID)],
    "mode collapse of a class": [(DIGITS, {"gen": {"name": "one-alike", "labels": None}})],
    "discriminator too strong": [(RING, rates(1e-7)), (DIGITS, rates(1e-7))],
    "discriminator too weak": [(RING, rates(disc=1e-9)), (GRID, rates(disc=1e-9))],
    "oscillation": [
        (each, joined(game("wgan", clip={"bound": 0.05}), AT_ONCE, rates(1e-2, 1e-2, **STEADY)))
        for each in (RING, GRID)
    ],
    "gamma too high": [
        (RING, game("nonsat", r1={"weight": 1e5})),
        (DIGITS, game("nonsat", r1={"weight": 1e3})),
    ],
    "gamma too low": [(RING, game("nonsat", r1={"weight": 1e-7}))],
    "rate too high": [
        (RING, rates(0.3, 0.3, schedule="constant")),
        (DIGITS, rates(0.3, 0.3, schedule="constant")),
    ],
    "logits run away": [
        (RING, joined(game("wgan"), rates(2e-3, 1e-1, schedule="constant"))),
        (GRID, joined(game("wgan"), rates(2e-3, 1e-1, schedule="constant"))),
    ],
    "generator gradient vanishes": [
        (DIGITS, joined(game("minimax"), rates(1e-4, 1e-2, schedule="constant"))),
    ],
    "generator gradient explodes": [(RING, joined(game("wgan"), HASTY))],
    "weights run away": [(GRID, joined(game("wgan"), HASTY))],
    "not finite": [(each, joined(game("wgan"), rates(disc=1e30))) for each in (RING, DIGITS)],
    "saturated outputs": [(DIGITS, rates(gen=0.3))],
    "stale average": [(RING, LONG), (DIGITS, LONG)],
    "label ignored": [(DIGITS, {"disc": {"labels": False}})],
    "checkerboard": [(DIGITS, joined(UNTOLD, {"gen": {"name": "checkered", "labels": None}}))],
    "augmentation leaks": [
        (DIGITS, {"aug": {"ada": {"groups": "blit", "probability": 1.0}}}),
    ],
    "discriminator overfit": [
        (DIGITS, joined(FEWER, WIDE, game("nonsat"), rates(1e-3, 1e-3, schedule="constant")))
    ],
    "memorising": [(DIGITS, joined(FEWER, WIDE, {"train": {"images": 25_600}}))],
    "duplicates in the data": [(DIGITS, data("repeated"))],
    "constant pictures": [(DIGITS, data("blank"))],
    "wrong channels": [(DIGITS, data("tripled"))],
}
HEALTHY: dict[str, list[Training]] = {
    "the data's recipe": [(each, {}) for each in (RING, GRID, DIGITS)],
    "hinge and r1": [(DIGITS, game("hinge", r1={"weight": 0.1}))],
    "nonsat and r1": [(each, game("nonsat", r1={"weight": 0.1})) for each in (RING, GRID, DIGITS)],
    "nonsat and gp": [(each, game("nonsat", gp={"weight": 1.0})) for each in (RING, GRID, DIGITS)],
    "lsgan and r1": [(each, game("lsgan", r1={"weight": 0.1})) for each in (GRID, DIGITS)],
    "hinge and sn": [(DIGITS, game("hinge", sn={}))],
    "no labels": [(DIGITS, UNTOLD)],
    "diffaug": [(DIGITS, {"aug": {"diffaug": {}}, **LONGER})],
    "a tenth held out": [(DIGITS, data("fifth", holdout=0.1))],
}

UNCLEAR: dict[str, list[Training]] = {  # shown, and nothing asked of it: docs/doctor.md has why
    "hinge and r1 on points": [(RING, game("hinge", r1={"weight": 0.1}))],
    "wgan and gp": [(each, game("wgan", gp={})) for each in (RING, GRID)],
}


def examined(folder: Path, base: Tree, layer: Tree, seed: int) -> list[str]:
    """The rules that fire on a training."""
    images = layer.get("train", {}).get("images", IMAGES)
    own = {"train": {"images": images, "seed": seed, "device": "cpu"}, "samples": {"count": 64}}
    tree = joined(base, layer, own, {"log": {"images": images // LINES}})
    for side in ("gen", "disc"):
        tree[side] = {key: value for key, value in tree[side].items() if value is not None}
    with contextlib.suppress(NotFinite):
        ganzoo.train(tree, folder)
    registry = zoo().registry
    case = open_case(folder, registry)
    found = rules.of_log(case)
    with contextlib.suppress(GanzooError):
        found += rules.of_run(look(case, folder, registry))
    return [finding.rule for finding in found]


def register() -> None:
    """Let trainings name the parts that are at fault."""
    registry = zoo().registry
    known = {(each.kind, each.name) for each in registry.components()}
    registry.add(
        Component(kind, name, factory, "benchmarks", "benchmarks", "0")
        for kind, name, factory in FAULTY
        if (kind, name) not in known
    )


def confusion(
    out: Path, seeds: list[int], kinds: set[str] | None = None
) -> dict[tuple[str, str], dict[str, int]]:
    """(kind, data) -> how often each rule fired, or none; printed as it is found."""
    register()
    table = {}
    for kind, trainings in {**SICK, **UNCLEAR, **HEALTHY}.items():
        for base, layer in trainings if kinds is None or kind in kinds else ():
            name = layer.get("data", base["data"])["name"]
            found: Counter[str] = Counter()
            for seed in seeds:
                folder = out / f"{kind}-{name}-{seed}".replace(" ", "-").replace("'", "")
                kept = folder / "found.json"
                if not kept.is_file():
                    shutil.rmtree(folder, ignore_errors=True)
                    write_text(kept, json.dumps(examined(folder, base, layer, seed)))
                found.update(json.loads(kept.read_text("utf-8")) or ["nothing"])
            table[kind, name] = dict(found)
            print(f"{kind:28} {name:9} {dict(found)}", flush=True)
    return table


def rows(table: dict[tuple[str, str], dict[str, int]], seeds: int) -> list[list[str]]:
    """The cells of the table: what was found of each kind."""
    found = []
    for (kind, name), counts in table.items():
        others = {rule: count for rule, count in counts.items() if rule not in (kind, "nothing")}
        named = counts.get(kind if kind in SICK else "nothing", 0)
        said = ", ".join(f"{rule} {count}" for rule, count in others.items())
        word = "named" if kind in SICK else "nothing"
        where = "digits" if name not in ("ring", "grid") else name
        title = f"healthy: {kind}" if kind in HEALTHY else kind
        found.append([title, where, f"{word} {named} of {seeds}", said])
    return found


def summary(table: dict[tuple[str, str], dict[str, int]], seeds: int) -> str:
    """One line: kinds that were named, and healthy trainings that were left alone."""
    kinds: dict[str, bool] = {}
    for (kind, _), counts in table.items():
        if kind in SICK:
            kinds[kind] = kinds.get(kind, True) and counts.get(kind, 0) == seeds
    well = [counts.get("nothing", 0) for (kind, _), counts in table.items() if kind in HEALTHY]
    sick = [counts.get(kind, 0) for (kind, _), counts in table.items() if kind in SICK]
    return (
        f"{sum(kinds.values())} of {len(kinds)} kinds were named in all their trainings, "
        f"{sum(sick)} of {seeds * len(sick)} sick trainings in all; nothing was found in "
        f"{sum(well)} of {seeds * len(well)} healthy ones."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[*PROOF])
    parser.add_argument("--kinds", nargs="*", help="some of them")
    parser.add_argument("--document", type=Path, help="write the table between its marks")
    given = parser.parse_args()
    table = confusion(given.out, given.seeds, set(given.kinds) if given.kinds else None)
    heads = ["training", "data", "found", "and beside it"]
    said = summary(table, len(given.seeds))
    text = f"{textwrap.fill(said, 100)}\n\n{tables.table(heads, rows(table, len(given.seeds)))}"
    print(said)
    if given.document:
        tables.write(given.document, MARK, text)


if __name__ == "__main__":
    main()
