"""Whether bf16 pays on this processor, and whether its instructions are to blame: `python -m
benchmarks.bf16`.

How many times as fast as in fp32 are a matrix product, a convolution with its gradient, and the
update of a dcgan that `train.precision = "auto"` tries.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.nn import functional

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.assembly.precision_trial import bf16_gain
from ganzoo.bench.machine_limits import machine
from ganzoo.components.loading import zoo

from . import pictures, tables

BATCH = 64
WIDTHS = (8, 16, 32, 64)
TURNS = 9
PENALTIES = {
    "no penalty": {},
    "gp": {"reg": {"gp": {}}},
    "rpgan, r1, r2": {"loss": {"name": "rpgan"}, "reg": {"r1": {}, "r2": {}}},
}


def product(kind: torch.dtype) -> Callable[[], object]:
    one, other = torch.randn(2, 1024, 1024, dtype=kind)
    return lambda: one @ other


def convolution(kind: torch.dtype) -> Callable[[], object]:
    """4x4 with a stride of 2, 32 to 64 channels, channels last, with both gradients."""
    samples, weights = torch.randn(BATCH, 32, 16, 16), torch.randn(64, 32, 4, 4)
    inputs = [t.to(kind, memory_format=torch.channels_last) for t in (samples, weights)]
    for tensor in inputs:
        tensor.requires_grad_()

    def run() -> object:
        found = functional.conv2d(*inputs, stride=2, padding=1)
        return torch.autograd.grad(found.sum(), inputs)

    return run


def gain(make: Callable[[torch.dtype], Callable[[], object]]) -> float:
    """How many times as fast it is in bf16, in turns."""
    single, half = make(torch.float32), make(torch.bfloat16)
    ratios = []
    for turn in range(TURNS + 1):
        marks = [time.perf_counter()]
        for run in (single, half):
            for _ in range(5):
                run()
            marks.append(time.perf_counter())
        if turn:  # the first one allocates
            ratios.append((marks[1] - marks[0]) / (marks[2] - marks[1]))
    return statistics.median(ratios)


def update(width: int, penalty: str, data: Path) -> float:
    net = {"name": "dcgan", "width": width}
    tree = {
        "gen": net,
        "disc": net,
        "data": {"name": str(data), "resolution": 32},
        "train": {"device": "cpu", "precision": "fp32", "batch_size": BATCH},
        **PENALTIES[penalty],
    }
    pipeline = assemble(
        configuration.check(configuration.merge(configuration.defaults(), tree)), zoo().registry
    )
    return bf16_gain(pipeline.parts, pipeline.spec, BATCH, seconds=4.0)


def main() -> None:
    about = machine(torch.device("cpu"))
    rows = [["1024x1024 matrix product", f"{gain(product):.2f}"]]
    rows.append(["convolution and its gradients", f"{gain(convolution):.2f}"])
    with TemporaryDirectory() as folder:
        data, what = pictures.find_or_make(Path(folder))
        for width in WIDTHS:
            for penalty in PENALTIES:
                found = update(width, penalty, data)
                rows.append([f"update of dcgan, width {width}, {penalty}", f"{found:.2f}"])
                print(*rows[-1], flush=True)
    print(tables.table(["bf16 autocast", "x fp32"], rows))
    print(f"\nBatches of {BATCH}, {what}. {tables.measured_on([{'machine': about}])}")


if __name__ == "__main__":
    main()
