"""What a training starts from where no recipe is named:
the recipe that its data set declares, if it declares one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import config as configuration
from ..components.registry import Component, Registry
from ..config.tree import Tree
from ..errors import AmbiguousComponent, UnknownComponent


class Advice(NamedTuple):
    """A layer over the defaults: its settings, the distribution
    that names their parts, and a line that says so.
    """

    settings: Tree
    owner: str
    line: str


def start(registry: Registry, chosen: Mapping[str, Any]) -> Advice | None:
    """What the data set's own recipe says, as far as it
    goes with what was asked for; None where there is none.

    chosen: all that was asked for, as one tree. Penalties are what one does about a loss, and a
        discriminator is the generator's partner: where another loss, other regularizers or another
        generator are asked for, those of the recipe that go with its own are left out.
    """
    defaults = configuration.defaults()
    meant = configuration.meaning({}, defaults, "ganzoo")
    data = str(_named(chosen, "data") or defaults["data"]["name"])
    try:
        known = registry.meaning(configuration.meaning(meant, chosen, ""))
        component = known.get("dataset", data)
    except (UnknownComponent, AmbiguousComponent):  # a folder, or what assembly has words for
        return None
    name = component.about.get("recipe")
    if not name:
        return None
    owner = f"{component.distribution}:{component.plugin}"
    recipe = _recipe(registry, owner, name)
    settings = configuration.settings(recipe.recipe())
    settings["data"] = {**settings.get("data", {}), "name": data}  # a recipe may be for several
    left = []
    if "reg" in chosen or _named(chosen, "loss"):
        asked = chosen.get("reg")
        wanted = asked if isinstance(asked, Mapping) else {}  # nothing is checked yet
        left = [reg for reg in settings.get("reg", {}) if reg not in wanted]
        settings["reg"] = {r: o for r, o in settings.get("reg", {}).items() if r in wanted}
    if _named(chosen, "gen") not in (None, _named(settings, "gen")):
        settings.pop("disc", None)
    without = f", without its {' and '.join(left)}" if left else ""
    line = f"{data} starts from its own recipe, {name}{without}; what is given goes over it"
    return Advice(settings, recipe.distribution, line)


def _recipe(registry: Registry, owner: str, name: str) -> Component:
    """The recipe of that name that the data set's own plugin has, else ganzoo's."""
    try:
        return registry.get("recipe", f"{owner}/{name}")
    except UnknownComponent:
        return registry.get("recipe", f"ganzoo/{name}")


def _named(tree: Mapping[str, Any], section: str) -> Any:
    """The name of the part that a section asks for, or None."""
    found = tree.get(section)
    return found.get("name") if isinstance(found, Mapping) else None
