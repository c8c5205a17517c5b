"""What `tune` of r1 and r2 is worth: `python -m benchmarks.tuned --out /tmp/tuned --document
docs/doctor.md`.

Small nets on points and on digits of 8x8 pixels are trained with a weight that is right, far too
low or far too high, and with a rate of the discriminator that is too high; each with the weight
fixed and tuned, by five seeds. The limits in penalties/tuning.py were chosen on seeds 1 to 3. What
was trained is in the folder and is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import ganzoo
from ganzoo.bench.machine_limits import machine
from ganzoo.engine.health import ALIKE, NARROW
from ganzoo.io.files import write_text
from ganzoo.runs.compare import bootstrap
from ganzoo.training.meters import NotFinite

from . import tables
from .doctor import DIGITS, RING, Tree, game, joined, rates, register

MARK = "tuned"
SEEDS = (11, 12, 13, 14, 15)
RIGHT = 0.1  # the weight that trains all of them
WORSE = 2.0  # times the mean distance of the right weight, from which on a training counts as dead
DATA: dict[str, tuple[Tree, int]] = {"ring": (RING, 38_400), "digits": (DIGITS, 12_800)}
LOSSES = {"nonsat": ("r1",), "rpgan": ("r1", "r2")}
FAULTS: dict[str, tuple[float, Tree]] = {  # the weight, and what else is changed
    "right": (RIGHT, {}),
    "weight 1e-7": (1e-7, {}),
    "weight 1e3": (1e3, {}),
    "weight 1e5": (1e5, {}),
    "rate 0.02 of the discriminator": (RIGHT, rates(disc=0.02)),
    "rates 0.02 of both": (RIGHT, rates(0.02, 0.02)),
}
Found = dict[str, Any]


def trained(data: str, loss: str, fault: str, tune: bool, seed: int) -> Found:
    """How one training ended: whether its samples are alike, its distance, the last weight."""
    base, images = DATA[data]
    weight, more = FAULTS[fault]
    penalty = {"weight": weight, "tune": tune}
    own: Tree = {
        "train": {"images": images, "seed": seed, "device": "cpu", "precision": "fp32"},
        "log": {"images": images // 20},
        "metric": {"swd": {}},
        "average": {"half_life": images // 10},
    }
    layer = game(loss, **dict.fromkeys(LOSSES[loss], penalty))
    try:
        done = ganzoo.train(joined(base, layer, more, own))
    except NotFinite:
        return {"finite": False, "alike": True, "distance": None, "weight": None}
    last = done.log[-1]
    return {
        "finite": True,
        "alike": last["spread"] < NARROW or last["variety"] < ALIKE,
        "distance": done.scores["swd.distance"],
        "weight": last["discriminator"].get("r1.weight", weight),
    }


def all_found(out: Path, seeds: list[int]) -> dict[tuple[str, str, str, bool], list[Found]]:
    """(data, loss, fault, tuned) -> how the seeds ended; printed as it is found."""
    register()
    found: dict[tuple[str, str, str, bool], list[Found]] = {}
    for seed in seeds:
        for data in DATA:
            for loss in LOSSES:
                for fault in FAULTS:
                    for tune in (False, True):
                        key = (data, loss, fault, tune)
                        name = "-".join([*key[:3], "tuned" if tune else "fixed", str(seed)])
                        kept = out / f"{name.replace(' ', '-')}.json"
                        if not kept.is_file():
                            write_text(kept, json.dumps(trained(*key, seed)))
                        one = json.loads(kept.read_text("utf-8"))
                        found.setdefault(key, []).append(one)
                        print(name, one, flush=True)
    return found


def lives(one: Found, limit: float) -> bool:
    """Whether a training was finite, its samples not alike, and its distance within the limit."""
    return one["finite"] and not one["alike"] and one["distance"] <= limit


def rows(found: dict[tuple[str, str, str, bool], list[Found]]) -> list[list[str]]:
    """The cells of the table: with the fixed weight and with the tuned one."""
    cells = []
    for (data, loss, fault, tune), fixed in found.items():
        if tune:
            continue
        right = [one["distance"] for one in found[data, loss, "right", False]]
        limit = WORSE * fmean(right)
        tuned = found[data, loss, fault, True]
        line = [data, loss, fault]
        for ones in (fixed, tuned):
            line += [f"{sum(lives(one, limit) for one in ones)} of {len(ones)}", score(ones)]
        ends = [one["weight"] for one in tuned if one["finite"]]
        cells.append([*line, f"{min(ends):.2g} to {max(ends):.2g}" if ends else "-"])
    return cells


def score(ones: list[Found]) -> str:
    """The mean distance of those that ended, with its interval."""
    values = [one["distance"] for one in ones if one["finite"]]
    interval = bootstrap(values)
    if not values:
        return "none ended"
    told = f"{fmean(values):.3f}"
    return told if interval is None else f"{told} ({interval[0]:.3f} to {interval[1]:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of what was found")
    parser.add_argument("--seeds", type=int, nargs="+", default=[*SEEDS])
    parser.add_argument("--document", type=Path, help="write the table between its marks")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    found = all_found(given.out, given.seeds)
    heads = ["data", "loss", "training", "fixed: lived", "fixed: distance"]
    heads += ["tuned: lived", "tuned: distance", "tuned: r1's last weight"]
    on = machine(torch.device("cpu"))
    said = (
        f"{on['device']}, one thread, torch {on['torch']}, {on['date']}; seeds "
        f"{', '.join(map(str, given.seeds))}. Distances are swd's, with bootstrap intervals at "
        f"95 %; a training lived that stayed finite, whose samples were not alike, and whose "
        f"distance is at most {WORSE:g} times the mean of the right weight, fixed."
    )
    text = f"{textwrap.fill(said, 100)}\n\n{tables.table(heads, rows(found))}"
    print(text)
    if given.document:
        tables.write(given.document, MARK, text)


if __name__ == "__main__":
    main()
