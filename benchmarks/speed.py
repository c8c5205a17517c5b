"""Makes all tables of docs/speed.md, on a GPU if there is one,
else on the CPU: `python -m benchmarks.speed --out FOLDER`.

Results are kept in the folder as JSON, a file for each table and row,
so that a run may be done in parts (--tables, --batches); --write-docs
puts what the folder holds between the markers of docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ganzoo.bench.machine_limits import machine
from ganzoo.io.files import write_text

from . import data, overhead, pictures, steps, tables

TABLES = ("whole", "engines", "kernels", "overhead", "data")
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "speed.md"


class Session:
    """One run: what to measure, on what, and where it is kept."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.out = given, Path(given.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.kind = "cuda" if torch.cuda.is_available() and given.device != "cpu" else "cpu"
        self.device = torch.device(self.kind)
        cuda = self.kind == "cuda"
        self.pictures, self.what = pictures.find_or_make(self.out)
        self.setting = steps.Setting(
            data=str(self.pictures),
            size=64 if cuda else 32,
            width=given.width or (64 if cuda else 8),
            every=50_000 if cuda else 20_000,  # on a CPU as often as by default
            device=self.kind,
        )
        self.batches = [64, 1024] if cuda else [64]
        if given.batches:
            self.batches = [int(b) for b in given.batches.split(",")]

    def keep(self, table: str, row: str, measure: Callable[[], Any]) -> None:
        """Measure a row and write it down with the machine and the date; says so on the way."""
        print(f"measuring {table} {row}", flush=True)
        about = {"machine": machine(self.device), "pictures": self.what, "found": measure()}
        write_text(self.out / f"{self.kind}-{table}-{row}.json", json.dumps(about, indent=2) + "\n")
        steps.fresh_start()

    def measure(self, names: list[str]) -> None:
        setting, seconds, largest = self.setting, self.given.seconds, max(self.batches)
        for batch in self.batches:
            for number, kind in enumerate(steps.KINDS) if "whole" in names else []:
                self.keep(
                    "whole",
                    f"{batch:05d}-{number}-{kind}",
                    partial(steps.whole, setting, kind, batch, self.out / "runs"),
                )
            for kind in ("none", "gp") if "engines" in names else []:
                self.keep(
                    "engines",
                    f"{batch:05d}-{kind}",
                    partial(steps.engines, setting, kind, batch, seconds),
                )
        if "kernels" in names:
            self.keep(
                "kernels", f"{largest:05d}", lambda: steps.hot_spots(setting, "none", largest)
            )
        if "overhead" in names and self.kind == "cpu":
            self.keep("overhead", "dcgan", lambda: overhead.measure(200))
        real = pictures.find()
        if "data" in names and real is not None:
            self.keep("data", "starts", lambda: data.starts(real))
            self.keep("data", "streaming", lambda: data.streaming(real, 4 * seconds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        default="build/speed",
        help="folder for results and run folders (default: %(default)s)",
    )
    parser.add_argument(
        "--tables",
        default=",".join(TABLES),
        help="which of %(default)s to measure; '' only prints what there is",
    )
    parser.add_argument(
        "--batches", default="", help="batch sizes (default: 64,1024 on a GPU, 64 on a CPU)"
    )
    parser.add_argument(
        "--width", type=int, default=0, help="of the nets (default: 64 on a GPU, 8 on a CPU)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=8.0,
        help="for each engine; four times it to compare streamed data",
    )
    parser.add_argument("--device", default="auto", help="auto or cpu")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the tables into docs/speed.md"
    )
    given = parser.parse_args()
    names = [name for name in given.tables.split(",") if name]
    if unknown := set(names) - set(TABLES):
        parser.error(
            f"--tables: no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}"
        )
    session = Session(given)
    session.measure(names)
    text = tables.markdown(session.out, session.kind)
    print(text)
    if given.write_docs:
        tables.write(DOCUMENT, session.kind, text)


if __name__ == "__main__":
    main()
