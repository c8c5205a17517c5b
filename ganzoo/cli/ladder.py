"""`ganzoo ladder RECIPE`: what settings reach on harder and harder data, against bands."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..components.kinds import KINDS
from ..errors import BadConfig, UsageError
from ._complete import components
from ._echo import echo
from ._patience import patience
from ._shared import Whole, loaded, plain, print_json, table
from ._words import FLAGS, MANY
from .train import BATCH_SIZE, SETTINGS, machine_flags, part_flags

if TYPE_CHECKING:
    from ..components.registry import Registry
    from ..ladder import Climb, Placed

# Flags of a training that a rung leaves no room for: data, metrics, trackers, recipes.
FIXED = [kind.flag for kind in KINDS.values() if kind.flag and not kind.net]
OURS = ("data", "metric", "measure", "samples", "checkpoint", "log", "tracker")


@click.command("ladder", short_help="Try settings on harder and harder data.")
@click.argument("recipe", required=False, shell_complete=components("recipe"))
@functools.partial(part_flags, without=FIXED)
@SETTINGS
@BATCH_SIZE
@machine_flags
@click.option(
    "--rungs",
    metavar="NAME,NAME",
    help="Which rungs; by default those that take less than a minute on a CPU.",
)
@click.option(
    "--seeds",
    type=Whole(1, 100),
    default=3,
    show_default=True,
    help="How often each is trained, from seed 0 on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(recipe: str | None, rungs: str | None, seeds: int, as_json: bool, **given: Any) -> int:
    """Train settings on harder and harder data, and hold what they reach to measured bands.

    What is tried is a recipe, or what flags and --set say over the recipe that each rung's data
    start from. Data, metric and number of images are the rung's; where nets are for other samples,
    so are they. The exit code is 1 where a rung is not passed, or a training diverged.

    \b
    ganzoo ladder gan-r1 --rungs dirac,ring
    ganzoo ladder --gen mlp --loss hinge --reg r1 --seeds 5
    """
    if recipe is None and not any(given.values()):
        raise UsageError("give a recipe to try, or parts by their flags")
    for text in given["settings"]:
        head = text.partition("=")[0].strip()
        if head.partition(".")[0] in OURS or head == FLAGS["images"]:
            message = "a rung says its data, its length and its metric itself"
            raise BadConfig(message, key="set", value=text)
    registry = loaded().registry
    with patience():
        from .. import ladder
    names = [name.strip() for name in rungs.split(",")] if rungs is not None else []
    climbed = []
    for place in ladder.chosen(registry, names):
        climbed.append(_climbed(place, recipe, given, range(seeds), registry))
        if not as_json:
            _tell(climbed[-1])
    if as_json:
        print_json([_record(each, range(seeds)) for each in climbed])
    else:
        heads = ["rung", "figure", "reached", "band", "better", "verdict"]
        table("", heads, [_row(each) for each in climbed])
    return 1 if any(each.verdict in (ladder.MISSED, ladder.FAILED) for each in climbed) else 0


def _climbed(
    place: Placed,
    recipe: str | None,
    given: dict[str, Any],
    seeds: Sequence[int],
    registry: Registry,
) -> Climb:
    """One rung, with a bar while it is trained."""
    from .. import ladder
    from ._layers import configure, words
    from ._report import data_progress

    name = place.rung.name
    flags = dict.fromkeys((*FLAGS, "recipe", "config_file")) | dict.fromkeys(MANY, ()) | given
    flags |= {"recipe": recipe} if recipe else {"data": place.settings["data"]["name"]}
    layers = configure(registry, flags, words=words())
    meant = registry.meaning(layers.meant)
    with patience(f"rung {name}"), data_progress(f"rung {name}") as progress:
        return ladder.climb(layers.tree, place, meant, seeds, progress)


def _tell(found: Climb) -> None:
    """What is worth a line beside the table."""
    for note in found.notes:
        echo(f"note: rung {found.rung.name}: {plain(note)}", err=True)
    if found.why:
        echo(f"note: rung {found.rung.name}: {found.verdict}: {plain(found.why)}", err=True)


def _row(found: Climb) -> list[str]:
    """Cells of the table."""
    band = found.rung.band
    ends = f"{band.ends[0]:.3g} to {band.ends[1]:.3g}" if band else ""
    reached = "" if found.value is None else f"{found.value:.3g}"
    if len(found.values) > 1:
        reached += f" ({min(found.values):.3g} to {max(found.values):.3g})"
    better = ""
    if found.values:
        better = "high" if found.larger else "low"
    return [found.rung.name, found.rung.figure, reached, ends, better, found.verdict]


def _record(found: Climb, seeds: Sequence[int]) -> dict[str, Any]:
    """One rung as JSON has it."""
    return {
        "rung": found.rung.name,
        "figure": found.rung.figure,
        "value": found.value,
        "values": found.values,
        "seeds": [*seeds][: len(found.values)],
        "larger_is_better": found.larger,
        "band": found.rung.band.model_dump() if found.rung.band else None,
        "verdict": found.verdict,
        "seconds": round(found.seconds, 1),
        "why": found.why,
        "notes": found.notes,
    }
