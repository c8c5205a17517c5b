"""From a configuration to a pipeline: builds the parts, reads their traits, adapts or refuses with a reason."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import __version__
from .average import Average
from .blocks import initialise
from .config import FAMILIES, Choice, Config, Tree
from .contracts import Augmentation, Dataset, Regularizer, Side, SlopePenalty, Spec
from .data import load_pictures, parse_resolution, resize
from .devices import choose_device, choose_engine, choose_precision
from .errors import BadOption, BrokenPlugin, GanzooError, Incompatible, UnknownComponent, one_line
from .pipeline import SECTION, SIDES, Pipeline
from .registry import Component, Registry
from .streams import derive
from .update import Parts, choose_way

Progress = Callable[[int, int], None]


class Assembly:
    """One assembly in progress: what was chosen, who ships it, what was adapted."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self.config, self.registry = config, registry
        self.notes: list[str] = []
        self.owners: dict[str, str] = {}
        self.versions: dict[str, str] = {"ganzoo": __version__, "torch": torch.__version__}
        self.complete: Tree = {}  # section -> every option, defaults included

    def component(self, section: str, kind: str, name: str) -> Component:
        """The component of a section, its owner noted; the flag is named when there is none."""
        try:
            component = self.registry.get(kind, name)
        except GanzooError as error:
            where = f"--set {section}.name={name}" if section.startswith("optim.") else f"{_flag(section)} {name}"
            raise type(error)(f"{where}: {error}") from None
        self.owners[section] = f"{component.distribution}:{component.plugin}"
        self.versions[component.distribution] = component.version
        return component

    def build(self, section: str, kind: str, choice: Choice, *arguments: Any) -> Any:
        """An instance, from a random stream of its own, so that changing one part leaves the others' weights."""
        component = self.component(section, kind, choice.name)
        torch.manual_seed(derive(self.config.train.seed, "init", section))
        built = component.build(arguments, choice.options, section)
        defaults = {name: option.default for name, option in component.options().items()}
        self.complete[section] = {name: _plain(value) for name, value in (defaults | choice.options).items() if value is not None}
        return built

    def family(self, family: str) -> Mapping[str, Choice]:
        """The chosen components of `reg`, `aug`, `metric` or `tracker`."""
        chosen: dict[str, Tree] = getattr(self.config, family)
        return {name: Choice.model_validate({**options, "name": name}) for name, options in chosen.items()}


def _plain(value: Any) -> Any:
    """An option as TOML can hold it."""
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else str(value) if isinstance(value, Path) else value


def _flag(section: str) -> str:
    head = section.split(".")[0]
    return "--set " + section if head in ("optim", "metric") else "--" + head


def assemble(config: Config, registry: Registry, progress: Progress | None = None) -> Pipeline:
    """Build and check everything; raises UsageError, BadData, DeviceError or BrokenPlugin with one line."""
    build = Assembly(config, registry)
    device = choose_device(config.train.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        dataset = open_dataset(build, progress)
        if config.train.batch_size > len(dataset):
            raise Incompatible(f"--batch-size {config.train.batch_size}: larger than the data, which has {len(dataset):,} samples")
        regularizers = {name: build.build(f"reg.{name}", "regularizer", c) for name, c in build.family("reg").items()}
        spec = _spec(build, dataset, regularizers)
        generator = build_generator(build, spec)
        augmentations, seen = _augmentations(build, spec)
        loss = build.build("loss", "loss", config.loss)
        discriminator = build_discriminator(build, seen, regularizers)
        _check_needs(build, {"loss": loss, "discriminator": discriminator, "generator": generator}, regularizers)
        for name, section, net in (("generator", config.gen, generator), ("discriminator", config.disc, discriminator)):
            if section.init != "auto":
                torch.manual_seed(derive(config.train.seed, "init", name))
                initialise(net, section.init)
        _probe(build, spec, seen, generator, discriminator)
        _prepare(build, regularizers, generator, discriminator)
        slopes = [r for r in regularizers.values() if isinstance(r, SlopePenalty) and r.place]
        way = choose_way(discriminator, seen) if slopes else "double"
        for module in (generator, discriminator, loss, *regularizers.values(), *augmentations.values()):
            module.to(device).train()
        if device.type == "cuda" and spec.sort == "image":
            generator.to(memory_format=torch.channels_last), discriminator.to(memory_format=torch.channels_last)
        parts = Parts(
            generator,
            discriminator,
            loss,
            regularizers,
            augmentations,
            way,
            choose_precision(config.train.precision, device),
        )
        optimizers = {side: _optimizer(build, side, parts.net(side)) for side in SIDES}
        metrics = {name: build.build(f"metric.{name}", "metric", c, spec) for name, c in build.family("metric").items()}
        trackers = {name: build.build(f"tracker.{name}", "tracker", c) for name, c in build.family("tracker").items()}
    engine, reason = choose_engine(config.train.engine, device)
    build.notes.append(f"engine {engine}: {reason}" + (f"; slopes by the {way} pass" if slopes else ""))
    return Pipeline(
        _completed(build), spec, dataset, parts, optimizers, Average(generator, config.average.half_life), device,
        engine, metrics, trackers, build.versions, build.owners, [*dataset.notes, *build.notes],
    )  # fmt: skip


def open_dataset(build: Assembly, progress: Progress | None) -> Dataset:
    """The data set of the configuration: a registered one by name, else a folder or zip of pictures."""
    data = build.config.data
    resolution = None if str(data.resolution) == "auto" else parse_resolution(str(data.resolution))
    root = data.root or os.environ.get("GANZOO_DATA")
    try:
        component = build.component("data", "dataset", data.name)
    except UnknownComponent as error:
        path = Path(data.name).expanduser()
        if not path.exists():
            raise UnknownComponent(f"{error}, and there is no such folder or zip") from None
        if data.options:
            raise BadOption(f"data: no option {next(iter(data.options))!r} for a folder or zip of pictures") from None
        channels = None if data.channels == "auto" else int(data.channels)
        return load_pictures(path, resolution=resolution, channels=channels, background=data.background, progress=progress)
    takes = component.options()
    given = dict(data.options)
    if root and "root" in takes:
        given["root"] = Path(root).expanduser()
    if resolution and "resolution" in takes:
        given["resolution"] = resolution
    dataset: Dataset = component.build((), given, "data")
    if data.channels != "auto" and data.channels != dataset.spec.shape[0]:
        raise Incompatible(
            f"--set data.channels={data.channels}: {data.name} has {dataset.spec.shape[0]}; this is for folders and zips"
        )
    if resolution and tuple(dataset.spec.shape[1:]) != resolution:
        if dataset.spec.sort != "image":
            raise Incompatible(f"--resolution: {data.name} holds {dataset.spec.sort}, not images")
        dataset = Dataset(resize(dataset.samples, resolution), dataset.labels, dataset.classes, dataset.notes)
    return dataset


def _spec(build: Assembly, dataset: Dataset, regularizers: Mapping[str, Regularizer]) -> Spec:
    """The spec that the nets are built for; labels count when a part reads them and the data have them."""
    config = build.config
    spec = dataset.spec
    disc = _discriminator_name(build)
    factories = [
        build.component("gen", "generator", config.gen.name).load(),
        build.component("disc", "discriminator", disc).load(),
        build.component("loss", "loss", config.loss.name).load(),
        *regularizers.values(),
    ]
    wanted = any(getattr(factory, "conditional", False) for factory in factories)
    has = dataset.labels is not None and spec.classes > 0
    if config.train.conditional is True and not (wanted and has):
        raise Incompatible(
            f"--set train.conditional=true: {'the data have no labels' if wanted else 'no part of this pipeline reads labels'}"
        )
    if wanted and not has:
        raise Incompatible(
            f"--data {config.data.name}: has no labels, which this pipeline reads; put the pictures in one folder a class"
        )
    return spec if wanted and config.train.conditional is not False else Spec(spec.shape)


def _discriminator_name(build: Assembly) -> str:
    """The discriminator that is named, else the generator's partner."""
    config = build.config
    if config.disc.name != "auto":
        return config.disc.name
    component = build.component("gen", "generator", config.gen.name)
    partner = getattr(component.load(), "partner", None)
    if not partner:
        raise Incompatible(f"--disc: {config.gen.name} has no partner; name a discriminator")
    return str(partner)


def _check_sort(flag: str, name: str, net: Any, spec: Spec) -> None:
    sorts = getattr(net, "sorts", (spec.sort,))
    if spec.sort not in sorts:
        raise Incompatible(f"{flag} {name}: handles {' and '.join(sorts)} data, and these are {spec.sort}; see ganzoo list")


def build_generator(build: Assembly, spec: Spec) -> nn.Module:
    """The generator, refused when it cannot draw this sort of sample."""
    choice = build.config.gen
    _check_sort("--gen", choice.name, build.component("gen", "generator", choice.name).load(), spec)
    generator: nn.Module = build.build("gen", "generator", choice, spec)
    return generator


def _augmentations(build: Assembly, spec: Spec) -> tuple[dict[str, Augmentation], Spec]:
    """The augmentations, and the spec of what the discriminator sees after them."""
    augmentations: dict[str, Augmentation] = {}
    for name, choice in build.family("aug").items():
        augmentations[name] = build.build(f"aug.{name}", "augmentation", choice, spec)
        spec = augmentations[name].respec(spec)
    return augmentations, spec


def build_discriminator(build: Assembly, spec: Spec, regularizers: Mapping[str, Regularizer]) -> nn.Module:
    """The discriminator, with the options that give it the traits which regularizers need, unless the user insists."""
    name = _discriminator_name(build)
    choice: Choice = build.config.disc.model_copy(update={"name": name})
    component = build.component("disc", "discriminator", name)
    _check_sort("--disc", name, component.load(), spec)
    net: nn.Module = build.build("disc", "discriminator", choice, spec)
    for regularizer_name, regularizer in regularizers.items():
        trait = regularizer.needs.get("discriminator")
        if trait is None or getattr(net, trait, False):
            continue
        remedy = dict(getattr(net, "adapts", {}).get(trait, {}))
        if not remedy:
            raise Incompatible(f"--reg {regularizer_name}: needs a discriminator with the trait {trait!r}, which {name} has not")
        settings = " ".join(f"--set disc.{key}={value}" for key, value in remedy.items())
        defaults = component.options()
        insisted = {key: v for key, v in choice.options.items() if key in remedy and v != defaults[key].default}
        if insisted:
            build.notes.append(
                f"{regularizer_name} needs the trait {trait!r}, which {name} lacks with {insisted}: kept, as you insist"
            )
            continue
        build.notes.append(
            f"{regularizer_name} needs a discriminator with the trait {trait!r}: using {settings}; set it otherwise to insist"
        )
        choice = type(choice).model_validate(choice.model_dump() | remedy)
        net = build.build("disc", "discriminator", choice, spec)
        if not getattr(net, trait, False):
            raise BrokenPlugin(f"{component}: says that {settings} gives the trait {trait!r}, and it does not")
    return net


def _check_needs(build: Assembly, parts: Mapping[str, Any], regularizers: Mapping[str, Regularizer]) -> None:
    """Every trait that a regularizer needs of another kind of part must be there."""
    for name, regularizer in regularizers.items():
        for kind, trait in regularizer.needs.items():
            if kind == "discriminator" or getattr(parts[kind], trait, False):
                continue
            having = [c.name for c in build.registry.components(kind) if getattr(c.load(), trait, False)]
            raise Incompatible(
                f"--reg {name}: needs a {kind} with the trait {trait!r}; use one of {', '.join(having) or 'none installed'}"
            )


@torch.no_grad()
def _probe(build: Assembly, spec: Spec, seen: Spec, generator: Any, discriminator: Any) -> None:
    """Run copies of both nets once on two samples, so that a broken one is a line before the training and not a traceback in it."""
    labels = torch.zeros(2, dtype=torch.long) if spec.classes else None
    for section, net, expected, call in (
        ("gen", generator, (2, *spec.shape), lambda net: net(net.draw_latents(2), labels)),
        (
            "disc",
            discriminator,
            (2,),
            lambda net: net.score(net.features(torch.zeros(2, *seen.shape)), labels if net.conditional else None),
        ),
    ):
        try:
            shape = tuple(call(copy.deepcopy(net).train()).shape)
        except Exception as error:
            raise BrokenPlugin(
                f"{_flag(section)}: {type(net).__name__} of {build.owners[section]} fails: {one_line(error)}"
            ) from error
        if shape != expected:
            raise BrokenPlugin(f"{_flag(section)}: {type(net).__name__} of {build.owners[section]} gives {shape}, not {expected}")


def _prepare(build: Assembly, regularizers: Mapping[str, Regularizer], generator: nn.Module, discriminator: nn.Module) -> None:
    for name, regularizer in regularizers.items():
        torch.manual_seed(derive(build.config.train.seed, "prepare", name))
        try:
            regularizer.prepare(generator, discriminator)
        except GanzooError:
            raise
        except Exception as error:
            raise BrokenPlugin(
                f"--reg {name} of {build.owners[f'reg.{name}']} fails to prepare the nets: {one_line(error)}"
            ) from error


def _optimizer(build: Assembly, side: Side, net: nn.Module) -> torch.optim.Optimizer:
    section = SECTION[side]
    choice: Choice = getattr(build.config.optim, section)
    parameters = [p for p in net.parameters() if p.requires_grad]
    if not parameters:
        raise Incompatible(f"--{section}: the {side} has no weights to train")
    optimizer: torch.optim.Optimizer = build.build(f"optim.{section}", "optimizer", choice, parameters)
    return optimizer


def _completed(build: Assembly) -> Config:
    """The configuration with every option of every part written out."""
    tree = build.config.tree()
    tree["disc"]["name"] = _discriminator_name(build)
    for section, options in build.complete.items():
        family, _, name = section.partition(".")
        if family in FAMILIES:
            tree[family][name] = options
        elif family == "optim":
            tree[family][name] |= options
        else:
            tree[family] |= options
    return Config.model_validate(tree)
