"""What benchmarks.digits and benchmarks.ring share: trainings given as the flags of `ganzoo train`,
one for each seed, timed, with their scores in a JSON file and in a table of the docs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.assembly.assembling import assemble
from ganzoo.assembly.pipeline import Pipeline
from ganzoo.bench.machine_limits import machine
from ganzoo.cli._layers import configure
from ganzoo.cli.train import command
from ganzoo.components.loading import zoo
from ganzoo.generate.sampling import sample
from ganzoo.io.files import write_text
from ganzoo.training.loop import Training

from .tables import table

Scores = dict[str, float]


def assembled(flags: list[str], seed: int) -> Pipeline:
    """What `ganzoo train FLAGS --seed SEED` would train."""
    given = command.make_context("train", [*flags, "--seed", str(seed)]).params
    registry = zoo().registry
    layers = configure(registry, given)
    return assemble(layers.config, registry.meaning(layers.meant))


def trained(flags: list[str], seed: int, score: Callable[[nn.Module, Pipeline], Scores]) -> Scores:
    """One training: its time and the scores of the averaged generator."""
    pipeline = assembled(flags, seed)
    training = Training(pipeline)
    began, used = time.perf_counter(), time.process_time()
    training.run()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    about = {
        "seed": seed,
        "images": training.images,
        "seconds": seconds,
        "cpu_seconds": used,
        "images_per_second": training.images / seconds,
    }
    return about | score(pipeline.average.net, pipeline)


def drawn(net: nn.Module, pipeline: Pipeline, count: int) -> Tensor:
    """Samples [count, ...] in the generator's range, the same in every run."""
    found: Tensor = sample(net, count, 0, spec=pipeline.spec)
    return found


def compared(rows: list[Scores], columns: dict[str, str]) -> list[str]:
    """A cell for each column: the mean over the seeds, with the least and the largest."""
    cells = []
    for key, form in columns.items():
        values = [float(row[key]) for row in rows]
        least, most = form.format(min(values)), form.format(max(values))
        mean = form.format(statistics.mean(values))
        cells.append(mean if least == most else f"{mean} ({least} to {most})")
    return cells


def arguments(about: str | None, floor: Callable[[argparse.ArgumentParser], None]) -> Any:
    """The command line of a benchmark; what follows `--` are the flags of `ganzoo train`."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--out", type=Path, help="a JSON file, whose other rows are kept")
    parser.add_argument("--document", type=Path, help="write the table of --out between its marks")
    floor(parser)
    parser.add_argument("flags", nargs="*", help="of ganzoo train, behind --")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    return given


def measure(
    given: Any, floors: dict[str, Scores], score: Callable[[nn.Module, Pipeline], Scores]
) -> list[dict[str, Any]]:
    """Trains every seed and says what came of it; the rows of --out with this one."""
    name = shlex.join(["ganzoo", "train", *given.flags])
    rows = []
    for seed in map(int, given.seeds.split(",")):
        rows.append(trained(given.flags, seed, score))
        print(json.dumps({k: round(v, 4) for k, v in rows[-1].items()}), flush=True)
    kept = json.loads(given.out.read_text("utf-8")) if given.out and given.out.exists() else []
    found = {"machine": machine(torch.device("cpu")), "command": name, "floors": floors}
    found = [*(row for row in kept if row["command"] != name), found | {"seeds": rows}]
    if given.out:
        write_text(given.out, json.dumps(found, indent=2) + "\n")
    return found


def markdown(found: list[dict[str, Any]], columns: dict[str, str], heads: list[str]) -> str:
    """The table: a row for each command, under it what real samples score, machine and date."""
    rows = [
        [f"`{row['command']}`", *compared(row["seeds"], columns), str(len(row["seeds"]))]
        for row in found
    ]
    for name, floor in found[-1]["floors"].items():
        rows.append(
            [name, *(f.format(floor[k]) if k in floor else "-" for k, f in columns.items()), "-"]
        )
    about = found[-1]["machine"]
    measured = (
        f"{about['device']}, {about['cores']} cores, torch {about['torch']}, {about['date']}."
    )
    return f"{table(['command', *heads, 'seeds'], rows)}\n\n{measured}"
