"""The nets of a game: built by role, tried, and put together by player."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from ..components.kinds import ROLES
from ..config.tree import Net
from ..contracts import Condition, Dataset, Game, Role, Side, Spec
from ..contracts.game import Nets
from ..engine.randomness import derive, reseed
from ..errors import BadConfig, BrokenPlugin, Incompatible
from ..nn import initialise
from .builder import Assembly
from .compatibility import (
    build_discriminator,
    check_modality,
    discriminator_name,
    having,
)


def choice_of(build: Assembly, role: str, kind: str) -> Net:
    """The component that fills a role: its section's, but for what stands in a table of its own."""
    chosen: Net = getattr(build.config, ROLES[kind]).of_role(role.partition(".")[2])
    if kind == "discriminator" and chosen.name == "auto":
        return chosen.model_copy(update={"name": discriminator_name(build)})
    if kind == "encoder" and chosen.name == "auto":
        return chosen.model_copy(update={"name": build.config.gen.name})
    return chosen


def build_conditions(build: Assembly, spec: Spec) -> tuple[dict[str, Condition], Spec]:
    """What is made of the samples and given to nets, and the spec with it."""
    conditions: dict[str, Condition] = {}
    given, picture = dict(spec.given), replace(spec, classes=0, given={})
    for name, choice in build.family("given").items():
        section = f"given.{name}"
        part = build.component(section, "condition", choice.name).load()
        check_modality(build, section, "condition", choice.name, part, spec)
        condition = conditions[name] = build.build(section, "condition", choice, picture)
        made = dict(condition.gives())
        twice = next((each for each in made if each in spec.given), None)
        if twice is not None:
            raise Incompatible(f"makes {twice!r}, which the data give already", section=section)
        given |= made
        picture = made.get("image", picture)
    return conditions, replace(spec, given=given)


def build_nets(
    build: Assembly,
    game: Game,
    spec: Spec,
    seen: Spec,
    askers: Mapping[str, Any],
) -> tuple[dict[str, nn.Module], dict[str, Spec]]:
    """The nets by role, initialised, and what each was built for.

    seen: what a discriminator of `spec` sees after augmentations
    askers: loss and regularizers by section, which may need traits of discriminators
    """
    nets: dict[str, nn.Module] = {}
    specs: dict[str, Spec] = {}
    roles = game.roles()
    _check_tables(build, roles)
    for name, role in roles.items():
        own = role.spec if isinstance(role.spec, Spec) else role.spec(nets)
        if role.kind == "discriminator":
            own = _after_views(build, own, spec, seen)
        specs[name] = own
        choice = _with_options(choice_of(build, name, role.kind), role, nets, name)
        component = build.component(name, role.kind, choice.name)
        check_modality(build, name, role.kind, choice.name, component.load(), own)
        if role.kind == "discriminator":
            nets[name] = build_discriminator(build, name, choice, own, askers)
        else:
            nets[name] = build.build(name, role.kind, choice, own)
        if choice.init != "auto":
            # by the kind's name, as runs of one generator and one discriminator always were
            stream = role.kind if name == ROLES[role.kind] else name
            reseed(derive(build.config.train.seed, "init", stream))
            initialise(nets[name], choice.init)
    return nets, specs


def _check_tables(build: Assembly, roles: Mapping[str, Role]) -> None:
    """Raises BadConfig for the table of a role that the game has not."""
    for section in ROLES.values():
        for table in getattr(build.config, section).roles:
            if f"{section}.{table}" not in roles:
                game = build.config.game.name
                message = f"{game} has no such role: it has {', '.join(roles)}"
                raise BadConfig(message, section=section, key=table)


def _after_views(build: Assembly, own: Spec, spec: Spec, seen: Spec) -> Spec:
    """What a discriminator is built for, augmentations included."""
    if own.shape == spec.shape:
        return replace(seen, given=own.given)
    for name in build.family("aug"):
        message = f"changes {list(spec.shape)}, and a discriminator of this game sees other samples"
        raise Incompatible(message, section=f"aug.{name}")
    return own


def _with_options(choice: Net, role: Role, nets: Mapping[str, Any], name: str) -> Net:
    """The choice with what the game sets; raises Incompatible where the person set it otherwise."""
    wanted = dict(role.options(nets)) if role.options else {}
    for key, value in wanted.items():
        if choice.options.get(key, value) != value:
            message = f"must be {value} in this game"
            raise Incompatible(message, section=name, key=key, value=choice.options[key])
    return type(choice).model_validate(choice.model_dump() | wanted)


def what_is_read(
    build: Assembly,
    game: Game,
    spec: Spec,
    nets: Mapping[str, nn.Module],
    specs: Mapping[str, Spec],
    conditions: Mapping[str, Condition],
) -> Spec:
    """The spec with what is read of that which is given alone; refuses what nobody gives or reads,
    and augmentations of samples beside something that they would have to move as well.
    """
    wanted = {"game": game.reads} | {role: getattr(net, "reads", ()) for role, net in nets.items()}
    for section, names in wanted.items():
        for name in names:
            if name not in specs.get(section, spec).given:
                message = f"reads {name!r}, which nothing gives"
                makers = having(build, "condition", lambda part: True)
                remedy = f"take paired pictures, or make it by a condition: {makers}"
                raise Incompatible(message, section=section, remedy=remedy)
    read = {name for names in wanted.values() for name in names}
    for name, condition in conditions.items():
        if not read & set(condition.gives()):
            message = "makes what no net of this pipeline reads"
            remedy = "take a generator that does"
            raise Incompatible(message, section=f"given.{name}", remedy=remedy)
    moving = {name for name, each in spec.given.items() if each.modality == "image"}
    judging = [
        role for role, net in nets.items() if role[:4] == "disc" and moving & {*wanted[role]}
    ]
    for name in build.family("aug") if judging else ():
        message = f"would move samples and not what {judging[0]} reads beside them"
        raise Incompatible(message, section=f"aug.{name}", remedy="leave it out")
    return replace(spec, given={k: v for k, v in spec.given.items() if k in read})


def only_read(dataset: Dataset, spec: Spec) -> Dataset:
    """The data without what no net reads."""
    return replace(
        dataset,
        given={k: v for k, v in dataset.given.items() if k in spec.given},
        others={k: v for k, v in dataset.others.items() if k in spec.given},
    )


def players(game: Game, nets: Mapping[str, nn.Module]) -> dict[Side, nn.Module]:
    """What each player moves: its net, or several as one module."""
    found: dict[Side, nn.Module] = {}
    roles = game.roles()
    alone = {"generator": "gen", "discriminator": "disc"}
    for player, usual in alone.items():
        own = {role: net for role, net in nets.items() if roles[role].player == player}
        if not own:
            raise BrokenPlugin(f"{type(game).__name__} has no role of the {player}", section="game")
        found[player] = own[usual] if list(own) == [usual] else Nets(own)  # type: ignore[index]
    return found
