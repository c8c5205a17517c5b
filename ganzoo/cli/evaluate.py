"""`ganzoo evaluate RUN|FILE|PICTURES`: what metrics say of a generator, or of pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import config as configuration
from ..components.kinds import KINDS
from ..components.registry import Registry
from ..errors import BadConfig, GanzooError, UsageError
from ._complete import components, settings
from ._echo import echo
from ._patience import patience
from ._shared import Count, Whole, drawn, loaded, plain, print_json, table

if TYPE_CHECKING:
    from ..config.tree import Config
    from ..evaluation import Evaluation, Subject
    from ..measure import Score
    from ._layers import Layers

SECTIONS = ("metric", "data")  # that --set may speak of


@click.command("evaluate", short_help="Measure a trained generator, or pictures.")
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE... [REAL]"
)
@click.option(
    "--metric",
    metavar="NAME",
    multiple=True,
    shell_complete=components("metric"),
    help="What to measure; may repeat. Else the run's own metrics, or what suits the samples.",
)
@click.option(
    "--set",
    "chosen",
    metavar="SECTION.KEY=VALUE",
    multiple=True,
    shell_complete=settings,
    help="An option of a metric or of the data: --set metric.swd.projections=64.",
)
@click.option("--data", metavar=KINDS["dataset"].metavar, help="The real samples.")
@click.option("--resolution", metavar="N|HxW", help="Resize pictures to this.")
@click.option(
    "--split",
    type=click.Choice(["train", "held"]),
    default="train",
    show_default=True,
    help="Which of them: those of the training, or those that data.holdout kept from it.",
)
@click.option("--count", type=Count(), help="Samples to draw, and real ones at most: 50k.")
@click.option(
    "--seeds",
    type=Whole(1, 1000),
    default=1,
    show_default=True,
    help="How often samples are drawn; with more, the spread is told.",
)
@click.option(
    "--weights",
    type=click.Choice(["average", "best", "raw"]),
    default="average",
    show_default=True,
    help="Of a run: the averaged ones, the best kept, or as they were trained.",
)
@click.option("--truncation", type=float, help="As for ganzoo generate.")
@click.option("--print-only", is_flag=True, help="Write nothing into runs and generator files.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def command(sources: Sequence[Path], as_json: bool, **given: Any) -> None:
    """Measure generators, or pictures, against real samples.

    SOURCE is a run folder or a generator.safetensors; or a folder or zip of pictures, and REAL
    another with the real ones. What is found is written into the run (scores.jsonl) and into the
    header of the generator's file.

    \b
    ganzoo evaluate runs/0001-digits-dcgan-nonsat --seeds 3
    ganzoo evaluate drawn/ real.zip --metric frechet
    """
    registry = loaded().registry
    with patience():
        from .. import evaluation
    generators, real = _sorted(sources)
    if real is not None and given["data"]:
        raise UsageError(f"{real}: the real samples are given already, by --data {given['data']}")
    data = str(real) if real is not None else given["data"]
    whole = real is not None
    found = []
    for path in generators:
        run, subject = _opened(path, data, whole, given, registry)
        with _bar(run, subject):
            scores = [*run.scores(subject)]
        found += [{"source": str(path), **score.model_dump()} for score in scores]
        if not as_json:
            _show(path, scores)
        note = "" if given["print_only"] else evaluation.keep(subject, scores)
        if note:
            echo(f"note: {note}", err=True)
    if as_json:
        print_json(found)


def _sorted(sources: Sequence[Path]) -> tuple[Sequence[Path], Path | None]:
    """Generators, or one set of pictures, and the real pictures, where they are given."""
    trained = [_is_generator(path) for path in sources]
    if all(trained) or len(sources) == 1:
        return sources, None
    if not all(trained[:-1]) and len(sources) > 2:
        raise UsageError(
            f"{sources[trained.index(False)]}: give runs and generator files, and at most one "
            "folder or zip of real pictures after them; or two of pictures"
        )
    return sources[:-1], sources[-1]


def _is_generator(path: Path) -> bool:
    """Whether a path is a run or a generator's file, and so no pictures."""
    from .. import evaluation

    try:
        if not path.exists():
            raise UsageError(f"{path}: no such run, file or folder")
        return path.suffix == ".safetensors" or evaluation.is_run(path)
    except OSError as error:  # a name that is too long
        raise UsageError(f"{path}: {error.strerror}") from None


def _opened(
    path: Path, data: str | None, whole: bool, given: dict[str, Any], registry: Registry
) -> tuple[Evaluation, Subject]:
    """A source, with the data and metrics that it is measured by.

    whole: whether the data are meant as they are, not as those of a training, which may see a part
    """
    from .. import evaluation
    from ._report import data_progress

    with patience("opening what is measured"), data_progress() as progress:
        if _is_generator(path):
            subject = evaluation.of_generator(path, registry, given["weights"], given["truncation"])
            layers = _trained(path, data, registry, subject)
            if whole:
                layers.add({"data": {"holdout": 0.0}}, "")
        elif data:
            layers = _layers(None, {}, data)
            _take_data(layers, given)
            pictures = evaluation.config_for(layers.config, str(path))
            with _said_of(path):
                measured, _ = evaluation.open_data(pictures, registry, progress)
            subject = evaluation.of_pictures(path, measured)
        else:
            raise UsageError(f"{path}: give the real pictures too, after it")
        if _is_generator(path):
            _take_data(layers, given)
            evaluation.check_held(layers.config, evaluation.config_of(path)[0])
        dataset, held = evaluation.open_data(
            layers.config, registry.meaning(layers.meant), progress
        )
        _take_metrics(layers, given, registry, subject)
    name = evaluation.data_name(layers.config, registry)
    meant = registry.meaning(layers.meant)
    return evaluation.Evaluation(
        layers.config, meant, dataset, held, name, given["split"], given["count"], given["seeds"]
    ), subject


@contextlib.contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """What is wrong with the pictures that are measured is said of them, not of the real ones."""
    try:
        yield
    except GanzooError as error:
        if (error.section, error.key) != ("data", "name"):
            raise
        message = f"{path}: {error.message}"
        raise type(error)(message, remedy=error.remedy, change=error.change) from None


def _trained(path: Path, data: str | None, registry: Registry, subject: Subject) -> Layers:
    """The configuration of a generator, with other data where they are given."""
    from .. import evaluation

    config, about = evaluation.config_of(path)
    known = config is not None and (
        path.is_dir() or evaluation.is_registered(config.data.name, registry)
    )
    if not known and not data:
        raise UsageError(
            f"{path}: its file does not say where its data are; give them by --data NAME or PATH"
        )
    layers = _layers(config, about, data)
    shape = subject.spec.shape
    if data and subject.spec.modality == "image":
        own: dict[str, Any] = {"resolution": f"{shape[1]}x{shape[2]}"}
        own |= {"channels": shape[0]} if shape[0] in (1, 3, 4) else {}
        layers.add({"data": own}, f"the samples of {path}")
    return layers


def _layers(config: Config | None, about: dict[str, Any], data: str | None) -> Layers:
    """The configuration that settings are laid on."""
    from ._layers import Layers, words

    tree = config.tree() if config is not None else configuration.defaults()
    meant = configuration.recorded(tree, about.get("plugins")) if config is not None else None
    layers = Layers(tree, words(), meant)
    if data:
        layers.add({"data": {"name": data}}, f"--data {data}", whole=True)
    return layers


def _take_data(layers: Layers, given: dict[str, Any]) -> None:
    """What is said of the data."""
    if given["resolution"]:
        own = {"data": {"resolution": given["resolution"]}}
        layers.add(own, f"--resolution {given['resolution']}", whole=True)
    _take(layers, given["chosen"], "data")


def _take(layers: Layers, texts: Sequence[str], section: str) -> None:
    """The settings of one section."""
    for text in texts:
        head = text.partition(".")[0].strip()
        if head not in SECTIONS:
            message = f"a setting of {' or '.join(SECTIONS)} is meant here"
            raise BadConfig(message, key="set", value=text)
        if head == section:
            layers.set(text)


def _take_metrics(
    layers: Layers, given: dict[str, Any], registry: Registry, subject: Subject
) -> None:
    """The metrics that are asked for, with their options."""
    from .. import evaluation

    had = layers.tree.get("metric", {})
    names = list(dict.fromkeys(given["metric"])) or [*had]
    if not names:
        names = evaluation.default_metrics(registry, subject.spec)
    if not names:
        modality = subject.spec.modality
        raise UsageError(
            f"{subject.path}: no metric measures {modality} samples by default; name one"
        )
    layers.add({"metric": False}, "")
    for name in names:
        registry.get("metric", name)
        layers.add({"metric": {name: had.get(name, {})}}, f"--metric {name}", whole=True)
    _take(layers, given["chosen"], "metric")


@contextlib.contextmanager
def _bar(run: Evaluation, subject: Subject) -> Iterator[None]:
    """A bar while samples are drawn and read."""
    from ._report import data_progress

    total, done = run.steps(subject), 0
    with patience("measuring"), data_progress("measuring") as progress:

        def tick(count: int) -> None:
            nonlocal done
            done += count
            progress(min(done, total), total)

        run.tick = tick
        yield


def _show(path: Path, scores: Sequence[Score]) -> None:
    """A table of figures, and under it what they hang on."""
    from ..measure import text_of

    rows = []
    for score in scores:
        for name, figure in score.figures.items():
            floor, spread = figure.floor, figure.spread
            rows.append(
                [
                    f"{score.metric}.{name}",
                    f"{figure.value:.5g}",
                    "" if spread is None else f"{spread:.2g}",
                    "" if floor is None else f"{floor:.5g}",
                    "high" if figure.larger else "low",
                ]
            )
    table(str(path), ["figure", "value", "spread", "floor", "better"], rows)
    for score in scores:
        echo(f"{score.metric}: {plain(text_of(score.protocol))}", err=not drawn())
