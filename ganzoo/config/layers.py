"""A training's configuration: layers of plain TOML trees
merged in order, then checked against one typed tree.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..components.kinds import FAMILIES, SINGLE
from ..components.options import reason
from ..errors import BadConfig, nearest, one_line, shown
from ..io.untrusted_files import depth, read_limited
from .schedules import is_schedule
from .tree import Config, Tree

SIZE = 1 << 17  # bytes; a run file has two thousand
DOTS = 300  # in one line: tomllib's time and memory grow with the square of a key's parts
DEPTH = 16  # of tables within tables
META = (
    "run",
    "summary",
    "paper",
    "source",
    "suits",
    "rung",
)  # top-level keys of run files and recipes that are no settings


@functools.cache
def defaults() -> Tree:
    """The tree of ganzoo's own defaults.toml; not to be changed in place."""
    return tomllib.loads(
        (resources.files("ganzoo") / "config" / "defaults.toml").read_text("utf-8")
    )


def read(path: Path) -> Tree:
    """A run file's tree; raises BadConfig naming the file when
    it is missing, no TOML, or larger than any run file is.
    """
    try:
        content = read_limited(path, SIZE)
    except OSError as error:
        raise BadConfig(error.strerror or one_line(error), source=str(path)) from None
    except ValueError as error:  # larger than SIZE, or a name with a zero in it
        raise BadConfig(one_line(error), source=str(path)) from None
    return parse(content, str(path))


def settings(tree: Mapping[str, Any]) -> Tree:
    """A run file's or recipe's tree without what is no setting."""
    return {key: value for key, value in tree.items() if key not in META}


def parse(content: bytes, source: str) -> Tree:
    """The tree of a run file's content; raises BadConfig that begins with the source."""
    if max(line.count(b".") for line in content.split(b"\n")) > DOTS:
        raise BadConfig(f"a line with more than {DOTS} dots, which no run file has", source=source)
    try:
        tree = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # an integer may be too long for tomllib
        raise BadConfig(f"no TOML: {error}", source=source) from None
    if depth(tree) > DEPTH:
        raise BadConfig(f"tables nested deeper than {DEPTH}, which no run file has", source=source)
    return tree


def merge(base: Tree, layer: Mapping[str, Any], where: str = "") -> Tree:
    """The base with a layer over it. Another name in a section drops the old component's options;
    `reg = false` clears all, `reg.gp = false` drops one and `reg.gp = true` adds it as it is.
    """
    result = dict(base)
    core = _section(defaults(), where)
    if "name" in core and layer.get("name", base.get("name")) != base.get("name"):
        result = {key: base.get(key, value) for key, value in core.items()}
    for key, value in layer.items():
        path = f"{where}.{key}" if where else key
        if value is False and (where in FAMILIES or path in FAMILIES):
            result.pop(key, None)
        elif value is True and where in FAMILIES:
            result.setdefault(key, {})
        elif is_schedule(value):
            result[key] = dict(value)
        elif isinstance(value, Mapping):
            old = result.get(key, {})
            result[key] = merge(old if isinstance(old, dict) else {}, value, path)
        else:
            result[key] = value
    return result


def _section(tree: Tree, where: str) -> Tree:
    for key in where.split(".") if where else ():
        tree = tree.get(key, {}) if isinstance(tree, dict) else {}
    return tree if isinstance(tree, dict) else {}


def setting(text: str) -> tuple[list[str], Any]:
    """`gen.width=64` as a path and a value; the value is read as TOML, else as text."""
    path, equals, value = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys) or len(keys) < 2:
        raise BadConfig("write SECTION.KEY=VALUE, for instance gen.width=64", key="set", value=text)
    try:
        return keys, tomllib.loads(f"v = {value}")["v"]
    except (ValueError, RecursionError):
        return keys, value.strip()


def apply_settings(tree: Tree, settings: Iterable[str]) -> Tree:
    """The tree with every setting (`gen.width=64`) applied, in
    order; raises BadConfig for a part that is not in the pipeline.
    """
    for text in settings:
        tree = lay(tree, *setting(text))
    return tree


def lay(tree: Tree, keys: list[str], value: Any) -> Tree:
    """The tree with a setting over it; raises BadConfig for a part that is not in the pipeline."""
    family = keys[0]
    if family in FAMILIES and not (len(keys) == 2 and isinstance(value, bool)):
        if len(keys) > 3:  # a component's name may hold dots
            keys = [family, ".".join(keys[1:-1]), keys[-1]]
        chosen = _section(tree, family)
        if keys[1] not in chosen:
            near = nearest(keys[1], chosen)
            part = f"{family}.{keys[1]}"
            raise BadConfig(
                f"{keys[1]!r} is not in this pipeline{near}",
                section=part,
                key=keys[-1],
                value=value,
                remedy="" if near else "add it",
                change={} if near else {part: True},
            )
    layer: Any = value
    for key in reversed(keys):
        layer = {key: layer}
    return merge(tree, layer)


def check(tree: Mapping[str, Any], source: str = "") -> Config:
    """The typed configuration, or BadConfig with the
    setting, what is wrong and the nearest right one.

    source: the file that the tree comes from, for the message.
    """
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        section, key = (".".join(path[:-1]), path[-1]) if len(path) > 1 else (path[0], "")
        value = first["input"]
        if first["type"] == "extra_forbidden":
            known = _known(path[:-1])
            near = nearest(path[-1], known)
            message = f"no setting {shown('.'.join(path))}{near} (known: {', '.join(known)})"
            value = None if isinstance(value, Mapping) else value
        else:
            message = reason(first, ".".join(path))
        raise BadConfig(message, section=section, key=key, value=value, source=source) from None


def _known(path: list[str]) -> list[str]:
    """The keys that a section of the typed tree has."""
    model: Any = Config
    for key in path:
        model = model.model_fields[key].annotation
    return list(model.model_fields)


def named(tree: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(section, kind, name) of every component that a tree names, which need not be whole."""
    sections = [(s, kind, tree.get(s)) for s, kind in SINGLE.items() if "." not in s]
    optimizers = tree.get("optim")
    for side, section in optimizers.items() if isinstance(optimizers, Mapping) else ():
        sections.append((f"optim.{side}", "optimizer", section))
    found = [
        (path, kind, str(section["name"]))
        for path, kind, section in sections
        if isinstance(section, Mapping) and "name" in section
    ]
    for family, kind in FAMILIES.items():
        chosen = tree.get(family)
        names = chosen if isinstance(chosen, Mapping) else ()
        found += [(f"{family}.{name}", kind, name) for name in names]
    return found


Meant = dict[tuple[str, str], str]  # (kind, name) -> who is meant where several have the name


def meaning(meant: Meant, layer: Mapping[str, Any], owner: str) -> Meant:
    """Who is meant by the names of a configuration after a
    layer: its author's own parts, as far as it names any.

    owner: the author's distribution, or nothing for a person, who has to say which.
    """
    return meant | {(kind, name): owner for _, kind, name in named(layer)}


def recorded(tree: Mapping[str, Any], owners: Any) -> Meant:
    """Who is meant by the names of a run, which knows its parts' owners by section."""
    known = owners if isinstance(owners, Mapping) else {}
    return {(kind, name): str(known.get(section, "")) for section, kind, name in named(tree)}


def parts_of(config: Config) -> list[tuple[str, str, str]]:
    """(section, kind, name) of every component that a configuration names.

    But for its data, which may be pictures.
    """
    return [part for part in named(config.tree()) if part[1] != "dataset"]
