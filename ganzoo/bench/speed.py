"""How fast a pipeline trains on this machine: the bare step of every engine and the whole training,
beside a plain loop over the same nets and beside what the machine could do at most.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .. import config as configuration
from ..assembly.assembling import assemble
from ..assembly.memory import estimate
from ..assembly.pipeline import SIDES, Pipeline
from ..components.registry import Registry
from ..config.tree import Config
from ..contracts import Batch, Side, Update
from ..engine.devices import choose_device
from ..engine.losses import adversarial
from ..engine.randomness import forked
from ..errors import DeviceError, UsageError
from ..training.loop import Training, sized
from . import machine_limits as ceiling
from .timing import Laps, Ticking, Variant, interleave, repeated

ENGINES = ("eager", "compiled", "captured")
FAST_FORMS = {
    "fused": None,
    "foreach": None,
    "capturable": False,
}  # optimizer settings that a plain loop leaves alone
Progress = Callable[[int, int], None]
Tell = Callable[[str], None]

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


class PlainLoop:
    """What one writes by hand over the same nets, loss and penalties:
    eager, fp32, channels first, every loss read back at once.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.parts = pipeline, pipeline.parts
        self.critic = pipeline.config.train.n_critic
        self.latents = torch.Generator(pipeline.device).manual_seed(0)
        self.updates = 0
        for side in SIDES:
            self.parts.net(side).to(memory_format=torch.contiguous_format)
            for group in pipeline.optimizers[side].param_groups:
                group.update({key: plain for key, plain in FAST_FORMS.items() if key in group})

    def step(self, batch: Batch) -> tuple[float, float]:
        """The discriminator's updates, then the generator's; returns both losses."""
        for k in range(self.critic):
            judged = self._update("discriminator", batch, self.updates * self.critic + k)
        drawn = self._update("generator", batch, self.updates)
        self.updates += 1
        return judged, drawn

    def _update(self, side: Side, batch: Batch, number: int) -> float:
        parts, optimizer = self.parts, self.pipeline.optimizers[side]
        latents = parts.draw_latents(len(batch.samples), self.latents)
        update = Update(
            side,
            parts.nets,
            batch,
            latents,
            views=parts.views(side),
            conditions=[*parts.conditions.values()],
        )
        steps = parts.game.steps(update)
        loss = torch.zeros((), device=latents.device)
        for step in steps:
            loss = loss + step.weight * adversarial(parts.loss, step)
            for name in parts.due(side, number):
                penalty = parts.regularizers[name].penalty(step)
                if penalty is not None:
                    loss = loss + step.weight * parts.regularizers[name].scale(0.0) * penalty
        for term in parts.game.terms(update, steps).values():
            loss = loss + term
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for regularizer in parts.regularizers.values():
            if regularizer.on(side):
                regularizer.after_update(parts.net(side))
        if side == "discriminator":
            for augmentation in parts.augmentations.values():
                augmentation.observe(steps[0].verdicts[0].detach())
        return loss.item()


def bare_step(training: Training) -> Callable[[], None]:
    """A function that updates each side and the average
    once, on data that is on the device already.
    """
    pipeline, engine, critic = training.pipeline, training.engine, training.config.train.n_critic
    batch = training.feed.next()
    if not pipeline.spec.classes:
        batch = batch._replace(labels=None)
    parts, count = pipeline.parts, len(batch.samples)
    other = sized(batch, training.config.train.batch_of("generator"))
    images = critic * count
    numbers = itertools.count()

    def step() -> None:
        number = next(numbers)
        for k in range(critic):
            latents = parts.draw_latents(count, training.streams.latents)
            engine.update("discriminator", batch, latents, number * critic + k)
        latents = parts.draw_latents(len(other.samples), training.streams.latents)
        engine.update("generator", other, latents, number)
        pipeline.average.update(parts.generator, images, (number + 1) * images)

    return step


def adjusted(config: Config, **train: Any) -> Config:
    """The configuration without what is no part of an
    update's speed, and with other settings of [train].
    """
    return configuration.check(
        configuration.merge(config.tree(), {"metric": False, "tracker": False, "train": train})
    )


class Bench:
    """One measurement of one configuration: builds each variant, warms it up, times all in turn."""

    def __init__(
        self, config: Config, registry: Registry, progress: Progress | None, tell: Tell
    ) -> None:
        self.config, self.registry, self.progress, self.tell = config, registry, progress, tell
        self.device = choose_device(config.train.device)
        self.images = config.train.batch_size * config.train.n_critic
        self.variants: list[Variant] = []
        self.about: dict[
            str, dict[str, Any]
        ] = {}  # by variant: what is known of it beside its times
        self.notes: list[str] = []
        self.flop = 0.0  # of an image
        self.shape: tuple[int, ...] = ()

    def engines(self, wanted: Sequence[str] = ()) -> list[str]:
        """The engines asked for, or all that the device
        offers; raises UsageError or DeviceError.
        """
        offered = [
            engine for engine in ENGINES if engine != "captured" or self.device.type == "cuda"
        ]
        for engine in wanted:
            if engine not in ENGINES:
                message = f"no such engine; write {', '.join(ENGINES)}"
                raise UsageError(message, key="engines", value=engine)
            if engine not in offered:
                raise DeviceError(
                    f"CUDA graphs need a CUDA device; use {' or '.join(offered)}",
                    key="engines",
                    value=engine,
                )
        return [engine for engine in offered if not wanted or engine in wanted]

    def add_plain(self) -> None:
        """The plain loop over these nets; the work of an update is counted on them too."""
        before = self._memory(start=True)
        pipeline = assemble(
            adjusted(self.config, engine="eager", precision="fp32"), self.registry, self.progress
        )
        loop, laps, data = PlainLoop(pipeline), Laps(self.device), ceiling.batch(pipeline)
        self.flop, self.shape = ceiling.flop_per_image(pipeline), pipeline.spec.shape
        # As autograd.grad(create_graph=True) does it; forward over reverse has more operations.
        pipeline.parts.differentiation = "double_backward"
        flop = ceiling.flop_per_image(pipeline)
        variant = Variant("plain loop", self.images, repeated(lambda: loop.step(data), laps), laps)
        self._add(variant, before, engine="", through="loop", flop_per_image=flop)
        if self.device.type == "cuda":  # what a person gets who sets no switch
            laps = Laps(self.device)
            default = Variant(
                "plain loop, TF32 convolutions",
                self.images,
                repeated(lambda: loop.step(data), laps),
                laps,
                "default",
            )
            self._add(default, None, engine="", through="loop", flop_per_image=flop)

    def add_engine(self, engine: str) -> None:
        """An engine's bare step, and the training that runs by it: the same nets, compiled once."""
        before = self._memory(start=True)
        pipeline = assemble(adjusted(self.config, engine=engine), self.registry, self.progress)
        ticking = Ticking(self.device)
        said: list[str] = []
        training = Training(pipeline, tick=ticking.tick, tell=said.append)
        ticking.training, laps, precision = training, Laps(self.device), pipeline.parts.precision
        bare = Variant(
            f"{engine} step", self.images, repeated(bare_step(training), laps), laps, precision
        )
        if engine != "eager":
            self.tell(f"compiling for engine {engine}")
        self._add(
            bare, before, engine=engine, through="step", estimated_bytes=estimate(pipeline)["total"]
        )
        if training.engine.mode != engine:
            self.about[bare.name]["engine"] = training.engine.mode
            self.notes += said
        whole = Variant(f"{engine} training", self.images, ticking.run, ticking.laps, precision)
        self._add(whole, None, engine=training.engine.mode, through="training")

    def _add(self, variant: Variant, before: int | None, **about: Any) -> None:
        try:
            variant.warm_up()
        except torch.OutOfMemoryError:
            raise DeviceError(
                f"{variant.name} does not fit beside the other variants",
                section="train",
                key="batch_size",
                value=self.config.train.batch_size,
                remedy="name fewer engines or a smaller batch",
            ) from None
        memory = None if before is None else self._memory() - before or None
        self.variants.append(variant)
        self.about[variant.name] = {"flop_per_image": self.flop, **about, "memory_bytes": memory}

    def _memory(self, start: bool = False) -> int:
        """A GPU's peak since the last start, or what it holds at
        a start; on a CPU, whose peak has no start, the process's.
        """
        if self.device.type != "cuda":
            if start or resource is None:
                return 0
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak * (1 if sys.platform == "darwin" else 1024)
        if start:
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device)
        return torch.cuda.max_memory_allocated(self.device)

    def row(self, variant: Variant, rate: float) -> dict[str, Any]:
        """What was found of a variant, ready for JSON; `rate` is that of the matrix product."""
        about = self.about[variant.name]
        updates, median, mean = len(variant.laps.seconds()), variant.median, variant.mean
        bare = about["through"] != "training"
        return {
            "name": variant.name,
            **about,
            "precision": variant.precision,
            "images_per_second": variant.images / median,
            "mean_images_per_second": variant.images / mean,
            "update_seconds": median,
            "updates": updates,
            "compile_seconds": max(0.0, variant.first - median) if bare else None,
            "kernel_share": ceiling.kernel_share(variant) if bare else None,
            "ceiling_share": about["flop_per_image"] * variant.images / median / rate,
        }


def measure(
    config: Config,
    registry: Registry,
    engines: Sequence[str] = (),
    seconds: float = 5.0,
    progress: Progress | None = None,
    tell: Tell = lambda line: None,
) -> dict[str, Any]:
    """Times a configuration by these engines (all that the device
    offers if none is named), about `seconds` for each variant.

    The result is ready for JSON; times are in seconds, sizes in
    bytes, and `images_per_second` is that of the median update.
    """
    bench = Bench(config, registry, progress, tell)
    chosen = bench.engines(engines)
    with forked(bench.device):
        bench.add_plain()
        for engine in chosen:
            bench.add_engine(engine)
        tell("measuring")
        most = ceiling.ceilings(bench.device)
        interleave(bench.variants, seconds)
        rows = [bench.row(variant, most["flop_per_second"]) for variant in bench.variants]
    return {
        "machine": ceiling.machine(bench.device),
        "batch_size": config.train.batch_size,
        "n_critic": config.train.n_critic,
        "shape": list(bench.shape),
        "ceiling": most,
        "rows": rows,
        "notes": bench.notes,
    }
