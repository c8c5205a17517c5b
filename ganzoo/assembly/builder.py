"""Building one component at a time for an assembly,
with a note of who ships it and of every option.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..components.kinds import FAMILIES, KINDS
from ..components.options import check, convert
from ..components.registry import Component, Registry
from ..config.schedules import ends, followed, is_schedule, moves
from ..config.tree import Choice, Config, Tree
from ..contracts import Dataset, Spec
from ..data import form_of, holdout, is_pattern, load_pictures, parse_resolution, resize
from ..data.pairs import layout_of, load_two, split
from ..engine import sizes
from ..engine.moving import Moving, as_buffer, as_setting_of
from ..engine.randomness import derive, reseed
from ..errors import (
    BadConfig,
    BadData,
    BadOption,
    GanzooError,
    Incompatible,
    UnknownComponent,
    nearest,
    one_line,
    shown,
)
from ..io.activity import LARGE, doing, mebibytes

Progress = Callable[[int, int], None]


class Assembly:
    """One assembly in progress: what was chosen, who ships it, what was adapted."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self.config, self.registry = config, registry
        self.notes: list[str] = []
        self.owners: dict[str, str] = {}
        self.versions: dict[str, str] = {"ganzoo": __version__, "torch": torch.__version__}
        self.spec: Spec | None = None  # of the data, once they are open
        self.moving: dict[str, list[Moving]] = {}  # section -> what sets its numbers that move
        self.complete: Tree = {}  # section -> every option, defaults included

    def component(self, section: str, kind: str, name: str) -> Component:
        """The component of a section, its owner noted; the setting is named when there is none."""
        try:
            component = self.registry.get(kind, name)
        except GanzooError as error:
            raise said_of(error, section, name) from None
        self.owners[section] = f"{component.distribution}:{component.plugin}"
        self.versions[component.distribution] = component.version
        return component

    def build(self, section: str, kind: str, choice: Choice, *arguments: Any) -> Any:
        """An instance, from a random stream of its own, so
        that changing one part leaves the others' weights.
        """
        component = self.component(section, kind, choice.name)
        choice = self._automatic(component, section, choice)
        reseed(derive(self.config.train.seed, "init", section))
        try:
            built = self._built(component, section, choice, arguments)
        except GanzooError as error:
            said_of(error, section, choice.name)
            raise
        defaults = {name: option.default for name, option in component.options().items()}
        self.complete[section] = {
            name: _plain(value)
            for name, value in (defaults | choice.options).items()
            if value is not None
        }
        return built

    def _automatic(self, component: Component, section: str, choice: Choice) -> Choice:
        """The choice with a number for each option that is "auto", where the part has a rule."""
        wanted = [key for key, value in choice.options.items() if value == "auto"]
        rule = getattr(component.load(), "automatic", None) if wanted else None
        if rule is None or self.spec is None:
            return choice
        found = rule(self.spec, self.config.train.batch_size)
        told = {key: found[key] for key in wanted if key in found}
        for key, (number, reason) in told.items():
            self.notes.append(f"{section}.{key} = {number:.4g}: {reason}")
        return type(choice).model_validate(
            choice.model_dump() | {key: number for key, (number, _) in told.items()}
        )

    def _built(
        self, component: Component, section: str, choice: Choice, arguments: tuple[Any, ...]
    ) -> Any:
        """An instance, those of its numbers that move with who moves them."""
        kind = KINDS[component.kind]
        for key, value in () if kind.role else choice.roles.items():
            message = "give a number, or a table with from and to, and shape, over or after"
            known = component.options()
            if key not in known:
                message = f"no option {shown(key)}{nearest(key, known)}"
            raise BadOption(message, section=section, key=key, value=value)
        moving = {key: value for key, value in choice.options.items() if moves(value)}
        for key, value in moving.items():
            _check_moving(component, section, key, value)
        started = {key: ends(value)[0] for key, value in choice.options.items()}
        numbers = {key: torch.tensor(float(started[key])) for key in moving if kind.net}
        make = functools.partial(component.build, arguments, started, section, numbers)
        built = sizes.build(make, section, started) if kind.net else make()
        movers: list[Moving] = []
        for key, value in moving.items():
            at = followed(value)
            found: Sequence[Moving] = (
                as_buffer(built, numbers[key], at) if kind.net else as_setting_of(built, key, at)
            )
            if not found:
                message = f"cannot move: {component.name} keeps no such number while it trains"
                raise Incompatible(message, section=section, key=key)
            movers += found
        self.moving[section] = movers
        return built

    def family(self, family: str) -> Mapping[str, Choice]:
        """The chosen components of `reg`, `aug`, `metric` or `tracker`."""
        chosen: dict[str, Tree] = getattr(self.config, family)
        return {
            name: Choice.model_validate({**options, "name": name})
            for name, options in chosen.items()
        }


def _check_moving(component: Component, section: str, key: str, value: Any) -> None:
    """Raises BadOption where a number that moves ends at one that the option does not take, and
    Incompatible where the option takes none.
    """
    kind, option = KINDS[component.kind], component.options().get(key)
    if option is None:
        return  # which building it refuses
    single = is_schedule(value)
    if "float" not in option.type or not ((kind.net and single) or kind.takes == "params"):
        raise Incompatible(f"is no number that can move ({option.type})", section=section, key=key)
    convert(ends(value, section, key)[1], option.annotation, section, key)


def _plain(value: Any) -> Any:
    """An option as TOML can hold it."""
    if is_schedule(value):
        return dict(value)
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def said_of(error: GanzooError, section: str, name: str) -> GanzooError:
    """An error of a part that names no setting yet, said of the setting that chose the part."""
    many = section.partition(".")[0] in FAMILIES
    return error.at(section) if many else error.at(section, "name", name)


def _expanded(key: str, text: str) -> Path:
    """The path with its `~` replaced; raises BadConfig for one that no system has."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise BadConfig(
            f"no path: {one_line(error)}", section="data", key=key, value=text
        ) from None
    return path


def _pictures(
    build: Assembly, path: Path, resolution: tuple[int, int] | None, progress: Progress | None
) -> Dataset:
    """The pictures of a folder or zip, or the two sets of pictures in it."""
    data = build.config.data
    for key, value in data.options.items():
        message = "no option of a folder or zip of pictures"
        raise BadOption(message, section="data", key=key, value=value)
    if data.split == 2 and resolution:
        resolution = resolution[0], 2 * resolution[1]
    load = functools.partial(
        load_pictures,
        path,
        resolution=resolution,
        channels=None if data.channels == "auto" else int(data.channels),
        background=data.background,
        progress=progress,
        lazy=data.lazy,
    )
    try:
        if data.split == 2:
            return split(load(), data.given)
        layout = layout_of(path, data.pairs)
        return load_two(load, layout, data.given) if layout else load()
    except BadData as error:
        error.message = error.message.removeprefix(f"{path}: ")
        raise error.at("data", "name", data.name) from None


def _read(
    build: Assembly,
    path: Path | str,
    resolution: tuple[int, int] | None,
    progress: Progress | None,
) -> Dataset:
    """The samples of a file or of shards, or the videos of a folder or zip; else pictures."""
    data = build.config.data
    form = form_of(path, data.options)
    if form is None:
        return _pictures(build, Path(path), resolution, progress)
    if data.lazy and not form.lazy:
        message = f"{data.name} is {form.name}, which is read once and kept"
        change = {"data.lazy": False}
        raise Incompatible(
            message, section="data", key="lazy", value=True, remedy="set", change=change
        )
    if data.split == 2:
        message = f"{data.name} is {form.name}, of which no picture is halved"
        raise Incompatible(message, section="data", key="split", value=2)
    if not form.scaled and (resolution or data.channels != "auto"):
        key = "resolution" if resolution else "channels"
        message = f"{data.name} is {form.name}, without pictures"
        raise Incompatible(message, section="data", key=key, value=getattr(data, key))
    offered: dict[str, Any] = {
        "resolution": resolution,
        "channels": None if data.channels == "auto" else int(data.channels),
        "background": data.background,
        "progress": progress,
        "lazy": data.lazy,
        "given": data.given,
    }
    settings = {name: offered[name] for name in form.takes}
    options = check(form.load, data.options, "data")
    try:
        dataset = form.load(path, **settings, **options)
    except BadData as error:
        error.message = error.message.removeprefix(f"{path}: ")
        raise error.at("data", "name", data.name) from None
    if data.flip and dataset.spec.modality in ("tokens", "table", "map"):
        message = f"is {form.name}, which has no mirror image"
        raise Incompatible(
            message,
            section="data",
            key="name",
            value=data.name,
            remedy="set",
            change={"data.flip": False},
        )
    return dataset


def open_dataset(build: Assembly, progress: Progress | None) -> Dataset:
    """The data set of the configuration: a registered one by name, else a path."""
    data = build.config.data
    resolution = None if str(data.resolution) == "auto" else parse_resolution(str(data.resolution))
    root = data.root or os.environ.get("GANZOO_DATA")
    try:
        component = build.component("data", "dataset", data.name)
    except UnknownComponent as error:
        path = data.name if is_pattern(data.name) else _expanded("name", data.name)
        if isinstance(path, Path) and not path.exists():
            error.message += ", and there is no such folder or zip, nor a file"
            raise error from None
        return _read(build, path, resolution, progress)
    takes = component.options()
    given = dict(data.options)
    if root and "root" in takes:
        given["root"] = _expanded("root", root)
    if resolution and "resolution" in takes:
        given["resolution"] = resolution
    try:
        dataset: Dataset = component.build((), given, "data")
    except GanzooError as error:
        said_of(error, "data", data.name)
        raise
    if data.channels != "auto" and data.channels != dataset.spec.shape[0]:
        raise Incompatible(
            f"{data.name} has {dataset.spec.shape[0]}; this is for folders and zips",
            section="data",
            key="channels",
            value=data.channels,
        )
    if resolution and tuple(dataset.spec.shape[1:]) != resolution:
        if dataset.spec.modality != "image":
            raise Incompatible(
                f"{data.name} holds {dataset.spec.modality}, not images",
                section="data",
                key="resolution",
                value=data.resolution,
            )
        if dataset.size is None:
            message = f"{data.name} makes its samples as it does"
            raise Incompatible(message, section="data", key="resolution", value=data.resolution)
        size = len(dataset) * math.prod((dataset.spec.shape[0], *resolution))
        doing(f"resizing {len(dataset):,} samples: {mebibytes(size)}", now=size > LARGE)
        dataset = Dataset(
            resize(dataset.samples, resolution), dataset.labels, dataset.classes, dataset.notes
        )
    return dataset


def open_split(build: Assembly, progress: Progress | None) -> tuple[Dataset, Dataset | None]:
    """The data that a training sees, and those of them that are held out of it, if any."""
    dataset = open_dataset(build, progress)
    return holdout.split(dataset, build.config.data.holdout)
