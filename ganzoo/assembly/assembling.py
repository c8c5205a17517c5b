"""From a configuration to a pipeline: builds the parts,
reads their traits, adapts or refuses with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..components.isolation import contained, off_stdout
from ..components.kinds import FAMILIES
from ..components.registry import Registry
from ..config.schedules import ends
from ..config.tree import Config, Optimizer
from ..contracts import Dataset, Game, GradientPenalty, Metric, Regularizer, Side, Spec
from ..data.order import check_batch
from ..distributed.ranks import ALONE, Ranks
from ..engine.average import Average
from ..engine.devices import (
    choose_device,
    choose_engine,
    choose_precision,
    computes_in_bf16,
    settle,
)
from ..engine.losses import Parts, arrange, choose_differentiation
from ..engine.moving import Moving, MovingSetting
from ..engine.power_average import LENGTHS, PowerAverage
from ..engine.randomness import derive, forked, reseed
from ..engine.sizes import check_samples
from ..errors import BrokenPlugin, GanzooError, Incompatible, one_line
from ..io.activity import doing
from ..measure.measuring import check_reads, labels_drawn
from ..nn import use_native_layers
from ..nn.shares import asked_in_slopes
from ..nn.whole_norms import share_batch_norms
from .builder import Assembly, Progress, open_split
from .compatibility import (
    build_augmentations,
    check_modality,
    check_needs,
    discriminator_name,
    spec_for,
)
from .dry_run import few_of, rehearse, samples_of, try_nets
from .pipeline import SECTION, SIDES, Pipeline
from .precision_trial import MARGIN, settled_gain
from .roles import build_conditions, build_nets, only_read, players, what_is_read
from .sharding_trial import try_sharded

ANY = "any"  # the class of a label that was dropped
CALIBRATING = 100_000  # points that nets see the data's scale in
WAYS = {"forward_over_reverse": "forward over reverse", "double_backward": "double backward"}


def assemble(
    config: Config,
    registry: Registry,
    progress: Progress | None = None,
    ranks: Ranks = ALONE,
) -> Pipeline:
    """Build and check everything; raises UsageError, BadData, DeviceError or BrokenPlugin."""
    build = Assembly(config, registry)
    device = ranks.device or choose_device(config.train.device)
    with off_stdout(), forked(device):
        doing("opening the data")
        dataset, held = open_split(build, progress)
        build.spec = dataset.spec
        check_batch(config.train.batch_size, len(dataset))
        _check_accumulation(config)
        _check_shares(config, ranks)
        _check_turns(config)
        asked = asked_in_slopes()
        parts, spec, dataset = _parts(build, dataset, device, ranks)
        asked = asked_in_slopes() - asked
        _place(parts, spec, device, _shards(config, ranks))
        optimizers = {side: _optimizer(build, side, parts) for side in SIDES}
        metrics = _metrics(build, spec, dataset, held, parts)
        trackers = {
            name: build.build(f"tracker.{name}", "tracker", c)
            for name, c in build.family("tracker").items()
        }
    _check_counts(config, metrics, spec)
    doing("")
    moving = [mover for movers in build.moving.values() for mover in movers]
    engine, reason = _engine(config, device, moving, ranks, bool(asked))
    slopes = (
        f"; slopes by {WAYS[parts.differentiation]}" if _shared_slopes(parts.regularizers) else ""
    )
    build.notes.append(f"engine {engine}: {reason}{slopes}")
    average = Average(parts.generator, ends(config.average.half_life)[0], config.average.ramp)
    kept = LENGTHS if config.average.snapshots else {}
    powers = {name: PowerAverage(parts.generator, length) for name, length in kept.items()}
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
        moving,
        [*dataset.notes, *build.notes],
        held,
        powers,
        ranks,
    )


def _place(parts: Parts, spec: Spec, device: torch.device, shards: bool) -> None:
    """Put the parts where they compute. Nets that are to be spread do not fit there before, and
    wait on the CPU with all other parts, their weights in the order that they were made in.
    """
    for module in parts.sections().values():
        module.to("cpu" if shards else device).train()
    if not shards:
        arrange(parts, spec, device)


def _shards(config: Config, ranks: Ranks) -> bool:
    """Whether nets are to be spread over the ranks."""
    return config.train.shard and ranks.count > 1


def _engine(
    config: Config, device: torch.device, moving: Sequence[Moving], ranks: Ranks, slopes: bool
) -> tuple[str, str]:
    """How updates run, and why; slopes: whether one is taken through statistics of a batch."""
    engine, reason = choose_engine(config.train.engine, device)
    if _shards(config, ranks) and engine != "eager":
        return "eager", "updates of nets that are spread over ranks are not compiled"
    if ranks.count > 1 and slopes and engine != "eager":  # the compiler loses them (torch 2.15)
        return "eager", "a slope is taken through statistics of the ranks' whole batch"
    if engine != "captured":
        return engine, reason
    if config.train.updates == "simultaneous":
        return "compiled", "simultaneous updates are not recorded"
    if any(isinstance(each, MovingSetting) for each in moving):
        return "compiled", "a recording holds an optimizer's settings as they were"
    if ranks.count > 1:
        return "compiled", "updates of several ranks are not recorded"
    return engine, reason


def _metrics(
    build: Assembly, spec: Spec, dataset: Dataset, held: Dataset | None, parts: Parts
) -> dict[str, Metric]:
    """The metrics, of which each can measure such samples with the data that there are."""
    metrics: dict[str, Metric] = {}
    dropped = bool(build.config.train.label_dropout)
    labels = None if dropped else labels_drawn(parts.generator, spec.classes, dataset)
    for name, choice in build.family("metric").items():
        section = f"metric.{name}"
        measures = build.component(section, "metric", choice.name).load()
        check_modality(build, section, "metric", name, measures, spec)  # before it looks for files
        metric = metrics[name] = build.build(section, "metric", choice, spec)
        check_reads(name, metric, dataset, held, labels is not None)
    return metrics


def _check_counts(config: Config, metrics: Mapping[str, Metric], spec: Spec) -> None:
    """Raises Incompatible for more samples than the memory takes."""
    counts = {"samples": config.samples.count}
    counts |= {f"metric.{name}": metric.count for name, metric in metrics.items()}
    for section, count in counts.items():
        check_samples(count, spec.numel, device=torch.device("cpu"), section=section)


def _check_accumulation(config: Config) -> None:
    """Raises Incompatible for a batch that has no such parts."""
    parts = config.train.accumulate
    for key in ("batch_size", "gen_batch"):
        batch = getattr(config.train, key)
        if batch % parts:
            raise Incompatible(
                f"does not divide the batch of {batch}",
                section="train",
                key="accumulate",
                value=parts,
                remedy="take",
                change={f"train.{key}": max(batch // parts, 1) * parts},
            )


def _check_shares(config: Config, ranks: Ranks) -> None:
    """Raises Incompatible for a batch that the ranks cannot share."""
    train = config.train
    for key in ("batch_size", "gen_batch"):
        whole = getattr(train, key)
        unit = ranks.count * train.accumulate
        if whole % unit:
            parts = f" in {train.accumulate} parts" if train.accumulate > 1 else ""
            raise Incompatible(
                f"does not divide among {ranks.count} ranks{parts}",
                section="train",
                key=key,
                value=whole,
                remedy="take",
                change={f"train.{key}": max(whole // unit, 1) * unit},
            )


def _check_turns(config: Config) -> None:
    """Raises Incompatible for several updates of one player at once."""
    for key in ("n_critic", "n_gen"):
        value = getattr(config.train, key)
        if config.train.updates == "simultaneous" and value > 1:
            message = "simultaneous updates are one of each player"
            raise Incompatible(message, section="train", key=key, value=value)


def _parts(
    build: Assembly, dataset: Dataset, device: torch.device, ranks: Ranks
) -> tuple[Parts, Spec, Dataset]:
    """What takes part in an update, checked and rehearsed; the spec of a sample, and of the data
    what is read.
    """
    doing("building the nets")
    config = build.config
    regularizers = {
        name: build.build(f"reg.{name}", "regularizer", c)
        for name, c in build.family("reg").items()
    }
    conditions, spec = build_conditions(build, spec_for(build, dataset, regularizers))
    if config.train.label_dropout:
        dataset = replace(dataset, classes=[*dataset.classes, ANY])
    game: Game = build.build("game", "game", config.game, spec)
    check_modality(build, "game", "game", config.game.name, game, spec)
    augmentations, seen = build_augmentations(build, spec)
    loss = build.build("loss", "loss", config.loss)
    askers = {"loss": loss, **{f"reg.{name}": r for name, r in regularizers.items()}}
    nets, specs = build_nets(build, game, spec, seen, askers)
    check_needs(build, {"loss": loss, **_by_kind(game, nets)}, askers)
    _check_packs(augmentations, {**askers, **nets})
    spec = what_is_read(build, game, spec, nets, specs, conditions)
    dataset = only_read(dataset, spec)
    if spec.modality == "points":
        _calibrate(build, dataset, nets)
    doing("trying the nets on a few samples")
    try_nets(game, nets, specs, build.owners.__getitem__)
    moved = players(game, nets)
    generator, discriminator = moved["generator"], moved["discriminator"]
    _prepare(build, regularizers, generator, discriminator)
    trial = device.type == "cuda" or _shards(config, ranks)
    differentiation = _differentiation(regularizers, game, nets, specs, trial)
    _use_native_layers(regularizers, moved, differentiation)
    precision = choose_precision(config.train.precision, device, spec.modality)
    settle(device, config.train.deterministic)
    parts = Parts(
        generator,
        discriminator,
        loss,
        regularizers,
        augmentations,
        differentiation,
        precision,
        game,
        conditions,
        config.train.label_dropout,
    )
    _rehearse(build, parts, dataset, spec, ranks)
    if device.type == "cpu":
        _settle_precision(build, parts, spec, ranks)
    return parts, spec, dataset


def _rehearse(build: Assembly, parts: Parts, dataset: Dataset, spec: Spec, ranks: Ranks) -> None:
    """An update of each side, as large as a rank's."""
    config = build.config
    if ranks.count > 1:
        for net in parts.nets.values():
            share_batch_norms(net)
    own = config.train.part // ranks.count
    doing(f"rehearsing an update of each net with a batch of {own:,}")
    rehearse(
        parts,
        dataset,
        spec,
        {side: config.train.part_of(side) // ranks.count for side in SIDES},
        lambda section: f"{section} of {build.owners[section]}",
    )
    if _shards(config, ranks):
        doing("rehearsing an update of nets that are spread over the ranks")
        count = ranks.count * few_of(parts, spec, own)
        parts.units = try_sharded(
            parts,
            lambda copied: samples_of(copied, dataset, spec, count),
            ranks,
            _not_sharded,
        )
        count = sum(map(len, parts.units.values()))
        how = f"{count} modules" if count else "each net"
        build.notes.append(f"nets are spread over {ranks.count} ranks, gathered {how} at a time")
    elif config.train.shard:
        build.notes.append("sharding has no effect in one process")


def _not_sharded(section: str, problem: str) -> Incompatible:
    """The refusal of what cannot train while the nets are spread over ranks."""
    return Incompatible(
        f"cannot train with nets that are spread over ranks: {problem}",
        section=section or "train",
        remedy="leave it out, or set" if section else "set",
        change={"train.shard": False},
    )


def _check_packs(augmentations: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """Raises Incompatible for packs of samples before what reads the label of each."""
    packing = next((name for name, a in augmentations.items() if a.packs > 1), None)
    for section, part in parts.items() if packing else ():
        if getattr(part, "conditional", False) and not section.startswith("gen"):
            message = f"makes one of several samples, and {section} reads the label of each"
            adapts = getattr(part, "adapts", {}).get("conditional", {})
            change = {f"{section}.{key}": False for key, to in adapts.items() if to is True}
            remedy = "leave it out, or set" if change else "leave one of the two out"
            raise Incompatible(message, section=f"aug.{packing}", remedy=remedy, change=change)


def _differentiation(
    regularizers: Mapping[str, Regularizer],
    game: Game,
    nets: Mapping[str, nn.Module],
    specs: Mapping[str, Spec],
    trial: bool,
) -> str:
    """Forward over reverse trades a second derivative for a second forward pass, which pays on
    GPUs; on CPUs it is the slower one. Nets that are spread over ranks have no second derivative.

    trial: whether it is tried
    """
    trial = trial and _shared_slopes(regularizers)
    judges = [role for role, about in game.roles().items() if about.kind == "discriminator"]
    forms = {choose_differentiation(nets[role], specs[role]) for role in judges if trial}
    return forms.pop() if len(forms) == 1 else "double_backward"


def _use_native_layers(
    regularizers: Mapping[str, Regularizer],
    moved: Mapping[Side, nn.Module],
    differentiation: str,
) -> None:
    """PyTorch's own layers wherever the slopes that are taken allow them."""
    slopes = [r for r in regularizers.values() if isinstance(r, GradientPenalty)]
    if not slopes or differentiation == "double_backward":
        twice = bool(slopes) or any(r.differentiates for r in regularizers.values())
        use_native_layers(moved["discriminator"], twice)
    bent = any(slope.on("generator") for slope in slopes)
    use_native_layers(moved["generator"], slopes=bent)


def _by_kind(game: Game, nets: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The first net of each kind."""
    found: dict[str, nn.Module] = {}
    for role, about in game.roles().items():
        found.setdefault(about.kind, nets[role])
    return found


def _calibrate(build: Assembly, dataset: Dataset, nets: Mapping[str, Any]) -> None:
    """Show the nets where the points lie, and say what slopes are counted over if that is not 1."""
    points = dataset.batch(torch.arange(min(len(dataset), CALIBRATING)))[0]
    for section, net in nets.items():
        if net.spec.shape != dataset.spec.shape or not hasattr(net, "calibrate"):
            continue  # a game's own samples
        try:
            with contained():
                net.calibrate(points)
        except Exception as error:
            who = f"{type(net).__name__} of {build.owners[section]}"
            raise BrokenPlugin(
                f"{who} fails to calibrate itself: {one_line(error)}", section=section
            ) from error
    unit = max((float(getattr(net, "unit", 1.0)) for net in nets.values()), default=1.0)
    if unit != 1.0:
        build.notes.append(f"points: slopes and gamma are counted over {unit:.3g}, their deviation")


def _settle_precision(build: Assembly, parts: Parts, spec: Spec, ranks: Ranks) -> None:
    """On a CPU: bf16 where it is left open, the processor has it and a trial finds it quicker."""
    train = build.config.train
    if train.precision == "bf16" and not computes_in_bf16():
        build.notes.append("precision bf16: this processor only imitates it, which is slow")
    if train.precision != "auto" or spec.modality != "image" or not computes_in_bf16():
        return
    if train.deterministic:  # a trial may end otherwise the next time
        build.notes.append("precision fp32, without a trial of bf16, since runs are to be equal")
        return
    own = train.part // ranks.count
    gain = ranks.tell(settled_gain(parts, spec, own) if ranks.first else None)
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
        reseed(derive(build.config.train.seed, "prepare", name))
        try:
            with contained():
                regularizer.prepare(generator, discriminator)
        except GanzooError as error:
            raise error.at(f"reg.{name}") from None
        except Exception as error:
            raise BrokenPlugin(
                f"{build.owners[f'reg.{name}']} fails to prepare the nets: {one_line(error)}",
                section=f"reg.{name}",
            ) from error


def _optimizer(build: Assembly, side: Side, parts: Parts) -> torch.optim.Optimizer:
    section = SECTION[side]
    choice: Optimizer = getattr(build.config.optim, section)
    parameters = [p for p in parts.net(side).parameters() if p.requires_grad]
    if not parameters:
        raise Incompatible(f"the {side} has no weights to train", section=section)
    optimizer: torch.optim.Optimizer = build.build(
        f"optim.{section}", "optimizer", choice, parameters
    )
    if choice.lazy:
        lazy = [r.every for r in parts.regularizers.values() if r.on(side) and r.every > 1]
        if any(each.name == "betas" for each in build.moving[f"optim.{section}"]):
            message = "has no meaning for betas that move"
            raise Incompatible(message, section=f"optim.{section}", key="lazy", value=True)
        _correct_rates(optimizer, sum(1 / every for every in lazy))
    return optimizer


def _correct_rates(optimizer: torch.optim.Optimizer, extra: float) -> None:
    """Rates and decays as if updates with `extra` more gradients of a kind were so many more
    updates (Karras et al. 2020, appendix B).
    """
    share = 1 / (1 + extra)
    for group in optimizer.param_groups:
        group["lr"] *= share
        if "betas" in group:
            group["betas"] = tuple(beta**share for beta in group["betas"])


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
        elif name:  # of an optimizer, or of a role
            tree[family][name] = tree[family].get(name, {}) | options
        else:
            tree[family] |= options
    return Config.model_validate(tree)
