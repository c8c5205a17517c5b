"""Whether parts fit together: reads traits, adapts options or refuses with a reason, and rehearses one update."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .building import Assembly, flag_of
from .contracts import Augmentation, Dataset, Regularizer, Spec
from .errors import BrokenPlugin, Incompatible, one_line
from .sections import Choice


def spec_for(build: Assembly, dataset: Dataset, regularizers: Mapping[str, Regularizer]) -> Spec:
    """The spec that the nets are built for; labels count when a part reads them and the data have them."""
    config = build.config
    spec = dataset.spec
    disc = discriminator_name(build)
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


def discriminator_name(build: Assembly) -> str:
    """The discriminator that is named, else the generator's partner."""
    config = build.config
    if config.disc.name != "auto":
        return config.disc.name
    component = build.component("gen", "generator", config.gen.name)
    partner = getattr(component.load(), "partner", None)
    if not partner:
        raise Incompatible(f"--disc: {config.gen.name} has no partner; name a discriminator")
    return str(partner)


def check_sort(flag: str, name: str, net: Any, spec: Spec) -> None:
    """Raises Incompatible when a part does not handle this sort of sample."""
    sorts = getattr(net, "sorts", (spec.sort,))
    if spec.sort not in sorts:
        raise Incompatible(
            f"{flag} {name}: handles {' and '.join(sorts)} data, and these are {spec.sort}; see ganzoo list"
        )


def build_generator(build: Assembly, spec: Spec) -> nn.Module:
    """The generator, refused when it cannot draw this sort of sample."""
    choice = build.config.gen
    check_sort("--gen", choice.name, build.component("gen", "generator", choice.name).load(), spec)
    generator: nn.Module = build.build("gen", "generator", choice, spec)
    return generator


def build_augmentations(build: Assembly, spec: Spec) -> tuple[dict[str, Augmentation], Spec]:
    """The augmentations, and the spec of what the discriminator sees after them."""
    augmentations: dict[str, Augmentation] = {}
    for name, choice in build.family("aug").items():
        check_sort(
            "--aug",
            choice.name,
            build.component(f"aug.{name}", "augmentation", choice.name).load(),
            spec,
        )
        augmentations[name] = build.build(f"aug.{name}", "augmentation", choice, spec)
        spec = augmentations[name].respec(spec)
    return augmentations, spec


def build_discriminator(
    build: Assembly, spec: Spec, regularizers: Mapping[str, Regularizer]
) -> nn.Module:
    """The discriminator, with the options that give it the traits which regularizers need, unless the user insists."""
    name = discriminator_name(build)
    choice: Choice = build.config.disc.model_copy(update={"name": name})
    component = build.component("disc", "discriminator", name)
    check_sort("--disc", name, component.load(), spec)
    net: nn.Module = build.build("disc", "discriminator", choice, spec)
    for regularizer_name, regularizer in regularizers.items():
        trait = regularizer.needs.get("discriminator")
        if trait is None or getattr(net, trait, False):
            continue
        remedy = dict(getattr(net, "adapts", {}).get(trait, {}))
        if not remedy:
            raise Incompatible(
                f"--reg {regularizer_name}: needs a discriminator with the trait {trait!r}, which {name} has not"
            )
        settings = " ".join(f"--set disc.{key}={value}" for key, value in remedy.items())
        defaults = component.options()
        insisted = {
            key: v
            for key, v in choice.options.items()
            if key in remedy and v != defaults[key].default
        }
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
            raise BrokenPlugin(
                f"{component}: says that {settings} gives the trait {trait!r}, and it does not"
            )
    return net


def check_needs(
    build: Assembly, parts: Mapping[str, Any], regularizers: Mapping[str, Regularizer]
) -> None:
    """Every trait that a regularizer needs of another kind of part must be there."""
    sections = [(f"reg.{name}", regularizer) for name, regularizer in regularizers.items()]
    for section, part in [("loss", parts["loss"]), *sections]:
        if any(True for _ in part.parameters()):
            who = f"{flag_of(section)}: {type(part).__name__}"
            raise BrokenPlugin(
                f"{who} has parameters, which no optimizer would update; make them buffers"
            )
    for name, regularizer in regularizers.items():
        for kind, trait in regularizer.needs.items():
            if kind == "discriminator" or getattr(parts[kind], trait, False):
                continue
            having = [
                c.name for c in build.registry.components(kind) if getattr(c.load(), trait, False)
            ]
            raise Incompatible(
                f"--reg {name}: needs a {kind} with the trait {trait!r}; use one of {', '.join(having) or 'none installed'}"
            )


@torch.no_grad()
def probe(build: Assembly, spec: Spec, seen: Spec, generator: Any, discriminator: Any) -> None:
    """Run copies of both nets once on two samples, so that a broken one is a line before the training and not a traceback in it."""
    labels = torch.zeros(2, dtype=torch.long) if spec.classes else None
    for section, net, expected, call in (
        ("gen", generator, (2, *spec.shape), lambda net: net(net.draw_latents(2), labels)),
        (
            "disc",
            discriminator,
            (2,),
            lambda net: net.score(
                net.features(torch.zeros(2, *seen.shape)), labels if net.conditional else None
            ),
        ),
    ):
        try:
            shape = tuple(call(copy.deepcopy(net).train()).shape)
        except Exception as error:
            raise BrokenPlugin(
                f"{flag_of(section)}: {type(net).__name__} of {build.owners[section]} fails: {one_line(error)}"
            ) from error
        if shape != expected:
            raise BrokenPlugin(
                f"{flag_of(section)}: {type(net).__name__} of {build.owners[section]} gives {shape}, not {expected}"
            )
