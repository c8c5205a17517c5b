"""`ganzoo bench`: how fast a pipeline trains on this machine."""

from __future__ import annotations

from typing import Any

import click

from . import train
from ._echo import echo
from ._patience import patience
from ._shared import Real, loaded, print_json, table

# What train takes beside a pipeline; engines are what is compared.
NO_PART = ("images", "keep", "on_nan", "engine", "out", "resume", "dry_run", "as_json")
COLUMNS = [
    "",
    "images/s",
    "x loop",
    "update",
    "updates",
    "compile",
    "memory",
    "kernels",
    "of ceiling",
]


@click.command(
    "bench",
    short_help="Measure how fast a pipeline trains here.",
    params=[option for option in train.command.params if option.name not in NO_PART],
)
@click.option(
    "--engines",
    metavar="NAME,NAME",
    default="",
    help="eager, compiled, captured; by default all there are.",
)
@click.option(
    "--seconds",
    type=Real(min=0.0, min_open=True),
    default=5.0,
    show_default=True,
    help="For each variant.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(engines: str, seconds: float, as_json: bool, **given: Any) -> None:
    """Measure a pipeline, named as for `ganzoo train`: by every engine the bare step
    and the whole training, beside a plain loop over the same nets (eager, fp32, each
    loss read back at once). The variants take turns; medians over updates.

    \b
    ganzoo bench --gen dcgan --reg gp --resolution 64 --batch-size 256
    """
    from ..bench.speed import measure
    from ._layers import configure, words
    from ._report import data_progress, say

    registry = loaded().registry
    layers = configure(registry, dict.fromkeys(NO_PART) | given, words=words())
    names = [name.strip() for name in engines.split(",") if name.strip()]
    with patience("opening the data"), data_progress() as progress:
        found = measure(
            layers.config, registry.meaning(layers.meant), names, seconds, progress, say
        )
    if as_json:
        print_json(found)
        return
    show(found)


def show(found: dict[str, Any]) -> None:
    """The table, and under it what it was measured on and against."""
    plain = next(row["images_per_second"] for row in found["rows"] if row["through"] == "loop")
    title = f"batch {found['batch_size']}, samples {'x'.join(map(str, found['shape']))}"
    table(title, COLUMNS, [cells(row, plain) for row in found["rows"]])
    machine, most = found["machine"], found["ceiling"]
    echo(
        f"# {machine['device']}, {machine['cores']} cores, torch {machine['torch']}, "
        f"{machine['date']}"
    )
    work = {row["name"]: f"{row['flop_per_image'] / 1e9:.3g}" for row in found["rows"]}
    echo(
        f"# GFLOP an image, updates of both sides: {work['plain loop']} in the loop, "
        f"{[*work.values()][-1]} in the engines"
    )
    echo(
        f"# ceiling: matrix product {most['flop_per_second'] / 1e12:.3g} TFLOP/s "
        f"({most['product']}), "
        f"copy {most['copy_bytes_per_second'] / 1e9:.3g} GB/s"
    )
    memory = (
        "peak of each engine"
        if machine["kind"] == "cuda"
        else "the process's peak when the variant had begun"
    )
    echo(
        f"# memory: {memory}; compile: the first update less the median, short where the cache "
        f"holds it"
    )
    for note in found["notes"]:
        echo(f"# note: {note}")


def cells(row: dict[str, Any], plain: float) -> list[str]:
    """A variant's row."""
    speed, engine = row["images_per_second"], row["engine"]
    name = (
        row["name"]
        if not engine or row["name"].startswith(engine)
        else f"{row['name']} (fell back to {engine})"
    )
    return [
        name,
        f"{speed:,.0f}",
        f"{speed / plain:.2f}",
        f"{row['update_seconds'] * 1e3:.2f} ms",
        str(row["updates"]),
        "-" if row["compile_seconds"] is None else f"{row['compile_seconds']:.1f} s",
        "-" if row["memory_bytes"] is None else f"{row['memory_bytes'] / 2**20:,.0f} MiB",
        "-" if row["kernel_share"] is None else f"{row['kernel_share']:.0%}",
        f"{row['ceiling_share']:.1%}",
    ]
