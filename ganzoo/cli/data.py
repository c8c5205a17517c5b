"""`ganzoo data inspect PATH`: what a folder, zip or file holds, and what training would do with it;
`ganzoo data shard PATH`: its pictures as shards.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ._echo import echo
from ._patience import patience
from ._shared import loaded, plain, print_json, table

if TYPE_CHECKING:
    from ..data.forms import Form

NAMED = 20  # classes and broken files that are named one by one


@click.group("data", short_help="Look at data before training on it, or write them as shards.")
def command() -> None:
    """Look at data before training on it, or write them as shards."""


@command.command("inspect", short_help="Say what a folder, zip or file of data holds.")
@click.argument("path", type=click.Path())
@click.option("--resolution", metavar="N|HxW", help="As for ganzoo train.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="data.KEY=VALUE",
    help="An option of the data, as for ganzoo train; may repeat.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect_command(
    path: str, resolution: str | None, settings: tuple[str, ...], as_json: bool
) -> None:
    """Say what PATH holds, and what training would do: of pictures the sizes, channels, classes and
    broken files; of a table its columns, of texts the letters, of videos and arrays the samples.
    """
    if not Path(path).exists() and any(
        c.name == path for c in loaded().registry.components("dataset")
    ):
        raise UsageError(f"{path}: a data set, and not a folder or zip; see ganzoo info {path}")
    options = _options(settings)
    with patience():
        from ..data import form_of, inspect, parse_resolution
        from ._report import data_progress

    form = form_of(path, options)
    if form is not None:
        _inspect_form(path, form, options, resolution, as_json)
        return
    for key in options:
        raise UsageError(f"--set data.{key}: no option of a folder or zip of pictures")
    with patience("listing what is there"), data_progress() as progress:
        found = inspect(
            path, resolution=parse_resolution(resolution) if resolution else None, progress=progress
        )
    if as_json:
        print_json(found)
        return
    table(
        f"{found['path']}: a {found['kind']} of {found['pictures']:,} pictures",
        ["", " "],
        _rows(found),
        always=True,
    )
    echo("training would take")
    for note in found["training"]["notes"]:
        echo(f"  {plain(note)}")
    echo(f"  {found['training']['memory_mib']:,} MiB of pixels")


@command.command("shard", short_help="Write a folder or zip of pictures as shards.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Their folder.")
@click.option(
    "--size", default="1GB", show_default=True, metavar="SIZE", help="Of each, at most about."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def shard_command(path: Path, out: Path, size: str, as_json: bool) -> None:
    """Write the pictures of PATH, a folder or zip, as shards: tars of some samples each, which
    `ganzoo train --data OUT` reads one after the other. Labels, vectors and pairs go with them.
    """
    with patience():
        from ..data import write_shards
        from ..io.device_memory import parse_bytes
        from ._report import data_progress

    limit = parse_bytes(size)
    if not limit:
        raise UsageError(f"--size {size}: no size; write 200MB or 1GB")
    with patience("listing what is there"), data_progress() as progress:
        found = write_shards(path, out, size=limit, progress=progress)
    index = found.index
    if as_json:
        print_json({"out": str(out), "notes": list(found.notes), **index.model_dump()})
        return
    for note in found.notes:
        echo(plain(note))
    samples, written = (sum(getattr(each, n) for each in index.shards) for n in ("count", "size"))
    echo(f"{samples:,} samples in {len(index.shards):,} shards, {written:,} bytes: {out}")


def _options(settings: tuple[str, ...]) -> dict[str, Any]:
    """The options of data that --set gives, by name."""
    from ..config import setting

    found: dict[str, Any] = {}
    for text in settings:
        keys, value = setting(text)
        if len(keys) != 2 or keys[0] != "data":
            raise UsageError(f"--set {text}: here it sets options of the data, as data.label=NAME")
        found[keys[1]] = value
    return found


def _inspect_form(
    path: str, form: Form, options: dict[str, Any], resolution: str | None, as_json: bool
) -> None:
    """Say what is read in another form than pictures."""
    from ..components.options import check
    from ..data import inspect_samples, parse_resolution

    given = check(form.load, options, "data")
    if resolution and form.scaled:
        given["resolution"] = parse_resolution(resolution)
    elif resolution:
        raise UsageError(f"--resolution: {path} is {form.name}, without pictures")
    with patience(f"reading {form.name}"):
        found = inspect_samples(path, form.name, form.load(path, **given))
    if as_json:
        print_json(found)
        return
    title = f"{found['path']}: {form.name} of {found['samples']:,} samples"
    table(title, ["", " "], _sample_rows(found), always=True)
    echo("training would take")
    for note in found["training"]["notes"]:
        echo(f"  {plain(note)}")
    echo(f"  {found['training']['memory_mib']:,} MiB of samples")


def _sample_rows(found: dict[str, Any]) -> list[list[str]]:
    """What is printed of samples."""
    rows = [
        ["modality", found["modality"]],
        ["sample", "x".join(map(str, found["shape"]))],
    ]
    if found["classes"]:
        rows.append(["classes", f"{len(found['classes'])}: {_counts(found['classes'])}"])
    if "values" in found:
        rows.append(["values", f"{found['values']['min']:.4g} to {found['values']['max']:.4g}"])
    if "alphabet" in found:
        symbols = [symbol for symbol in found["alphabet"] if symbol]
        rows.append(["letters", f"{len(symbols)}: {''.join(symbols)!r}"])
        rows += [["as in", line] for line in found["examples"]]
    for column in found.get("columns", ()):
        rows.append([column["name"], _said(column)])
    return rows


def _said(column: dict[str, Any]) -> str:
    """A column in words."""
    if column["kind"] == "category":
        return f"category of {len(column['values'])}: {_counts(column['values'])}"
    kind = "whole numbers" if column["whole"] else "numbers"
    return (
        f"{kind} from {column['min']:.6g} to {column['max']:.6g}, mean {column['mean']:.4g}, "
        f"deviation {column['deviation']:.4g}"
    )


def _rows(found: dict[str, Any]) -> list[list[str]]:
    sizes = found["sizes"]
    common = ", ".join(
        f"{s['height']}x{s['width']} ({s['pictures']:,})" for s in sizes["common"][:5]
    )
    spread = "; ".join(
        f"{side} {sizes[side]['min']} to {sizes[side]['max']}" for side in ("height", "width")
    )
    broken = [f"{b['name']} ({b['reason']})" for b in found["broken"]]
    rows = [
        ["bytes", f"{found['bytes']:,}"],
        [
            "sizes",
            common
            if sizes["distinct"] <= 5
            else f"{sizes['distinct']:,} different; {spread}; mostly {common}",
        ],
        ["modes", _counts(found["modes"])],
        ["formats", _counts(found["formats"])],
        [
            "classes",
            f"{len(found['classes'])}: {_counts(found['classes'])}"
            if found["classes"]
            else "none (no class folders)",
        ],
        ["broken", f"{len(broken)}: {_some(broken)}" if broken else "none"],
    ]
    counted = ("transparent", "animated", "duplicates", "others")
    return rows + [
        [key if key != "others" else "other files", f"{found[key]:,}"]
        for key in counted
        if found[key]
    ]


def _counts(counts: dict[str, int]) -> str:
    return _some([f"{name} {n:,}" for name, n in counts.items()])


def _some(words: list[str]) -> str:
    return ", ".join(words[:NAMED]) + (
        f" and {len(words) - NAMED:,} more" if len(words) > NAMED else ""
    )
