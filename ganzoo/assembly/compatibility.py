"""Whether parts fit together: reads traits, adapts options or refuses with a reason."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from torch import nn

from ..components.kinds import KINDS
from ..components.registry import Component
from ..components.traits import has, wants
from ..config.tree import Net
from ..contracts import Augmentation, Dataset, Regularizer, Spec
from ..errors import BrokenPlugin, GanzooError, Incompatible, as_setting
from ..nn.vectors import VECTOR
from .builder import Assembly, said_of

NONE = "none installed"  # where no component passes a test


def spec_for(build: Assembly, dataset: Dataset, regularizers: Mapping[str, Regularizer]) -> Spec:
    """The spec that the nets are built for; labels
    count when a part reads them and the data have them.
    """
    config = build.config
    spec = dataset.spec
    disc = discriminator_name(build)
    chosen = [
        (build.component("gen", "generator", config.gen.name).load(), config.gen.options),
        (build.component("disc", "discriminator", disc).load(), config.disc.options),
        (build.component("loss", "loss", config.loss.name).load(), {}),
        *((regularizer, {}) for regularizer in regularizers.values()),
        *(
            (build.component(f"aug.{name}", "augmentation", c.name).load(), c.options)
            for name, c in build.family("aug").items()
        ),
    ]
    readers = [part for part, options in chosen if _reads_labels(part, options)]
    wanted = bool(readers)
    labelled = dataset.labels is not None and spec.classes > 0
    able = all(VECTOR in getattr(part, "may_read", ()) for part in readers)
    known = labelled or (VECTOR in spec.given and able)
    if config.train.conditional is True and not (wanted and known):
        why = "the data have no labels" if wanted else "no part of this pipeline reads labels"
        raise Incompatible(why, section="train", key="conditional", value=True)
    if wanted and not known:
        raise Incompatible(
            "has no labels, which this pipeline reads; put the pictures in one folder a class, or "
            "name their classes in labels.json",
            section="data",
            key="name",
            value=config.data.name,
        )
    if config.train.conditional is False:
        spec = replace(spec, given={k: v for k, v in spec.given.items() if k != VECTOR})
    told = wanted and labelled and config.train.conditional is not False
    if not config.train.label_dropout:
        return spec if told else replace(spec, classes=0)
    _check_label_dropout(config.train.label_dropout, told, chosen)
    return replace(spec, classes=spec.classes + 1)


def _check_label_dropout(share: float, told: bool, chosen: Sequence[tuple[Any, Any]]) -> None:
    """Raises Incompatible where there are no labels to drop, or a part tells samples by theirs."""
    setting: dict[str, Any] = {"section": "train", "key": "label_dropout", "value": share}
    if not told:
        raise Incompatible("labels are not in use", **setting, remedy="take nets that read them")
    for part, _ in chosen[2:]:
        if has(part, "conditional"):
            kind = part if isinstance(part, type) else type(part)
            message = f"{kind.__name__} tells samples by their class, and some would have none"
            raise Incompatible(message, **setting, remedy="leave one of the two out")


def _reads_labels(part: Any, options: Mapping[str, Any]) -> bool:
    """Whether a part has the trait `conditional`, of itself or by the options that give it."""
    giving = dict(getattr(part, "adapts", {})).get("conditional", {})
    given = bool(giving) and all(options.get(name) == to for name, to in giving.items())
    return has(part, "conditional") or given


def discriminator_name(build: Assembly) -> str:
    """The discriminator that is named, else the generator's partner."""
    config = build.config
    if config.disc.name != "auto":
        return config.disc.name
    component = build.component("gen", "generator", config.gen.name)
    partner = getattr(component.load(), "partner", None)
    if not partner:
        raise Incompatible(
            f"{config.gen.name} has no partner; name a discriminator", section="disc", key="name"
        )
    _prefer(build, component, str(partner))
    return str(partner)


def _prefer(build: Assembly, component: Component, partner: str) -> None:
    """By a partner's name a generator means its own distribution's, else ganzoo's."""
    named = [c for c in build.registry.components("discriminator") if c.name == partner]
    own = any(c.distribution == component.distribution for c in named)
    meant = component.distribution if own else "ganzoo"
    build.registry = build.registry.meaning({("discriminator", partner): meant})


def check_modality(
    build: Assembly, section: str, kind: str, name: str, net: Any, spec: Spec
) -> None:
    """Raises Incompatible, naming those that do, when a part does not handle this modality."""
    modalities = getattr(net, "modalities", (spec.modality,))
    if spec.modality not in modalities:
        message = f"handles {' and '.join(modalities)} data, and these are {spec.modality}"
        others = having(build, kind, lambda part: spec.modality in getattr(part, "modalities", ()))
        raise said_of(Incompatible(message, remedy=one_of(others)), section, name)


def having(build: Assembly, kind: str, test: Callable[[Any], bool]) -> str:
    """The components of a kind that pass a test, for
    a remedy; those that cannot be imported do not.
    """
    names = []
    for component in build.registry.components(kind):
        with contextlib.suppress(GanzooError):
            if test(component.load()):
                names.append(component.name)
    return ", ".join(names) or NONE


def one_of(names: str) -> str:
    """The remedy that names them, or says that there are none."""
    return "none that is installed does" if names == NONE else f"use one of {names}"


def build_augmentations(build: Assembly, spec: Spec) -> tuple[dict[str, Augmentation], Spec]:
    """The augmentations, and the spec of what the discriminator sees after them."""
    augmentations: dict[str, Augmentation] = {}
    for name, choice in build.family("aug").items():
        part = build.component(f"aug.{name}", "augmentation", choice.name).load()
        check_modality(build, f"aug.{name}", "augmentation", choice.name, part, spec)
        augmentations[name] = build.build(f"aug.{name}", "augmentation", choice, spec)
        spec = augmentations[name].respec(spec)
    return augmentations, spec


def build_discriminator(
    build: Assembly, section: str, choice: Net, spec: Spec, askers: Mapping[str, Any]
) -> nn.Module:
    """The discriminator of a role, with the options that give it
    the traits which others need, unless the user insists.

    askers: the loss and the regularizers by section.
    """
    name = choice.name
    component = build.component(section, "discriminator", name)
    net: nn.Module = build.build(section, "discriminator", choice, spec)
    for asker, trait in _asked(askers, "discriminator"):
        if has(net, trait):
            continue
        who = asker.partition(".")[2] or build.config.loss.name
        remedy = dict(getattr(net, "adapts", {}).get(trait, {}))
        if not remedy:
            raise _lacking(build, asker, "discriminator", trait, name)
        settings = ", ".join(as_setting(f"{section}.{key}", to) for key, to in remedy.items())
        defaults = component.options()
        insisted = {
            key: v
            for key, v in choice.options.items()
            if key in remedy and v != defaults[key].default
        }
        if insisted:
            build.notes.append(
                f"{who} needs the trait {trait!r}, which {name} lacks with {insisted}: kept, as "
                f"you insist"
            )
            continue
        build.notes.append(
            f"{who} needs a discriminator with the trait {trait!r}: using {settings}; set it "
            f"otherwise to insist"
        )
        choice = type(choice).model_validate(choice.model_dump() | remedy)
        net = build.build(section, "discriminator", choice, spec)
        if not has(net, trait):
            raise BrokenPlugin(
                f"{component}: says that {settings} gives the trait {trait!r}, and it does not"
            )
    return net


def _asked(askers: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    """(section of who asks, trait) for all that is needed of a kind."""
    return [(section, t) for section, part in askers.items() for k, t in wants(part) if k == kind]


def _lacking(
    build: Assembly,
    asker: str,
    kind: str,
    trait: str,
    name: str,
    giving: Mapping[str, Any] = MappingProxyType({}),
) -> Incompatible:
    """The error for a part that has not the trait that another needs, with those that have it.

    giving: the options of a generator that would give it.
    """

    def able(part: Any) -> bool:
        return has(part, trait) or trait in getattr(part, "adapts", {})

    error = Incompatible(
        f"needs a {kind} with the trait {trait!r}, which {name} has not",
        remedy="set" if giving else one_of(having(build, kind, able)),
        change={f"gen.{key}": to for key, to in giving.items()},
    )
    said_of(error, asker, build.config.loss.name)
    return error


def check_needs(build: Assembly, parts: Mapping[str, Any], askers: Mapping[str, Any]) -> None:
    """Every trait that the loss or a regularizer needs of another kind of part must be there.

    The discriminator is left out: it was built for them.
    """
    for section, part in askers.items():
        if any(p.requires_grad for p in part.parameters()):
            message = (
                "has parameters, which no optimizer would update; freeze them, or make buffers"
            )
            raise BrokenPlugin(f"{type(part).__name__} {message}", section=section)
    config = build.config
    for kind in parts.keys() - {"discriminator"}:
        name = getattr(config, KINDS[kind].section).name
        for asker, trait in _asked(askers, kind):
            if not has(parts[kind], trait):
                giving = dict(getattr(parts[kind], "adapts", {}).get(trait, {}))
                raise _lacking(build, asker, kind, trait, name, giving)
