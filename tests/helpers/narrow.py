"""Small forms of large components, by their options, so that tests of all of them take seconds."""

import ganzoo

WIDTH = 8
SMALL = ("dcgan", "mlp")  # nets that are quick as they are
DEEP = {"mapping": 2, "latent_dim": 32}  # of a net that maps latents, by layers as wide as they are
SHALLOW = {"depth": 2}  # of a net whose depth is an option, which has as many levels at most
AHEAD = {"steps": 2}  # of a penalty that goes ahead by some steps, each of which is traced
QUICK = {"gan-train": {"count": 24}, "memorised": {"permutations": 19}}  # metrics


def options(component):
    """Options of a net that make it narrow, and of a metric or penalty that make it quick."""
    known = component.options()
    if component.kind == "metric":
        return QUICK.get(component.name, {})
    if component.kind == "regularizer":
        return {k: v for k, v in AHEAD.items() if k in known}
    if component.name in SMALL or "width" not in known:
        return {}
    shallow = {k: v for k, v in SHALLOW.items() if k in known}
    mapped = {k: v for k, v in DEEP.items() if k in known and "mapping" in known}
    return {"width": WIDTH} | shallow | mapped


def layer(recipe):
    """Settings of a recipe's nets that make them narrow."""
    tree, found = recipe.recipe(), {}
    drawing = tree.get("gen", {}).get("name", "dcgan")
    for section, kind in (("gen", "generator"), ("disc", "discriminator")):
        name = tree.get(section, {}).get("name", drawing)
        found[section] = options(_named(kind, name))
    if "levels" in tree.get("game", {}):
        found["game"] = {"levels": SHALLOW["depth"]}
    return {section: values for section, values in found.items() if values}


def _named(kind, name):
    return next(c for c in ganzoo.list_components(kind) if c.name == name)
