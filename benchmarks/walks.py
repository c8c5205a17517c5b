"""How many functions lie on the two walks of docs/architecture.md: `python -m benchmarks.walks`.

Counted are the distinct functions of ganzoo's core, and their files, that run in one eager update
of both nets with a gradient penalty, and between the command line's arguments and a pipeline that
is ready to train.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

import ganzoo
from ganzoo.cli import main
from ganzoo.engine.engine import Engine

CORE = Path(ganzoo.__file__).parent
ARGUMENTS = ("--gen", "mlp", "--data", "ring", "--loss", "nonsat", "--reg", "gp")


def walked(run: Callable[[], object]) -> set[CodeType]:
    """The functions of the core that ran."""
    ran: set[CodeType] = set()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            ran.add(frame.f_code)

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    named = {code for code in ran if not code.co_name.startswith("<")}
    return {code for code in named if CORE in Path(code.co_filename).parents}


def report(title: str, found: set[CodeType]) -> None:
    """A line with both counts, and the files."""
    files = {str(Path(code.co_filename).relative_to(CORE)) for code in found}
    print(f"{title}: {len(found)} functions in {len(files)} files")
    for file in sorted(files):
        names = sorted(c.co_name for c in found if c.co_filename == str(CORE / file))
        print(f"  {file}: {', '.join(names)}")


def updates() -> None:
    """Both nets' updates of a small training, from batch and latents to the weights."""
    found: set[CodeType] = set()
    plain = Engine.update

    def counted(self: Engine, *arguments: Any) -> Any:
        result: list[Any] = []
        found.update(walked(lambda: result.append(plain(self, *arguments))))
        return result[0]

    Engine.update = counted  # type: ignore[method-assign]
    config: dict[str, Any] = {
        "gen": {"name": "mlp"},
        "data": {"name": "ring"},
        "loss": {"name": "nonsat"},
        "reg": {"gp": {}},
        "train": {"images": 1024, "batch_size": 64, "engine": "eager", "device": "cpu"},
    }
    try:
        ganzoo.train(config)
    finally:
        Engine.update = plain  # type: ignore[method-assign]
    report("from batch and latents to the weights", found)


def command() -> None:
    """From the arguments to a pipeline that is ready."""
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ["ganzoo", "train", *ARGUMENTS, "--dry-run", "--out", folder]

        def run() -> None:
            with contextlib.suppress(SystemExit):
                main()

        report("from --reg gp to a pipeline", walked(run))


if __name__ == "__main__":
    torch.set_num_threads(1)
    updates()
    command()
