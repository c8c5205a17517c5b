"""Checks on games, encoders and what nets are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..assembly.pipeline import SIDES
from ..components.kinds import ROLES
from ..contracts import Batch, Game, Side, Spec
from ..contracts.game import Nets
from ..engine.losses import Parts, losses
from ..engine.randomness import reseed
from ..engine.simulation import one_update
from .case import BATCH, Case, describe, gradients, on, samples_of, seeded
from .stand_ins import PlainDiscriminator, PlainEncoder, PlainGenerator, PlainLoss

SHARED = "compute it from the samples, in their type and on their device, without changing them"


# What is given.


def gives(case: Case) -> str:
    """It makes what `gives` lists, in those shapes, and leaves the samples as they are."""
    for spec in case.taken:
        part, samples = case.made(spec), samples_of(spec)
        before = samples.clone()
        made = case.attempt(f"forward on {describe(spec)}", SHARED, seeded, part, samples)
        wanted = {name: (BATCH, *each.shape) for name, each in part.gives().items()}
        found = {name: tuple(each.shape) for name, each in made.items()}
        fix = "return a tensor for each name that `gives` lists, in its shape"
        case.require(found == wanted, f"makes {found}, and lists {wanted}", fix)
        finite = all(bool(each.isfinite().all()) for each in made.values())
        case.require(finite, f"makes what is not finite on {describe(spec)}", SHARED)
        case.require(torch.equal(samples, before), "changes the samples in place", SHARED)
    return on(case.taken)


def gives_again(case: Case) -> str:
    """The same random state makes the same, compiled as one graph too."""
    for spec in case.one_of_each:
        part, samples = case.made(spec), samples_of(spec)
        fix = "draw random numbers from torch's global generator only"
        first, second = seeded(part, samples), seeded(part, samples)
        same = all(torch.equal(first[name], second[name]) for name in first)
        case.require(same, f"makes another on {describe(spec)}", fix)
        torch._dynamo.reset()
        graph = torch.compile(part, fullgraph=True, backend="aot_eager")
        found = case.attempt("compiled", "no branch on a tensor's value", seeded, graph, samples)
        same = all(torch.allclose(first[name], found[name], atol=1e-5) for name in first)
        case.require(same, "makes another when it is compiled", fix)
    return on(case.one_of_each)


def use_condition(case: Case, part: Any) -> Tensor:
    """Everything it makes, in one row."""
    made = seeded(part, samples_of(part.spec))
    return torch.cat([each.flatten() for each in made.values()])


# Encoders.


def codes(case: Case) -> str:
    """Codes are [n, 2, latent_dim], finite, alike for the same samples, and reach every weight."""
    for spec in case.taken:
        net = case.moved(spec)
        found = case.attempt("forward", "take [n, *spec.shape]", seeded, net, samples_of(spec))
        wanted = (BATCH, 2, net.latent_dim)
        fix = "return means and logarithms of variances: torch.stack([mean, log_variance], 1)"
        case.require(tuple(found.shape) == wanted, f"gives {tuple(found.shape)}", fix)
        case.require(found.isfinite().all(), "gives what is not finite", fix)
        same = torch.equal(found, seeded(net, samples_of(spec)))
        case.require(same, "gives other codes for the same samples", "leave sampling to the game")
        reached = gradients(found.square().sum(), net)
        case.require(reached.any(), "its codes have no gradient", "detach nothing on the way")
    return on(case.taken)


def use_encoder(case: Case, net: Any) -> Tensor:
    """Codes of samples that are always the same."""
    return seeded(net, samples_of(net.spec))


# Games.


def roles(case: Case) -> str:
    """Each player has a role that a known kind of net fills."""
    for spec in case.taken:
        found = case.made(spec).roles()
        players = {role.player for role in found.values()}
        case.require(players == set(SIDES), f"its players are {sorted(players)}", "give both one")
        strange = {role.kind for role in found.values()} - set(ROLES)
        case.require(not strange, f"has a role for {sorted(strange)}", f"take one of {[*ROLES]}")
    return on(case.taken)


def turns(case: Case) -> str:
    """A round begins with a fresh batch and lets both players move."""
    game = case.made(case.taken[0])
    for counts in ((1, 1), (3, 1), (1, 2)):
        found = game.turns(*counts)
        case.require(found and found[0].fresh, "its first turn has no batch", "make it fresh")
        moved = {turn.player for turn in found}
        case.require(moved == set(SIDES), f"only {sorted(moved)} move", "give both a turn")
    return f"{len(game.turns(1, 1))} turns a round"


def plays(case: Case) -> str:
    """An update of each player is finite, moves all its nets and none of the other's."""
    for spec in case.one_of_each:
        parts, inputs = stage(case, spec)
        for side in SIDES:
            fix = "steps and terms must be tensors of the update's own samples and nets"
            for net in parts.nets.values():
                net.zero_grad()
            reseed(3)
            case.attempt(f"the {side}'s update", fix, one_update, parts, side, *inputs)
            for role, net in parts.nets.items():
                mine = role in parts.nets_of(side)
                moved = any(p.grad is not None and p.grad.any() for p in net.parameters())
                wrong = f"the {side}'s update {'leaves' if mine else 'moves'} {role}"
                case.require(moved == mine, wrong, fix)
    return on(case.one_of_each)


def plays_compiled(case: Case) -> str:
    """An update of each player compiles as one graph and agrees with the eager one."""
    tried = list({len(spec.shape): spec for spec in reversed(case.one_of_each)}.values())
    for spec in tried:
        parts, inputs = stage(case, spec)
        for side in SIDES:
            function, progress = losses(parts, side), torch.tensor(0.2)
            torch._dynamo.reset()
            graph = torch.compile(function, fullgraph=True, backend="aot_eager")
            found = []
            for compute in (function, graph):
                reseed(3)
                fix = "no .item(), no branch on a tensor's value in steps and terms"
                given = (*inputs, progress, ())
                found.append(case.attempt(f"the {side}'s update", fix, compute, *given)[0])
            same = torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-5)
            case.require(same, f"the {side}'s compiled update is another", "keep no Python state")
    return on(tried)


def use_game(case: Case, game: Game) -> Tensor:
    """What each player minimises."""
    parts, inputs = stage(case, game.spec, game)
    totals = []
    for side in SIDES:
        reseed(3)
        totals.append(losses(parts, side)(*inputs, torch.tensor(0.2), ())[0].detach())
    return torch.stack(totals)


def stage(case: Case, spec: Spec, game: Game | None = None) -> tuple[Parts, tuple[Batch, Tensor]]:
    """A game with stand-ins for all its nets, a batch and latents."""
    game = game or case.made(spec)
    reseed(0)
    nets: dict[str, nn.Module] = {}
    for name, role in game.roles().items():
        own = role.spec if isinstance(role.spec, Spec) else role.spec(nets)
        nets[name] = _stand_in(role.kind, own, dict(role.options(nets)) if role.options else {})
    moved: dict[Side, nn.Module] = {
        side: Nets({n: nets[n] for n, role in game.roles().items() if role.player == side})
        for side in SIDES
    }
    parts = Parts(moved["generator"], moved["discriminator"], PlainLoss(), {}, {}, game=game)
    given = {
        name: samples_of(each, seed=6)
        for name, each in game.spec.given.items()
        if name in game.reads
    }
    labels = torch.arange(BATCH) % max(spec.classes, 1)
    batch = Batch(samples_of(spec), labels, None, given)
    return parts, (batch, parts.draw_latents(BATCH))


def _stand_in(kind: str, spec: Spec, options: Mapping[str, Any]) -> nn.Module:
    if kind == "discriminator":
        return PlainDiscriminator(spec)
    if kind == "encoder":
        return PlainEncoder(spec, **options)
    return PlainGenerator(replace(spec), **options)
