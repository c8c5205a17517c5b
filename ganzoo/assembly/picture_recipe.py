"""What a training of a folder or zip of pictures starts from where nothing else is said: the recipe
that suits their number, size, labels and transparency, as recipes themselves declare.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import config as configuration
from ..components.registry import Component, Registry
from ..config.tree import Tree
from ..errors import BrokenPlugin, GanzooError
from .data_recipe import Advice

WHOLE = ("gen", "disc", "enc", "loss", "game", "reg", "aug", "given", "optim")
Natural = Annotated[int, Field(ge=1)]


class Variant(BaseModel):
    """Settings over those of a recipe for some of the pictures that it suits.

    sides: of these sizes; labelled: with classes, or without
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    sides: tuple[Natural, Natural] | None = None
    labelled: bool | None = None
    because: str
    settings: dict[str, Any]

    def takes(self, shape: tuple[int, int, int], classes: int) -> bool:
        """Whether it is for pictures [channels, height, width] of so many classes."""
        labelled = self.labelled is None or self.labelled is (classes > 0)
        fit = self.sides is None or self.sides[0] <= max(shape[1:]) <= self.sides[1]
        return labelled and fit


class Suits(BaseModel):
    """The table `suits` of a recipe: what pictures it is for.

    images: fewest and most
    sides: smallest and largest, of either side
    only: the sides that it can do, if not all between these
    channels: 1 grey, 3 colours, 4 with transparency
    because: why, in a line
    variants: what is otherwise for some of them
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    images: tuple[Natural, Natural]
    sides: tuple[Natural, Natural]
    only: tuple[Natural, ...] = ()
    channels: tuple[Natural, ...] = (1, 3, 4)
    because: str
    variants: tuple[Variant, ...] = ()

    def takes(self, count: int, shape: tuple[int, int, int]) -> bool:
        """Whether so many pictures [channels, height, width] suit it."""
        channels, *sides = shape
        fewest, most = self.images
        smallest, largest = self.sides
        fit = all(smallest <= side <= largest for side in sides)
        known = not self.only or all(side in self.only for side in sides)
        return fewest <= count <= most and fit and known and channels in self.channels


def suits(recipe: Component) -> Suits | None:
    """What a recipe is for, if it says so; raises BrokenPlugin for a table that is none."""
    table = recipe.recipe().get("suits")
    if table is None:
        return None
    try:
        return Suits.model_validate(table)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise BrokenPlugin(f"{recipe}: suits.{where}: {error.errors()[0]['msg']}") from None


def start(registry: Registry, chosen: Mapping[str, Any]) -> Advice | None:
    """The recipe of which the pictures suit it and the fewest others do; None where another part or
    a penalty is asked for, where the data are no single set of pictures, or none suits.

    chosen: all that was asked for, as one tree.
    """
    data = chosen.get("data")
    data = data if isinstance(data, Mapping) else {}
    name = data.get("name")
    if any(section in chosen for section in WHOLE) or not isinstance(name, str):
        return None
    usual = configuration.defaults()["data"]
    if any(data.get(key, usual[key]) != usual[key] for key in ("pairs", "split", "given")):
        return None
    found = _looked_at(name, data)
    if found is None:
        return None
    count, shape, classes = found
    fitting = []
    for recipe in registry.components("recipe"):
        try:
            about = suits(recipe)
        except GanzooError:  # somebody's broken recipe is no reason to stop
            continue
        if about is not None and about.takes(count, shape):
            span = about.images[1] - about.images[0]
            fitting.append((span, recipe.name, recipe, about))
    if not fitting:
        return None
    _, _, recipe, about = min(fitting, key=lambda each: each[:2])
    settings: Tree = configuration.settings(recipe.recipe())
    reasons = [about.because]
    for variant in about.variants:
        if variant.takes(shape, classes):
            settings = configuration.merge(settings, variant.settings)
            reasons.append(variant.because)
    settings["data"] = {**settings.get("data", {}), "name": name}
    what = f"{count:,} pictures of {'x'.join(map(str, shape))}"
    what += f" in {classes} classes" if classes else ""
    why = ", ".join(reasons)
    line = f"{what} start from the recipe {recipe.name}: {why}; what is given goes over it"
    return Advice(settings, recipe.distribution, line)


def _looked_at(name: str, data: Mapping[str, Any]) -> tuple[int, tuple[int, int, int], int] | None:
    """How many pictures there are, their shape in a training, and their classes; None where
    assembly has words for what is wrong with them.
    """
    from ..data import form_of, parse_resolution, scan
    from ..data.pairs import layout_of

    try:
        path = Path(name).expanduser()
        if not path.exists() or layout_of(path, "auto") is not None or form_of(path, data):
            return None
        asked, channels = str(data.get("resolution", "auto")), data.get("channels", "auto")
        found = scan(path)
        height, width = found.resolution(None if asked == "auto" else parse_resolution(asked))
        depth = found.channels(None if channels == "auto" else int(channels))
    except (GanzooError, OSError, RuntimeError, ValueError, TypeError):
        return None
    return len(found), (depth, height, width), len(found.classes)
