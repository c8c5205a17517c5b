"""Settings of a sweep: how they are laid over its base, and checked before anything is trained."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from .. import config as configuration
from ..components import options
from ..components.registry import Registry
from ..config.schedules import moves
from ..config.tree import Choice, Config, Tree
from ..errors import BadConfig, GanzooError, UsageError
from .spaces import Space, Times, is_drawn

MOST = 10_000  # settings of a sweep
MOST_TRIALS = 100_000  # of all settings and seeds
Setting = dict[str, Any]  # what is tried, by key; `a.b,c.d` are two options of one value
DESIGNS = EVERY, RANDOM, ALONE = "every", "random", "alone"


def keys_of(key: str) -> list[str]:
    """The options that one key stands for."""
    return [part.strip() for part in key.split(",")]


def settings_of(tries: Mapping[str, Space], design: str, draws: int, seed: int) -> list[Setting]:
    """All settings of a sweep, in order; raises UsageError for none or too many.

    every: all combinations. random: `draws` of them, by a seed; the first of them are the same
    however many are drawn; from lists alone, none twice. alone: the base as it is, then each value
    by itself.
    """
    ranged = [key for key, space in tries.items() if is_drawn(space)]
    if ranged and design != RANDOM:
        raise UsageError(f"{ranged[0]} has a range, from which numbers are drawn", key="draws",
                         remedy="say how many settings to draw")  # fmt: skip
    if design == ALONE:
        single = [{key: value} for key, space in tries.items() for value in _values(space)]
        _check_size(len(single) + 1)
        return [{}, *single]
    size = 1
    for space in tries.values():
        size *= 1 if is_drawn(space) else len(_values(space))
    if design == EVERY or (not ranged and draws >= size):
        _check_size(size)
        combined = product(*(_values(space) for space in tries.values()))
        return [dict(zip(tries, values, strict=True)) for values in combined]
    _check_size(draws)
    return _drawn(tries, draws, seed)


def _values(space: Space) -> tuple[Any, ...]:
    return tuple(getattr(space, "values", ()))


def _drawn(tries: Mapping[str, Space], draws: int, seed: int) -> list[Setting]:
    """Random settings, none twice."""
    found: list[Setting] = []
    known: set[str] = set()
    stream = random.Random(seed)
    for _ in range(100 * draws):
        if len(found) == draws:
            return found
        setting = {key: space.draw(stream) for key, space in tries.items()}
        if repr(setting) not in known:
            known.add(repr(setting))
            found.append(setting)
    raise UsageError(f"there are fewer settings than that: {len(found):,} were found", key="draws",
                     value=draws)  # fmt: skip


def _check_size(size: int) -> None:
    if size > MOST:
        raise UsageError(f"{size:,} settings, and a sweep has at most {MOST:,}", key="draws",
                         remedy="draw some of them")  # fmt: skip


def laid(base: Tree, setting: Setting, numbers: Mapping[str, float]) -> Tree:
    """The base with a setting over it; raises BadConfig for a part that is not there.

    numbers: what options have that are tried by factors
    """
    tree = base
    for keys, value in setting.items():
        for key in keys_of(keys):
            tree = _lay(tree, key, value, numbers)
    return tree


def _lay(tree: Tree, key: str, value: Any, numbers: Mapping[str, float]) -> Tree:
    if key in configuration.FAMILIES:  # this one alone, or those of a table, or none
        tree = configuration.merge(tree, {key: False})
        chosen = value if isinstance(value, Mapping) else {str(value): {}}
        return tree if value == "none" else configuration.merge(tree, {key: chosen})
    if isinstance(value, Mapping) and value.keys() == {"times"}:
        own = numbers[key]
        value = own * value["times"]
        value = max(round(value), 1) if isinstance(own, int) else float(f"{value:.6g}")
    return configuration.lay(tree, key.split("."), value)


def numbers_of(tries: Mapping[str, Space], whole: Tree) -> dict[str, float]:
    """What the options have that are tried by factors; raises BadConfig for one that is no number.

    whole: a configuration with every option of every part
    """
    found = {}
    for keys, space in tries.items():
        for key in keys_of(keys) if isinstance(space, Times) else ():
            value = value_at(whole, key)
            if isinstance(value, bool) or not isinstance(value, int | float):
                section, _, last = key.rpartition(".")
                raise BadConfig("factors are of a number, and it has none", section=section,
                                key=last, value=value)  # fmt: skip
            found[key] = value
    return found


def value_at(tree: Mapping[str, Any], key: str) -> Any:
    """What stands under a dotted key, None where nothing does."""
    found: Any = tree
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def check(tree: Tree, registry: Registry) -> Config:
    """The configuration of a setting; raises UsageError for what no part takes, with what may have
    been meant, before any part is built.
    """
    config = configuration.check(tree)
    for section, kind, name in configuration.parts_of(config):
        found = _choice(config, section)
        name = _named(config, section, name, registry)
        if not name:
            continue
        try:
            component = registry.get(kind, name)
        except GanzooError as error:
            family = section.partition(".")[0] in configuration.FAMILIES
            raise error.at(section, "" if family else "name", None if family else name) from None
        _check_options(component.load(), component.options(), found, section)
    return config


def _choice(config: Config, section: str) -> dict[str, Any]:
    """The options that a section gives to its part."""
    found: Any = config
    for step in section.split(".", 1):
        found = found[step] if isinstance(found, dict) else getattr(found, step)
    return found.options if isinstance(found, Choice) else dict(found)


def _named(config: Config, section: str, name: str, registry: Registry) -> str:
    """The part's name; of `auto`, the generator's partner, and nothing where that is not known."""
    if name != "auto":
        return name
    if section != "disc":
        return ""
    try:
        return str(getattr(registry.get("generator", config.gen.name).load(), "partner", ""))
    except GanzooError:
        return ""  # said of the generator


def _check_options(
    factory: Any, known: Mapping[str, Any], given: Mapping[str, Any], section: str
) -> None:
    wrong = {key: value for key, value in given.items() if key not in known}
    if wrong:
        options.check(factory, wrong, section)
    for key, value in given.items():
        # What moves, and what a part has a rule for, is known when it is built.
        if value != "auto" and not moves(value) and not isinstance(value, Mapping):
            options.convert(value, known[key].annotation, section, key)


def paths(tries: Mapping[str, Space]) -> Iterator[str]:
    """Every option that is tried."""
    for keys in tries:
        yield from keys_of(keys)
