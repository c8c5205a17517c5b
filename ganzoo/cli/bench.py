"""`ganzoo bench`: how fast a pipeline trains on this machine."""

from __future__ import annotations

from typing import Any

import click

from ..errors import UsageError
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
RANKS = ["ranks", "images/s", "update", "updates", "efficiency"]
SENT = ["messages", "bytes sent", "in messages"]


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
    "--ranks",
    metavar="N,N",
    help="Measure the whole training by so many processes of this machine instead, by torchrun: "
    "1,2,4. One is always measured.",
)
@click.option(
    "--grow-batch",
    is_flag=True,
    help="With --ranks: --batch-size is that of a rank; without, the whole batch stays.",
)
@click.option(
    "--seconds",
    type=Real(min=0.0, min_open=True),
    default=5.0,
    show_default=True,
    help="For each variant.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    engines: str,
    ranks: str | None,
    grow_batch: bool,
    seconds: float,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure a pipeline, named as for `ganzoo train`: by every engine the bare step
    and the whole training, beside a plain loop over the same nets (eager, fp32, each
    loss read back at once). The variants take turns; medians over updates.

    \b
    ganzoo bench --gen dcgan --reg gp --resolution 64 --batch-size 256
    ganzoo bench --gen dcgan --batch-size 64 --ranks 1,2,4
    """
    names = [name.strip() for name in engines.split(",") if name.strip()]
    if ranks is not None:
        _ranks(ranks, grow_batch, names, seconds, as_json, given)
        return
    if grow_batch:
        raise UsageError("--grow-batch: goes with --ranks")
    from ..bench.speed import measure
    from ._layers import configure, words
    from ._report import data_progress, say

    registry = loaded().registry
    layers = configure(registry, dict.fromkeys(NO_PART) | given, words=words())
    with patience("opening the data"), data_progress() as progress:
        found = measure(
            layers.config, registry.meaning(layers.meant), names, seconds, progress, say
        )
    if as_json:
        print_json(found)
        return
    show(found)


def _ranks(
    ranks: str,
    grow: bool,
    names: list[str],
    seconds: float,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    """Measure so many ranks, and show it."""
    from ..bench import scaling
    from ._layers import configure, words

    counts = scaling.numbers(ranks)
    if len(names) > 1:
        raise UsageError(f"--engines {','.join(names)}: one engine with --ranks")
    layers = configure(loaded().registry, dict.fromkeys(NO_PART) | given, words=words())
    for engine in names:
        layers.add({"train": {"engine": engine}}, f"--engines {engine}", whole=True)
    said = (lambda line: None) if as_json else (lambda line: echo(f"# {line}", err=True))
    found = scaling.measure(layers.config, layers.meant, counts, seconds, grow, said)
    if as_json:
        print_json(found)
    else:
        show_ranks(found)


def show_ranks(found: dict[str, Any]) -> None:
    """The table of ranks, and under it what its columns mean here."""
    machine, rows = found["machine"], found["rows"]
    cuda = machine["kind"] == "cuda"
    batch = rows[0]["batch_size"]
    title = f"batch {batch}{' a rank' if found['grow'] else ''}, engine {rows[-1]['engine']}"
    table(title, [*RANKS, "of GPUs" if cuda else "of cores", *SENT], [_row(row) for row in rows])
    cores = machine["cores"]
    where = "a GPU each" if cuda else f"one thread each, {cores} cores shared by all"
    echo(f"# {machine['device']}, {where}, torch {machine['torch']}, {machine['date']}")
    kept = (
        "the batch grows with the ranks (weak scaling)"
        if found["grow"]
        else ("the whole batch stays the same (strong scaling)")
    )
    echo(
        f"# {kept}; efficiency: images/s over those of 1 rank, by the number of ranks"
        + ("" if cuda else f", and by ranks that have a core of their own, {cores} at most")
    )
    sizes = ", ".join(f"{side} {size:,}" for side, size in rows[0]["gradient_bytes"].items())
    echo(f"# bytes of gradients: {sizes}; sent: by a rank in an update of all, as a ring sends")
    echo(
        "# in messages: the part of an update in which gradients and statistics of the whole batch "
        "are summed, waiting for slower ranks included"
    )


def _row(row: dict[str, Any]) -> list[str]:
    """A number of ranks."""
    return [
        str(row["ranks"]),
        f"{row['images_per_second']:,.0f}",
        f"{row['update_seconds'] * 1e3:.2f} ms",
        str(row["updates"]),
        f"{row['efficiency']:.2f}",
        f"{row['efficiency_of_places']:.2f}",
        f"{row['messages']:,.0f}",
        f"{row['sent_bytes']:,.0f}",
        f"{row['message_share']:.1%}",
    ]


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
