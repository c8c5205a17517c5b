"""ganzoo as a library: parts by name, generators from files, a training in one call."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, overload

from torch import nn
from torch.optim import Optimizer

from . import config as configuration
from .assembly import data_recipe as advice
from .assembly.assembling import assemble
from .components.catalogue import distributions, install_line
from .components.kinds import KINDS
from .components.loading import zoo
from .components.registry import Component, Registry
from .config.tree import Tree
from .contracts import (
    Augmentation,
    Condition,
    Dataset,
    Discriminator,
    Generator,
    Loss,
    Metric,
    Regularizer,
    Spec,
    Tracker,
)
from .engine.randomness import forked
from .errors import BadFile, BadOption, BadRun, UnknownComponent, shown
from .generate import generator_file
from .generate import untrusted_generator as guard
from .generate.encoding import LoadedEncoder
from .generate.sampling import LoadedGenerator
from .training import rollback as recovery
from .training import run_folder as runs
from .training.loop import Training

TAKES = {  # what a kind's components take first -> in words, and as an example
    "spec": ("a Spec, the shape of one sample,", "Spec((3, 64, 64))"),
    "params": ("the parameters that it trains", "net.parameters()"),
}


@overload
def create(kind: Literal["generator"], name: str, *args: Any, **options: Any) -> Generator: ...
@overload
def create(
    kind: Literal["discriminator"], name: str, *args: Any, **options: Any
) -> Discriminator: ...
@overload
def create(kind: Literal["loss"], name: str, *args: Any, **options: Any) -> Loss: ...
@overload
def create(kind: Literal["regularizer"], name: str, *args: Any, **options: Any) -> Regularizer: ...
@overload
def create(
    kind: Literal["augmentation"], name: str, *args: Any, **options: Any
) -> Augmentation: ...
@overload
def create(kind: Literal["optimizer"], name: str, *args: Any, **options: Any) -> Optimizer: ...
@overload
def create(kind: Literal["dataset"], name: str, *args: Any, **options: Any) -> Dataset: ...
@overload
def create(kind: Literal["metric"], name: str, *args: Any, **options: Any) -> Metric: ...
@overload
def create(kind: Literal["tracker"], name: str, *args: Any, **options: Any) -> Tracker: ...
@overload
def create(kind: str, name: str, *args: Any, **options: Any) -> Any: ...
def create(kind: str, name: str, *args: Any, **options: Any) -> Any:
    """A component by name: `create("loss", "hinge")`,
    `create("generator", "dcgan", Spec((3, 64, 64)), width=32)`.

    Nets, augmentations and metrics take a Spec first (a tuple is taken as its shape), optimizers
    the parameters; options are checked against the signature. Raises UnknownComponent with the
    nearest name, BadOption with the nearest option or when the first argument is missing.
    """
    component = zoo().registry.get(kind, name)
    takes = KINDS[kind].takes
    if takes and not args:
        what, example = TAKES[takes]
        call = f"ganzoo.create({kind!r}, {name!r}, {example})"
        raise BadOption(f"{kind} {name!r} takes {what} first, as in {call}")
    if takes == "spec":
        args = (_spec(args[0], kind, name), *args[1:])
    return component.create(*args, **options)


def _spec(given: Any, kind: str, name: str) -> Spec:
    """A Spec, which may be given as its shape."""
    if isinstance(given, tuple | list) and all(type(side) is int for side in given):
        return Spec(tuple(given))
    if not isinstance(given, Spec):
        _, example = TAKES["spec"]
        raise BadOption(f"{kind} {name!r} takes {example}, and got {shown(given)}")
    return given


def list_components(kind: str | None = None) -> list[Component]:
    """The components of a kind, or all: each with name, plugin,
    distribution, version, summary, paper and options().
    """
    return zoo().registry.components(kind)


def load(path: str | Path, registry: Registry | None = None) -> LoadedGenerator:
    """The generator of a `generator.safetensors` or of a run folder;
    raises BadFile when it is damaged or its plugin is missing.
    """
    file = runs.find_generator(Path(path))
    header = generator_file.read_header(file)
    if header.kind:
        raise BadFile(f"{file}: holds an {header.kind}, which draws nothing")
    net = _net_of(file, header, "generator", registry)
    if getattr(net, "conditional", False) and not header.classes:
        raise BadFile(
            f"{file}: bad header: {header.component} draws classes, and the file has none"
        )
    conditions = functools.partial(_conditions, header, registry or zoo().registry, str(file))
    return LoadedGenerator(net.eval(), header, conditions)


def load_encoder(path: str | Path, registry: Registry | None = None) -> LoadedEncoder:
    """The encoder of a `generator.enc.safetensors` or of a run folder, of games that have one;
    raises BadFile as `load` does.
    """
    file = runs.find_generator(Path(path), "generator.enc.safetensors")
    header = generator_file.read_header(file)
    if header.kind != "encoder":
        raise BadFile(f"{file}: holds a generator, which encodes nothing")
    return LoadedEncoder(_net_of(file, header, "encoder", registry).eval(), header)


def _net_of(
    file: Path, header: generator_file.Header, kind: str, registry: Registry | None
) -> nn.Module:
    """The net that a file holds, with its weights."""
    listed = generator_file.read_listed(file)
    try:
        component = (registry or zoo().registry).get(
            kind, f"{header.distribution}:{header.plugin}/{header.component}"
        )
    except UnknownComponent:
        generator_file.check_sum(file, header)  # a damaged name is not to be installed
        known = (
            ""
            if header.distribution in distributions()
            else " (which ganzoo's catalogue does not know: do you trust it?)"
        )
        raise BadFile(
            f"{file}: needs {kind} {header.component!r} of {header.distribution} "
            f"{header.version}, which is not installed: "
            f"{install_line(header.distribution)}{known}"
        ) from None
    net = guard.build(component, (header.spec(),), header.options, listed, str(file))
    net.load_state_dict(generator_file.read_weights(file, header))
    return net


def _conditions(header: generator_file.Header, registry: Registry, where: str) -> list[Condition]:
    """The conditions that a generator file names; raises BadFile when a plugin is missing."""
    found: list[Condition] = []
    picture = replace(header.spec(), classes=0, given={})
    for made in header.conditions:
        name = f"{made.distribution}:{made.plugin}/{made.component}"
        try:
            component = registry.get("condition", name)
        except UnknownComponent:
            raise BadFile(
                f"{where}: needs condition {made.component!r} of {made.distribution}, which is not "
                f"installed: {install_line(made.distribution)}"
            ) from None
        part: Any = guard.build(component, (picture,), made.options, {}, where)
        found.append(part)
        picture = part.gives().get("image", picture)
    return found


@dataclass(repr=False)
class Result:
    """A finished training."""

    generator: LoadedGenerator
    log: list[dict[str, Any]]
    scores: dict[str, float]
    folder: Path | None
    notes: list[str] = field(default_factory=list)  # what was adapted and fell back, and why

    def __repr__(self) -> str:
        scores = "".join(f", {name} {score:.4g}" for name, score in self.scores.items())
        where = f", {str(self.folder)!r}" if self.folder else ""
        return f"Result({self.generator!r}{scores}, {len(self.log):,} log lines{where})"


class _Log(Tracker):
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def log(self, record: Mapping[str, Any]) -> None:
        self.lines.append(dict(record))


def train(
    config: Mapping[str, Any], folder: str | Path | None = None, listeners: Sequence[Tracker] = ()
) -> Result:
    """Train a configuration, given as sections over the defaults:
    `train({"gen": {"name": "mlp"}, "data": {"name": "ring"}})`.

    A top-level `recipe` names one to start from; without, it is the data set's own if it declares
    one. With a folder, everything is written there as the command line does in a run's; without,
    nothing is written. torch's global random state is left as it was.
    """
    registry = zoo().registry
    tree, meant = layered(config, registry)
    pipeline = assemble(configuration.check(tree), registry.meaning(meant))
    log, notes = _Log(), [*pipeline.notes]
    path = Path(folder) if folder is not None else None
    with contextlib.ExitStack() as stack:
        if path is not None:
            stack.callback(_claim(path).release)
            runs.describe(path, pipeline, "ganzoo.train")
        stack.enter_context(forked(pipeline.device))
        training = Training(pipeline, path, [log, *listeners], tell=notes.append)
        recovery.run(training, notes.append)
    header = generator_file.make_header(
        pipeline, training.images, training.scores, measured=training.measured
    )
    net: Any = generator_file.plain(next(iter(generator_file.generators(pipeline).values())))
    conditions = [*pipeline.parts.conditions.values()]
    return Result(
        LoadedGenerator(net, header, lambda: conditions), log.lines, training.scores, path, notes
    )


def layered(config: Mapping[str, Any], registry: Registry) -> tuple[Tree, configuration.Meant]:
    """A configuration as `train` takes it over its recipe, that over the defaults; and whose parts
    its names are.
    """
    given = dict(config)
    tree = configuration.defaults()
    meant = configuration.meaning({}, tree, "ganzoo")
    start: tuple[Any, str] | None = None
    if name := given.pop("recipe", None):
        recipe = registry.get("recipe", str(name))
        start = configuration.settings(recipe.recipe()), recipe.distribution
    elif own := advice.start(registry, given):
        start = own.settings, own.owner
    if start is not None:
        tree = configuration.merge(tree, start[0])
        meant = configuration.meaning(meant, *start)
    return configuration.merge(tree, given), configuration.meaning(meant, given, "")


def _claim(folder: Path) -> runs.Lock:
    """A new or empty folder, locked; raises BadRun when
    it holds a run already, which would be overwritten.
    """
    if (folder / runs.RUN_FILE).exists():
        raise BadRun("holds a run already; give another folder", key="folder", value=folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRun(f"{folder}: cannot be written: {error.strerror}") from None
    return runs.Lock(folder)
