"""What a sweep is: its base, what is tried, how long; and sweep.toml, which holds it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit

from .. import config as configuration
from ..components.registry import Registry
from ..config.tree import Config, Tree
from ..errors import BadConfig, BadRun, UsageError, nearest, one_line
from ..io import untrusted_folder as inside
from ..io.files import write_text
from . import settings as setting_up
from .settings import Setting
from .spaces import Space, space_of
from .trial import Task

FILE = "sweep.toml"
TRIALS = "trials"
FORMAT = 1
OWN = ("train.seed", "train.images")  # what the sweep itself decides


class Trial(NamedTuple):
    """A setting with a seed."""

    number: int
    setting: int
    seed: int
    values: Setting


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    base: the configuration that settings are laid over. meant: whose parts its names are. tries:
    what is tried. design: every, random, alone. draws: settings that are drawn. seeds: of each
    setting. seconds: of training for each trial, 0 for none but its images. score: METRIC.FIGURE,
    or nothing for the first. halving: of the trials at a rung one in so many goes on; 0 for all.
    numbers: what options have that are tried by factors
    """

    base: Tree
    tries: dict[str, Space]
    meant: configuration.Meant = field(default_factory=dict)
    design: str = setting_up.EVERY
    draws: int = 0
    seeds: int = 1
    seconds: float = 0.0
    score: str = ""
    halving: int = 0
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The first of the seeds, by which settings are drawn too."""
        return int(self.base["train"]["seed"])

    @cached_property
    def settings(self) -> list[Setting]:
        """Every setting, in order."""
        return setting_up.settings_of(self.tries, self.design, self.draws, self.seed)

    @cached_property
    def trials(self) -> list[Trial]:
        """Every trial, in order: all seeds of a setting, then the next; raises UsageError for too
        many.
        """
        count, most = len(self.settings) * self.seeds, setting_up.MOST_TRIALS
        if count > most:
            raise UsageError(f"{count:,} trials, and a sweep has at most {most:,}", key="seeds",
                             value=self.seeds)  # fmt: skip
        return [
            Trial(i * self.seeds + k, i, self.seed + k, values)
            for i, values in enumerate(self.settings)
            for k in range(self.seeds)
        ]

    @cached_property
    def images(self) -> int:
        """That each trial is shown, unless its seconds are over before."""
        return configuration.check(self.base).train.images

    @property
    def rung(self) -> int:
        """Images between two measurements, where trials are weighed in their midst."""
        return max(self.images // self.halving**2, 1) if self.halving else 0

    def folder_of(self, number: int) -> str:
        """A trial's, within the sweep's."""
        digits = max(3, len(str(len(self.trials) - 1)))
        return f"{TRIALS}/{number:0{digits}d}"

    def tree(self, trial: Trial) -> Tree:
        """A trial's configuration, not checked yet; raises BadConfig for a part that is missing."""
        tree = setting_up.laid(self.base, trial.values, self.numbers)
        tree = configuration.merge(tree, {"train": {"seed": trial.seed}})
        if self.halving:
            tree = configuration.merge(tree, {"measure": {"images": self.rung, "share": 1.0}})
        return tree

    def task(self, trial: Trial, folder: Path) -> Task:
        """What an executor is told."""
        return Task(
            trial.number,
            str((folder / self.folder_of(trial.number)).absolute()),
            configuration.check(self.tree(trial)).tree(),
            [[*pair, owner] for pair, owner in self.meant.items()],
            self.seconds,
        )

    def check(self, registry: Registry) -> None:
        """Raises UsageError for a setting that no training could have: before the first trial."""
        check_keys(self.tries)
        if not self.settings or self.seeds < 1:
            raise UsageError("nothing is tried", key="tries")
        for trial in self.trials[:: self.seeds]:
            setting_up.check(self.tree(trial), registry.meaning(self.meant))


def check_keys(tries: Mapping[str, Space]) -> None:
    """Raises UsageError for what is tried twice, or is the sweep's own to decide."""
    seen: set[str] = set()
    for key in setting_up.paths(tries):
        section, _, last = key.rpartition(".")
        place: dict[str, Any] = {"section": section or last, "key": last if section else ""}
        if key in seen:
            raise BadConfig("is tried twice", **place)
        if key in OWN:
            raise BadConfig("is the same in all trials, so that they are fair", **place)
        if not section and key not in configuration.FAMILIES:
            near = nearest(key, [*configuration.FAMILIES, *configuration.defaults()])
            raise BadConfig(f"names no option: write SECTION.KEY{near}", **place)
        seen.add(key)


def tries_of(table: Mapping[str, Any]) -> dict[str, Space]:
    """What is tried, of plain values."""
    return {str(key): space_of(value, str(key)) for key, value in table.items()}


# The file.


def write(folder: Path, plan: Plan) -> None:
    """Write sweep.toml."""
    document = tomlkit.document()
    content = _content(plan)
    document.add("sha256", tomlkit.item(_sum(content)))
    for name, value in content.items():
        document.add(name, tomlkit.item(value))
    write_text(folder / FILE, tomlkit.dumps(document))


def _content(plan: Plan) -> Tree:
    about = {key: getattr(plan, key) for key in ("design", "draws", "seeds", "seconds", "score")}
    return {
        "sweep": {"format": FORMAT, **about, "halving": plan.halving},
        "try": {key: space.plain() for key, space in plan.tries.items()},
        "numbers": plan.numbers,
        "meant": {f"{kind}/{name}": owner for (kind, name), owner in plan.meant.items()},
        "base": plan.base,
    }


def _sum(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content as TOML gives it back."""
    plain = configuration.parse(tomlkit.dumps(content).encode(), FILE)
    return hashlib.sha256(json.dumps(plain, default=str).encode()).hexdigest()


def same(one: Plan, other: Plan) -> bool:
    """Whether two plans ask for the same."""
    return _sum(_content(one)) == _sum(_content(other))


def read(folder: Path) -> Plan:
    """The plan of a sweep; raises BadRun for a folder that is none, or whose plan was changed."""
    path = folder / FILE
    try:
        content = inside.read(path, folder, configuration.SIZE)
    except FileNotFoundError:
        raise BadRun(f"{folder}: no sweep there (no {FILE})") from None
    except OSError as error:
        raise BadRun(f"{path}: {error.strerror or one_line(error)}") from None
    tree = configuration.parse(content, str(path))
    known = tree.pop("sha256", None)
    if known != hashlib.sha256(json.dumps(tree, default=str).encode()).hexdigest():
        raise BadRun(f"{path}: damaged or edited (its sum does not match)",
                     remedy="begin a new sweep in another folder")  # fmt: skip
    try:
        return _plan(tree)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadRun(f"{path}: is no plan of a sweep") from None


def _plan(tree: Tree) -> Plan:
    about = dict(tree["sweep"])
    if about.pop("format") != FORMAT:
        raise BadRun(f"{FILE}: of another version of ganzoo")
    meant = {tuple(key.split("/", 1)): str(owner) for key, owner in tree["meant"].items()}
    counts = [about[key] for key in ("draws", "seeds", "halving")]
    if not math.isfinite(about["seconds"]) or any(type(n) is not int or n < 0 for n in counts):
        raise ValueError("no plan")
    if about["design"] not in setting_up.DESIGNS or not isinstance(about["score"], str):
        raise ValueError("no plan")
    # A setting that came after the sweep was begun has its default.
    whole = configuration.merge(configuration.defaults(), tree["base"])
    config: Config = configuration.check(whole)
    return Plan(
        config.tree(),
        tries_of(tree["try"]),
        {(kind, name): owner for (kind, name), owner in meant.items()},
        numbers=tree["numbers"],
        **about,
    )
