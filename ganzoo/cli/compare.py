"""`ganzoo compare A B C...`: runs side by side, fairly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ._echo import echo
from ._shared import plain, print_json, table

if TYPE_CHECKING:
    from ..runs.compare import Group

LOGGED = (  # figures of the log that a person is shown; --json has all
    "rank",
    "spread",
    "variety",
    "discriminator.total",
    "generator.total",
    "discriminator.gradient",
    "generator.gradient",
    "images_per_second",
)


@click.command("compare", short_help="Set runs side by side.")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Also draw their samples side by side, after equally many images.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(runs: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Compare runs: settings that differ, scores of one protocol, logs after as many images.

    Runs of equal settings but the seed are taken together, with an interval over their seeds.
    """
    from ..runs import compare as comparing

    if out is not None and out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: write a name that ends in .png")
    found, about = comparing.compare(runs)
    if out is not None:
        about["picture"] = {"file": str(out), "images": comparing.draw(found, out)}
    if as_json:
        print_json(about)
        return
    _show(found, about)


def _show(found: list[Group], about: Mapping[str, Any]) -> None:
    """The tables, for a person."""
    labels = [group.label for group in found]
    rows = []
    for group in found:
        for run in group.runs:
            seed = str(run.settings.get("train.seed"))
            rows.append([group.label, run.name, seed, run.state, f"{run.images:,}", run.verdict])
    table("runs", ["", "run", "seed", "state", "images", "health"], rows, always=True)
    echo()
    settings = [
        [key, *(_setting(row[label]) for label in labels)] for key, row in about["settings"].items()
    ]
    _titled("settings that differ", labels, settings, "none but the seed")
    _titled(
        "scores",
        [*labels, "floor", ""],
        _scored(about["scores"], labels),
        "none that carry a protocol",
    )
    images = sorted(set(about["log"]["images"]))
    known = about["log"]["figures"]
    logged = [
        [name, *(_spread(known[name][label]) for label in labels)]
        for name in LOGGED
        if name in known
    ]
    counted = f"{images[0]:,}" + (f" to {images[-1]:,}" if len(images) > 1 else "")
    _titled(f"log after {counted} images", labels, logged, "no figure that all have")
    if "picture" in about:
        echo(f"{about['picture']['file']}  (samples after {_counted(about['picture']['images'])})")


def _counted(images: list[int]) -> str:
    return ", ".join(f"{each:,}" for each in sorted(set(images))) + " images"


def _titled(title: str, columns: list[str], rows: list[list[str]], none: str) -> None:
    if rows:
        table(title, ["", *columns], rows, always=True)
    else:
        echo(f"{title}: {none}")
    echo()


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else plain(value)


def _scored(scores: Mapping[str, Any], labels: list[str]) -> list[list[str]]:
    """A row a figure: with its interval, or why it is not compared."""
    rows = []
    for name, column in scores.items():
        if column["refused"]:
            rows.append([name, *("" for _ in labels), "", f"not compared: {column['refused']}"])
            continue
        own = column["groups"]
        counts = {images for each in own.values() for images in each["images"]}
        cells = [_spread(own[label]) if label in own else "-" for label in labels]
        floor = "" if column["floor"] is None else f"{column['floor']:.4g}"
        note = "larger is better" if column["larger"] else ""
        if len(counts) > 1:
            note = f"{note}; taken after {_counted([*counts])}".lstrip("; ")
        rows.append([name, *cells, floor, note])
    return rows


def _spread(each: Mapping[str, Any]) -> str:
    """`1.2 [1.1, 1.3], 3 seeds`; draws are those of samples from one generator."""
    text = f"{each['mean']:.4g}"
    if each["low"] is None:
        return text
    return f"{text} [{each['low']:.4g}, {each['high']:.4g}], {each['count']} {each['over']}"
