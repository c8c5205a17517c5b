"""What `ganzoo train`'s loop costs beside a plain loop that does the same work: the same nets, loss, fused optimizer, average
and data gathering in the same process, block by block in turn. `python -m benchmarks.overhead` prints the ratio.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ganzoo import config as configuration
from ganzoo import runs
from ganzoo.assembly import assemble
from ganzoo.bench import adjusted
from ganzoo.pipeline import Pipeline
from ganzoo.plugins import zoo
from ganzoo.sections import Config
from ganzoo.stopwatch import Laps, Ticking, Variant, interleave, paired_ratio, repeated
from ganzoo.training import Training


def configured(width: int = 64, size: int = 32, batch: int = 64, **sections: Any) -> Config:
    """dcgan on the digits, at a size; the pictures that a run draws now and then are no part of the loop."""
    tree = {
        "gen": {"width": width},
        "disc": {"width": width},
        "data": {"resolution": size},
        "train": {"batch_size": batch, "engine": "eager"},
        "samples": {"images": "1000M"},
        "checkpoint": {"images": 0, "minutes": 0},
    }
    return configuration.check(configuration.merge(configuration.merge(configuration.defaults(), tree), sections))


def plain_step(pipeline: Pipeline) -> Callable[[], None]:
    """The same update by hand: non-saturating loss, one generated batch a side, no weights' gradients that nobody uses."""
    generator: Any = pipeline.parts.generator
    discriminator: Any = pipeline.parts.discriminator
    optimizers, average, batch = pipeline.optimizers, pipeline.average.net, pipeline.config.train.batch_size
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
        loss = softplus(-discriminator(generator(torch.randn(batch, 100, generator=latents, device=data.device)))).mean()
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


def compare(config: Config, seconds: float, folder: Path) -> tuple[Variant, Variant]:
    """The training with a run folder and the plain loop, timed in turn."""
    registry = zoo().registry
    config = adjusted(config)
    pipeline = assemble(config, registry)
    ticking = Ticking(pipeline.device)
    runs.describe(folder, pipeline, "benchmarks.overhead")
    ticking.training = Training(pipeline, folder, tick=ticking.tick)
    images = config.train.batch_size
    trained = Variant("ganzoo", images, ticking.run, ticking.laps, pipeline.parts.precision)
    laps = Laps(pipeline.device)
    plain = Variant("plain loop", images, repeated(plain_step(assemble(config, registry)), laps), laps, pipeline.parts.precision)
    for variant in (trained, plain):
        variant.warm_up()
    interleave([trained, plain], seconds, rounds=24)
    return trained, plain


def measure(seconds: float, width: int = 64) -> dict[str, Any]:
    """The ratio of medians of an update's time, ganzoo to plain."""
    with tempfile.TemporaryDirectory() as folder:
        trained, plain = compare(configured(width), seconds, Path(folder))
    return {
        "width": width,
        "ganzoo_ms": trained.median * 1e3,
        "plain_ms": plain.median * 1e3,
        "ratio": paired_ratio(trained, plain),
        "updates": min(len(v.laps.seconds()) for v in (trained, plain)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each of the two")
    parser.add_argument("--width", type=int, default=64)
    given = parser.parse_args()
    found = measure(given.seconds, given.width)
    print(
        f"dcgan 32x32, width {found['width']}, batch 64, {found['updates']} updates each: ganzoo {found['ganzoo_ms']:.2f} ms, "
        f"plain loop {found['plain_ms']:.2f} ms, median ratio {found['ratio']:.3f}"
    )


if __name__ == "__main__":
    main()
