"""From a configuration to a pipeline: builds the parts,
reads their traits, adapts or refuses with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..components.isolation import contained, off_stdout
from ..components.kinds import FAMILIES
from ..components.registry import Registry
from ..config.tree import Choice, Config
from ..contracts import Dataset, GradientPenalty, Regularizer, Side, Spec
from ..data.order import check_batch
from ..engine.average import Average
from ..engine.devices import (
    choose_device,
    choose_engine,
    choose_precision,
    computes_in_bf16,
    settle,
)
from ..engine.losses import Parts, arrange, choose_differentiation
from ..engine.randomness import derive, forked
from ..engine.sizes import check_samples
from ..errors import BrokenPlugin, GanzooError, Incompatible, one_line
from ..io.activity import doing
from ..nn import initialise, use_native_layers
from .builder import Assembly, Progress, open_dataset
from .compatibility import (
    build_augmentations,
    build_discriminator,
    build_generator,
    check_modality,
    check_needs,
    discriminator_name,
    probe,
    spec_for,
)
from .dry_run import rehearse
from .pipeline import SECTION, SIDES, Pipeline
from .precision_trial import MARGIN, bf16_gain

CALIBRATING = 100_000  # points that nets see the data's scale in
WAYS = {"forward_over_reverse": "forward over reverse", "double_backward": "double backward"}


def assemble(config: Config, registry: Registry, progress: Progress | None = None) -> Pipeline:
    """Build and check everything; raises UsageError,
    BadData, DeviceError or BrokenPlugin with one line.
    """
    build = Assembly(config, registry)
    device = choose_device(config.train.device)
    with off_stdout(), forked(device):
        doing("opening the data")
        dataset = open_dataset(build, progress)
        check_batch(config.train.batch_size, len(dataset))
        parts, spec = _parts(build, dataset, device)
        for module in parts.sections().values():
            module.to(device).train()
        arrange(parts, spec, device)
        optimizers = {side: _optimizer(build, side, parts.net(side)) for side in SIDES}
        metrics = {
            name: build.build(f"metric.{name}", "metric", c, spec)
            for name, c in build.family("metric").items()
        }
        for name, metric in metrics.items():
            check_modality(build, f"metric.{name}", "metric", name, metric, spec)
        trackers = {
            name: build.build(f"tracker.{name}", "tracker", c)
            for name, c in build.family("tracker").items()
        }
    counts = {"samples": config.samples.count}
    counts |= {f"metric.{name}": metric.count for name, metric in metrics.items()}
    for section, count in counts.items():
        check_samples(count, spec.numel, device=torch.device("cpu"), section=section)
    doing("")
    engine, reason = choose_engine(config.train.engine, device)
    slopes = (
        f"; slopes by {WAYS[parts.differentiation]}" if _shared_slopes(parts.regularizers) else ""
    )
    build.notes.append(f"engine {engine}: {reason}{slopes}")
    average = Average(parts.generator, config.average.half_life)
    return Pipeline(
        _completed(build, parts.precision),
        spec,
        dataset,
        parts,
        optimizers,
        average,
        device,
        engine,
        metrics,
        trackers,
        build.versions,
        build.owners,
        [*dataset.notes, *build.notes],
    )


def _parts(build: Assembly, dataset: Dataset, device: torch.device) -> tuple[Parts, Spec]:
    """What takes part in an update, checked and rehearsed, and the spec of a sample."""
    doing("building the nets")
    config = build.config
    regularizers = {
        name: build.build(f"reg.{name}", "regularizer", c)
        for name, c in build.family("reg").items()
    }
    spec = spec_for(build, dataset, regularizers)
    generator = build_generator(build, spec)
    augmentations, seen = build_augmentations(build, spec)
    loss = build.build("loss", "loss", config.loss)
    askers = {"loss": loss, **{f"reg.{name}": r for name, r in regularizers.items()}}
    discriminator = build_discriminator(build, seen, askers)
    nets: dict[Side, nn.Module] = {"generator": generator, "discriminator": discriminator}
    check_needs(build, {"loss": loss, "generator": generator}, askers)
    for side, net in nets.items():
        init = getattr(config, SECTION[side]).init
        if init != "auto":
            torch.manual_seed(derive(config.train.seed, "init", side))
            initialise(net, init)
    if spec.modality == "points":
        _calibrate(build, dataset, generator, discriminator)
    doing("trying the nets on a few samples")
    probe(build, spec, seen, generator, discriminator)
    _prepare(build, regularizers, generator, discriminator)
    # Forward over reverse trades a second derivative for a second
    # forward pass, which pays on GPUs; on CPUs it is the slower one.
    trial = _shared_slopes(regularizers) and device.type == "cuda"
    differentiation = choose_differentiation(discriminator, seen) if trial else "double_backward"
    slopes = any(isinstance(r, GradientPenalty) for r in regularizers.values())
    if not slopes or differentiation == "double_backward":
        use_native_layers(discriminator, slopes)
    bent = any(isinstance(r, GradientPenalty) and r.on("generator") for r in regularizers.values())
    use_native_layers(generator, slopes=bent)
    precision = choose_precision(config.train.precision, device, spec.modality)
    settle(device, config.train.deterministic)
    parts = Parts(
        generator, discriminator, loss, regularizers, augmentations, differentiation, precision
    )
    doing(f"rehearsing an update of each net with a batch of {config.train.batch_size:,}")
    rehearse(
        parts,
        dataset,
        spec,
        config.train.batch_size,
        lambda section: f"{section} of {build.owners[section]}",
    )
    if device.type == "cpu":
        _settle_precision(build, parts, spec)
    return parts, spec


def _calibrate(build: Assembly, dataset: Dataset, generator: Any, discriminator: Any) -> None:
    """Show the nets where the points lie, and say what slopes are counted over if that is not 1."""
    points = dataset.batch(torch.arange(min(len(dataset), CALIBRATING)))[0]
    for section, net in (("gen", generator), ("disc", discriminator)):
        try:
            with contained():
                net.calibrate(points)
        except Exception as error:
            who = f"{type(net).__name__} of {build.owners[section]}"
            raise BrokenPlugin(
                f"{who} fails to calibrate itself: {one_line(error)}", section=section
            ) from error
    unit = float(discriminator.unit)
    if unit != 1.0:
        build.notes.append(f"points: slopes and gamma are counted over {unit:.3g}, their deviation")


def _settle_precision(build: Assembly, parts: Parts, spec: Spec) -> None:
    """On a CPU: bf16 where it is left open, the processor has it and a trial finds it quicker."""
    train = build.config.train
    if train.precision == "bf16" and not computes_in_bf16():
        build.notes.append("precision bf16: this processor only imitates it, which is slow")
    if train.precision != "auto" or spec.modality != "image" or not computes_in_bf16():
        return
    if train.deterministic:  # a trial may end otherwise the next time
        build.notes.append("precision fp32, without a trial of bf16, since runs are to be equal")
        return
    gain = bf16_gain(parts, spec, train.batch_size)
    parts.precision = "bf16" if gain >= MARGIN else "fp32"
    found = f"bf16 is {gain:.1f} times as fast here" if gain else "updates fail in bf16"
    build.notes.append(f"precision {parts.precision}: {found}, by a trial; this run keeps it")


def _shared_slopes(regularizers: Mapping[str, Regularizer]) -> bool:
    """Whether a penalty looks at a named place, whose pass the discriminator's logits can share."""
    return any(isinstance(r, GradientPenalty) and r.place for r in regularizers.values())


def _prepare(
    build: Assembly,
    regularizers: Mapping[str, Regularizer],
    generator: nn.Module,
    discriminator: nn.Module,
) -> None:
    for name, regularizer in regularizers.items():
        torch.manual_seed(derive(build.config.train.seed, "prepare", name))
        try:
            with contained():
                regularizer.prepare(generator, discriminator)
        except GanzooError:
            raise
        except Exception as error:
            raise BrokenPlugin(
                f"{build.owners[f'reg.{name}']} fails to prepare the nets: {one_line(error)}",
                section=f"reg.{name}",
            ) from error


def _optimizer(build: Assembly, side: Side, net: nn.Module) -> torch.optim.Optimizer:
    section = SECTION[side]
    choice: Choice = getattr(build.config.optim, section)
    parameters = [p for p in net.parameters() if p.requires_grad]
    if not parameters:
        raise Incompatible(f"the {side} has no weights to train", section=section)
    optimizer: torch.optim.Optimizer = build.build(
        f"optim.{section}", "optimizer", choice, parameters
    )
    return optimizer


def _completed(build: Assembly, precision: str) -> Config:
    """The configuration with every option of every part written out, the precision as chosen."""
    tree = build.config.tree()
    tree["train"]["precision"] = precision
    tree["disc"]["name"] = discriminator_name(build)
    if "data" not in build.owners:  # pictures: a run may be resumed from elsewhere
        tree["data"]["name"] = str(Path(build.config.data.name).expanduser().resolve())
    for section, options in build.complete.items():
        family, _, name = section.partition(".")
        if family in FAMILIES:
            tree[family][name] = options
        elif family == "optim":
            tree[family][name] |= options
        else:
            tree[family] |= options
    return Config.model_validate(tree)
