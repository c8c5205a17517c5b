"""The bands of the ladder: `python -m benchmarks.ladder ring digits` trains the own settings of
these rungs with five seeds each, and writes what they reach into their files, with machine and
date.

A band is what another training of the same settings is held to; nothing else writes one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import tomlkit
import torch

from ganzoo import config as configuration
from ganzoo import ladder
from ganzoo.bench.machine_limits import machine
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Registry
from ganzoo.io.files import write_text

SEEDS = range(5)


@dataclass(frozen=True)
class Elsewhere(ladder.Placed):
    """A rung whose pictures lie in another form at a path."""

    data: str = ""

    @property
    def settings(self) -> configuration.Tree:
        return configuration.merge(super().settings, {"data": {"name": self.data}})


def measured(place: ladder.Placed, registry: Registry) -> ladder.Band:
    """The band of a rung; raises RuntimeError where its own settings do not get there."""
    defaults, settings = configuration.defaults(), place.settings
    meant = configuration.meaning({}, defaults, "ganzoo")
    meant = configuration.meaning(meant, settings, place.recipe.distribution)
    tree = configuration.merge(defaults, settings)
    found = ladder.climb(tree, place, registry.meaning(meant), SEEDS)
    if len(found.values) < len(SEEDS):
        raise RuntimeError(f"{place.rung.name}: {found.verdict}: {found.why}")
    about = machine(torch.device("cpu"))
    return ladder.Band(
        values=tuple(float(f"{value:.6g}") for value in found.values),
        seeds=tuple(SEEDS),
        machine=f"{about['device']}, {about['threads']} threads",
        date=about["date"],
        versions=f"ganzoo {about['ganzoo']}, torch {about['torch']}",
    )


def write(path: Path, band: ladder.Band) -> None:
    """Put a band into a rung's file; the rest of it stays as it is."""
    document = tomlkit.parse(path.read_text("utf-8"))
    table = tomlkit.table()
    for key, value in band.model_dump().items():
        table[key] = [*value] if isinstance(value, tuple) else value
    document["rung"]["band"] = table  # type: ignore[index]
    write_text(path, tomlkit.dumps(document))


def main() -> None:
    """Measure the rungs that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rungs", nargs="+")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--data", help="its pictures in another form, of a single rung")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    registry = zoo().registry
    for place in ladder.chosen(registry, given.rungs):
        if given.data:
            place = Elsewhere(place.rung, place.recipe, given.data)
        band = measured(place, registry)
        write(Path(str(place.recipe.factory)), band)
        print(f"{place.rung.name}: {band.values}", flush=True)


if __name__ == "__main__":
    main()
