"""Checks of data sets, metrics, trackers and recipes."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import torch

from .. import config as configuration
from ..assembly.assembling import assemble
from ..assembly.picture_recipe import suits
from ..config import settings
from ..contracts import Dataset, Metric, Spec
from ..errors import BadData, one_line
from ..generate.images import as_stored
from ..generate.pictures import write_picture
from ..ladder import rung_of
from .case import Case, DoesNotApply, Wrong, describe, grouped, on

LINE = {
    "images": 64,
    "updates": 1,
    "D(real)": 0.1,
    "discriminator": {"adversarial": 1.4, "total": 1.4},
    "health": "balanced",
}
FEW = 512
LEARNED = 64  # samples that a metric learns of
MEASURE = "measure(real, fake) takes [n, *spec.shape] each and returns a dict of names and floats"


# Data sets.


def data_of(case: Case) -> Dataset:
    """The data set, opened once; BadData, of one line that helps, when its files are missing."""
    if None not in case._made:
        try:
            built = case.build()
        except BadData as error:
            helps = "\n" not in str(error) and len(str(error)) > 20
            case.require(helps, "its BadData says too little", "name the folder and a way out")
            raise
        fix = "return ganzoo.contracts.Dataset(samples, labels, classes)"
        case.require(isinstance(built, Dataset), "returns no Dataset", fix)
        case._made[None] = built
    data: Dataset = case._made[None]
    return data


def opens(case: Case) -> str:
    """There are samples, of the type that their modality has."""
    data = data_of(case)
    case.require(len(data), "has no samples", "raise BadData when there are none")
    modality, dtype = data.spec.modality, data.samples.dtype
    if modality == "tokens":
        right = not dtype.is_floating_point and dtype != torch.bool
    else:
        right = dtype == (torch.uint8 if modality in ("image", "video") else torch.float32)
    fix = "images and videos are uint8 in 0..255, tokens numbers of symbols, all else float32"
    case.require(right, f"its samples are {dtype}", fix)
    return f"{len(data):,} samples, {describe(data.spec)}, {data.samples.dtype}"


def _few(data: Dataset) -> torch.Tensor:
    return torch.arange(min(len(data), FEW))


def values(case: Case) -> str:
    """The samples are finite and differ."""
    batch = data_of(case).batch(_few(data_of(case)))[0]
    case.require(batch.isfinite().all(), "has samples that are not finite", "leave them out")
    case.require(batch.std() > 0, "all its samples are alike", "check how they are read")
    return f"from {batch.min():.2f} to {batch.max():.2f}"


def classes(case: Case) -> str:
    """Labels are int64 [n], each with a name."""
    data = data_of(case)
    if data.labels is None:
        raise DoesNotApply("it has no labels")
    right = data.labels.dtype == torch.int64 and data.labels.shape == (len(data),)
    case.require(
        right, f"its labels are {data.labels.dtype} {tuple(data.labels.shape)}", "give int64 [n]"
    )
    inside = ((data.labels >= 0) & (data.labels < len(data.classes))).all()
    case.require(
        inside,
        f"has labels outside its {len(data.classes)} classes",
        "name every class, and count from 0",
    )
    return f"{len(data.classes)} classes"


def opens_alike(case: Case) -> str:
    """It is the same every time."""
    batch, labels = data_of(case).batch(_few(data_of(case)))
    again, labels_again = case.build(seed=1).batch(_few(data_of(case)))
    same = torch.equal(batch, again) and (labels is None or torch.equal(labels, labels_again))
    case.require(
        same,
        "differs from one opening to the next",
        "draw from a torch.Generator with a fixed seed",
    )
    return "the same at every opening"


def resolution(case: Case) -> str:
    """It has the resolution that was asked for."""
    wanted = case.options.get("resolution")
    if not wanted:
        raise DoesNotApply("none was asked for")
    spec = data_of(case).spec
    case.require(
        spec.shape[1:] == tuple(wanted), f"gives {describe(spec)} for {wanted}", "resize to it"
    )
    return describe(spec)


# Metrics.


def _samples(metric: Any, spec: Spec) -> list[torch.Tensor]:
    """Real, generated, and if it reads them, samples that no training saw."""
    count = min(metric.count, 64)
    sides = 3 if "held" in metric.reads else 2
    return [grouped(spec, count, seed=3 + side) for side in range(sides)]


def ready(case: Case, spec: Spec) -> Any:
    """A copy that has learned of samples in two groups, which are two classes, what it does."""
    metric = case.made(spec)
    if type(metric).learn is not Metric.learn:
        stored = torch.uint8 if spec.modality in ("image", "video") else torch.float32
        samples = as_stored(grouped(spec, LEARNED, seed=2), stored)
        labels, names = torch.arange(LEARNED) % 2, ("one", "other")
        data = Dataset(samples, labels, names, unbounded=spec.unbounded)
        metric.learn(data, lambda what: None)
    return case.copy(spec)


def measured(metric: Any, *samples: torch.Tensor) -> Any:
    """What it finds of samples, labelled by their group where it reads labels."""
    if "generator" in metric.reads:
        raise DoesNotApply("it measures a generator itself")
    if type(metric).features is Metric.features or type(metric).measure is not Metric.measure:
        return metric.measure(*samples)
    told = "labels" in metric.reads
    labels = [(torch.arange(len(each)) % 2,) if told else () for each in samples]
    return metric.compare(
        *(metric.features(each, *own) for each, own in zip(samples, labels, strict=True))
    )


def figures(case: Case) -> str:
    """Finite figures by name."""
    names: dict[str, None] = {}
    for spec in case.taken:
        metric, what = ready(case, spec), f"on {describe(spec)}"
        samples = _samples(metric, spec)
        found = case.attempt(f"measuring {what}", MEASURE, measured, metric, *samples)
        floats = isinstance(found, dict) and all(
            isinstance(k, str) and isinstance(v, float) for k, v in found.items()
        )
        case.require(floats and found, f"returns {found!r} {what}", MEASURE)
        finite = all(map(math.isfinite, found.values()))
        case.require(finite, f"returns {found} {what}", "raise an error for what is undefined")
        names |= dict.fromkeys(found)
    return f"{', '.join(names)}, {on(case.taken)}"


def measures_alike(case: Case) -> str:
    """The same samples, the same figures."""
    for spec in case.taken:
        metric = ready(case, spec)
        samples = _samples(metric, spec)
        same = measured(metric, *samples) == measured(metric, *samples)
        case.require(
            same, f"measures the same samples differently on {describe(spec)}", "fix its seed"
        )
    return on(case.taken)


def leaves_samples(case: Case) -> str:
    """The samples are left as they were."""
    for spec in case.taken:
        metric = ready(case, spec)
        samples = _samples(metric, spec)
        before = [each.clone() for each in samples]
        measured(metric, *samples)
        kept = all(map(torch.equal, samples, before))
        case.require(kept, f"changes the samples on {describe(spec)}", "work on a copy")
    return on(case.taken)


# Trackers and recipes.


def hears(case: Case) -> str:
    """It hears a short training without an error."""
    tracker, fix = case.copy(), "a tracker must not stop a training; every method is optional"
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "real.png"
        write_picture(picture, torch.zeros(4, 1, 8, 8), Spec((1, 8, 8)))
        case.attempt("start", fix, tracker.start, configuration.defaults(), None, 0)
        case.attempt("log", fix, tracker.log, LINE)
        case.attempt("picture", fix, tracker.picture, "real", picture)
        case.attempt("score", fix, tracker.score, {"metric.figure": 1.0}, 100)
        case.attempt("finish", fix, tracker.finish)
    return "start, log, picture, score, finish"


def reads(case: Case) -> str:
    """It is TOML that says what it is and where its settings come from."""
    tree = case.attempt("reading it", "write TOML", case.component.recipe)
    fix = 'say where its settings come from: paper = "arXiv:..." or source = "..."'
    case.require(tree.get("paper") or tree.get("source"), "names no source", fix)
    fix = "give the table `suits` as docs/data.md has it"
    case.attempt("reading what it suits", fix, suits, case.component)
    fix = "give the table `rung` as docs/measures.md has it"
    rung = case.attempt("reading what rung it is", fix, rung_of, case.component)
    if rung is not None:
        metric = rung.figure.partition(".")[0]
        measured = tree.get("metric", {})
        case.require(metric in measured, f"its rung's figure is of no metric of it: {metric}", fix)
    return str(tree.get("paper") or "its source is stated")


def assembles(case: Case) -> str:
    """It names what is installed, with options that exist, and the parts fit each other."""
    defaults, recipe = configuration.defaults(), settings(case.component.recipe())
    meant = configuration.meaning({}, defaults, "ganzoo")
    meant = configuration.meaning(meant, recipe, case.component.distribution)
    merged = configuration.merge(defaults, recipe)
    data = {"data": case.data} if case.data else {}
    for over in (data, case.options, {"train": {"device": "cpu", "engine": "eager"}}):
        merged = configuration.merge(merged, over)

    try:
        pipeline = assemble(
            configuration.check(merged, str(case.component)), case.registry.meaning(meant)
        )
    except BadData:
        raise
    except Exception as error:
        fix = "correct its settings; `ganzoo info NAME` lists the options of a component"
        raise Wrong(f"assembling it fails: {one_line(error)}", fix) from error
    sizes = [
        sum(p.numel() for p in net.parameters())
        for net in (pipeline.parts.generator, pipeline.parts.discriminator)
    ]
    return f"generator {sizes[0]:,}, discriminator {sizes[1]:,} parameters"
