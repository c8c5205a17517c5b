"""What `ganzoo train`'s loop costs beside a plain loop that does the same work: the same nets,
loss, fused optimizer, average and data gathering in the same process, an update of one after an
update of the other. `python -m benchmarks.overhead` prints it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.assembly.pipeline import Pipeline
from ganzoo.bench.speed import adjusted
from ganzoo.components.loading import zoo
from ganzoo.config.tree import Config
from ganzoo.training import run_folder as runs
from ganzoo.training.loop import Training

WARM_UP = 5
WINDOW = 10  # pairs whose times are added up before their ratio is taken


def configured(width: int = 64, size: int = 32, batch: int = 64, **sections: Any) -> Config:
    """dcgan on the digits, at a size; the pictures that
    a run draws now and then are no part of the loop.
    """
    tree = {
        "gen": {"width": width},
        "disc": {"width": width},
        "data": {"resolution": size},
        "train": {"batch_size": batch, "engine": "eager"},
        "samples": {"images": "1000M"},
        "checkpoint": {"images": 0, "minutes": 0},
    }
    return configuration.check(
        configuration.merge(configuration.merge(configuration.defaults(), tree), sections)
    )


def plain_step(pipeline: Pipeline) -> Callable[[], None]:
    """The same update by hand: non-saturating loss, one generated
    batch a side, no weights' gradients that nobody uses.
    """
    generator: Any = pipeline.parts.generator
    discriminator: Any = pipeline.parts.discriminator
    optimizers, average, batch = (
        pipeline.optimizers,
        pipeline.average.net,
        pipeline.config.train.batch_size,
    )
    samples = pipeline.dataset.samples.to(pipeline.device)
    latents = torch.Generator(pipeline.device).manual_seed(0)
    averaged = [t for t in (*average.parameters(), *average.buffers()) if t.is_floating_point()]
    live = [t for t in (*generator.parameters(), *generator.buffers()) if t.is_floating_point()]
    softplus = torch.nn.functional.softplus
    order, place, updates, losses = torch.randperm(len(samples)), 0, 0, []

    def step() -> None:
        nonlocal order, place, updates
        if place + batch > len(samples):
            order, place = torch.randperm(len(samples)), 0
        indices = order[place : place + batch].to(samples.device)
        place += batch
        data = samples[indices].float().div_(127.5).sub_(1)
        optimizers["discriminator"].zero_grad()
        with torch.no_grad():
            fake = generator(torch.randn(batch, 100, generator=latents, device=data.device))
        loss = softplus(-discriminator(data)).mean() + softplus(discriminator(fake)).mean()
        loss.backward()
        optimizers["discriminator"].step()
        losses.append(loss.detach())
        discriminator.requires_grad_(False)
        optimizers["generator"].zero_grad()
        loss = softplus(
            -discriminator(
                generator(torch.randn(batch, 100, generator=latents, device=data.device))
            )
        ).mean()
        loss.backward()
        optimizers["generator"].step()
        discriminator.requires_grad_(True)
        losses.append(loss.detach())
        with torch.no_grad():
            torch._foreach_lerp_(averaged, live, 0.005)
        updates += 1
        if updates % 31 == 0:  # as often as a log line's 2,000 images at batch 64
            torch.stack(losses).tolist()
            losses.clear()

    return step


class Alternation:
    """Lets a plain update follow each of a training's: as near
    in time as can be, so that the machine's moods meet both.

    Ends after so many pairs, or after `seconds` with as many as there are then, ten at least.
    """

    def __init__(
        self, plain: Callable[[], None], pairs: int, seconds: float, clock: Callable[[], float]
    ) -> None:
        self.plain, self.pairs, self.clock = plain, pairs + WARM_UP, clock
        self.until = time.monotonic() + seconds
        self.training: Training | None = None
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.mark = 0.0

    def tick(self, images: int) -> None:
        """For Training: its update has ended, log line of the one before included."""
        assert self.training is not None
        now = self.clock()
        self.ours.append(now - self.mark)
        self.plain()
        self.mark = self.clock()
        self.theirs.append(self.mark - now)
        late = time.monotonic() > self.until and len(self.ours) >= WARM_UP + WINDOW
        if late or len(self.ours) == self.pairs:
            self.training.goal = images

    def ratio(self) -> float:
        """The median, over windows of pairs, of the training's time to the plain loop's."""
        ours, theirs = self.ours[WARM_UP:], self.theirs[WARM_UP:]
        starts = range(0, len(ours) - WINDOW + 1, WINDOW)
        return statistics.median(
            sum(ours[i : i + WINDOW]) / sum(theirs[i : i + WINDOW]) for i in starts
        )


def measure(
    pairs: int,
    width: int = 64,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """The ratio of an update's time, ganzoo to plain, on the CPU.

    clock: time.process_time counts the work of all threads, which a busy machine changes little.
    """
    registry, config = zoo().registry, adjusted(configured(width), device="cpu", images=10**9)
    pipeline = assemble(config, registry)
    plain = plain_step(assemble(config, registry))
    found = Alternation(plain, pairs, seconds, clock)
    with tempfile.TemporaryDirectory() as folder:
        runs.describe(Path(folder), pipeline, "benchmarks.overhead")
        found.training = Training(pipeline, Path(folder), tick=found.tick)
        found.training.run()
    return {
        "width": width,
        "ganzoo_ms": statistics.median(found.ours[WARM_UP:]) * 1e3,
        "plain_ms": statistics.median(found.theirs[WARM_UP:]) * 1e3,
        "ratio": found.ratio(),
        "updates": len(found.ours) - WARM_UP,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=300, help="updates of each of the two")
    parser.add_argument("--width", type=int, default=64)
    given = parser.parse_args()
    found = measure(given.pairs, given.width)
    print(
        f"dcgan 32x32, width {found['width']}, batch 64, {found['updates']} updates each: ganzoo "
        f"{found['ganzoo_ms']:.2f} ms, "
        f"plain loop {found['plain_ms']:.2f} ms, median ratio {found['ratio']:.3f}"
    )


if __name__ == "__main__":
    main()
