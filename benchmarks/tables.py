"""Markdown tables from the results that benchmarks.speed keeps; nothing here measures."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from ganzoo.io.files import write_text

Result = dict[str, Any]


def results(folder: Path, kind: str, table: str) -> list[Result]:
    """What was kept of a table, row by row."""
    return [
        json.loads(path.read_text("utf-8"))
        for path in sorted(folder.glob(f"{kind}-{table}-*.json"))
    ]


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def measured_on(found: list[Result]) -> str:
    """One line: machine, software, dates."""
    machine = found[0]["machine"]
    dates = sorted({result["machine"]["date"] for result in found})
    return (
        f"{machine['device']}, {machine['cores']} cores, {machine['threads']} threads, torch "
        f"{machine['torch']}, "
        f"Python {machine['python']}, ganzoo {machine['ganzoo']}, "
        f"{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}."
    )


def whole(found: list[Result]) -> str:
    """Trainings beside the tutorial loop and the bare step."""
    cuda = found[0]["machine"]["kind"] == "cuda"
    speed_keys = ("loop", *(("loop_default",) if cuda else ()), "bare", "train", "train_mean")
    rows = []
    for result in found:
        f = result["found"]
        engine = f"{f['engine']}, {f['precision']}" + (f", {f['way']}" if f["way"] else "")
        speeds = [f"{f[key]:,.0f}" for key in speed_keys]
        ratios = [f"{f['times_loop']:.2f}", f"{f['of_bare']:.0%}"]
        rows.append([f["kind"], str(f["batch"]), engine, *speeds, *ratios, str(f["updates"])])
    f, pictures = found[0]["found"], found[0]["pictures"]
    size = f"{f['size']}x{f['size']}"
    caption = (
        f"dcgan {size}, width {f['width']}, {pictures} at {size}; images/s. `train` is all that "
        f"`ganzoo train` does, log lines "
        f"every 2,000 images, a grid and a checkpoint every {f['every']:,} included, whose stalls "
        f"are in the mean and not in the median."
    )
    loops = ["tutorial loop", *(["the same, TF32 convolutions"] if cuda else [])]
    columns = ["penalty", "batch", "engine", *loops, "bare step", "train, median", "train, mean"]
    return f"{caption}\n\n{table([*columns, 'x loop', 'of bare step', 'updates'], rows)}"


def engines(found: list[Result]) -> str:
    """What `ganzoo bench` found."""
    parts = []
    for result in found:
        f = result["found"]
        plain = next(row["images_per_second"] for row in f["rows"] if row["through"] == "loop")
        rows = []
        for row in f["rows"]:
            compiled, share, memory = (
                row["compile_seconds"],
                row["kernel_share"],
                row["memory_bytes"],
            )
            rows.append(
                [
                    row["name"],
                    f"{row['images_per_second']:,.0f}",
                    f"{row['images_per_second'] / plain:.2f}",
                    "-" if compiled is None else f"{compiled:.1f} s",
                    "-" if memory is None else f"{memory / 2**20:,.0f} MiB",
                    "-" if share is None else f"{share:.0%}",
                    f"{row['ceiling_share']:.1%}",
                    str(row["updates"]),
                ]
            )
        most = f["ceiling"]
        caption = (
            f"`ganzoo bench`, dcgan, batch {f['batch_size']}, {'x'.join(map(str, f['shape']))}, "
            f"penalty {f['kind']}: "
            f"{f['rows'][-1]['flop_per_image'] / 1e9:.3g} GFLOP an image. Ceiling: "
            f"{most['product']} product at "
            f"{most['flop_per_second'] / 1e12:.3g} TFLOP/s, copy at "
            f"{most['copy_bytes_per_second'] / 1e9:.3g} GB/s."
        )
        columns = [
            "variant",
            "images/s",
            "x loop",
            "compile",
            "memory",
            "kernel share",
            "of ceiling",
            "updates",
        ]
        parts.append(f"{caption}\n\n{table(columns, rows)}")
    return "\n\n".join(parts)


def kernels(found: list[Result]) -> str:
    """Where a bare step's time goes."""
    parts = []
    for result in found:
        spots = result["found"]
        rows = [
            [f"`{s['name'][:80]}`", f"{s['calls']:.1f}", f"{s['ms']:.3f} ms", f"{s['share']:.1%}"]
            for s in spots
        ]
        caption = (
            f"Where a bare step's time goes, penalty {spots[0]['kind']}, batch {spots[0]['batch']}:"
        )
        parts.append(f"{caption}\n\n{table(['operation', 'calls', 'time', 'share'], rows)}")
    return "\n\n".join(parts)


def overhead(found: list[Result]) -> str:
    """The framework's own cost."""
    f = found[0]["found"]
    return (
        f"Framework overhead, dcgan 32x32, width {f['width']}, batch 64: an update takes "
        f"{f['ganzoo_ms']:.2f} ms in `ganzoo "
        f"train`'s loop and {f['plain_ms']:.2f} ms in a plain loop doing the same work; median "
        f"ratio {f['ratio']:.3f} over "
        f"{f['updates']} updates each."
    )


def data(found: list[Result]) -> str:
    """Starts and streaming."""
    lines = []
    for f in (result["found"] for result in found):
        if "first" in f:
            first, second = f["first"]["to_first_update"], f["second"]["to_first_update"]
            lines.append(
                f"From the end of the imports to the first update, {f['data']}: {first:.1f} s at "
                f"first, then {second:.1f} s."
            )
        else:
            lines.append(
                f"Streaming {f['megabytes']:.0f} MiB with a budget of {f['budget_megabytes']} "
                f"MiB: {f['streamed']:,.0f} "
                f"images/s against {f['resident']:,.0f} resident, median ratio {f['share']:.2f} "
                f"over {f['updates']} updates each."
            )
    return "\n".join(f"- {line}" for line in lines)


def markdown(folder: Path, kind: str) -> str:
    """All tables that the folder's results make."""
    parts = []
    for name, make in (
        ("whole", whole),
        ("engines", engines),
        ("kernels", kernels),
        ("overhead", overhead),
        ("data", data),
    ):
        found = results(folder, kind, name)
        if found:
            parts += [f"{make(found)}\n\n{measured_on(found)}"]
    return "\n\n".join(parts)


def write(document: Path, kind: str, text: str) -> None:
    """Put the text between the document's markers for this
    kind of device; raises ValueError when they are not there.
    """
    content = document.read_text("utf-8")
    begin, end = f"<!-- {kind} tables -->", f"<!-- end of {kind} tables -->"
    before, found, rest = content.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document} has no {begin} ... {end}")
    write_text(document, f"{before}{begin}\n\n{_wrapped(text)}\n\n{end}{after}")


def _wrapped(text: str) -> str:
    """Its sentences in lines of 100 columns; tables as they are."""
    return "\n".join(
        line if line.startswith("|") else textwrap.fill(line, 100, subsequent_indent=_indent(line))
        for line in text.split("\n")
    )


def _indent(line: str) -> str:
    """What lines that go on begin with: those of an item stand under its first word."""
    return "  " if line.startswith("- ") else ""
