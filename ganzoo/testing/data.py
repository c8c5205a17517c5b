"""Checks of data sets, metrics, trackers and recipes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import config as configuration
from ..assembly import assemble
from ..contracts import Dataset, Metric, Spec, Tracker
from ..drawing import write_picture
from ..errors import BadData
from ..pipeline import Pipeline
from ..plugins import zoo
from ..registry import Component, Registry
from ..runs import settings
from .basics import SPECS, check_described, describe

LINE = {"images": 64, "updates": 1, "D(real)": 0.1, "discriminator": {"adversarial": 1.4, "total": 1.4}, "health": "balanced"}


def check_dataset(component: Component, **options: Any) -> None:
    """Samples and labels of the right types and ranges, the same every time; missing files are a BadData of one line.

    The BadData goes on to the caller, who knows whether the files should be there.
    """
    case = check_described(component, **options)
    try:
        data = case.build()
    except BadData as error:
        case.require(
            "\n" not in str(error) and len(str(error)) > 20, "its BadData says too little", "name the folder and a way out"
        )
        raise
    case.require(isinstance(data, Dataset), "returns no Dataset", "return ganzoo.contracts.Dataset(samples, labels, classes)")
    case.require(len(data), "has no samples", "raise BadData when there are none")
    wanted = torch.uint8 if data.spec.sort == "image" else torch.float32
    case.require(
        data.samples.dtype == wanted, f"its samples are {data.samples.dtype}", "images are uint8 in 0..255, all else float32"
    )
    few = torch.arange(min(len(data), 512))
    batch, labels = data.batch(few)
    case.require(batch.isfinite().all(), "has samples that are not finite", "leave them out")
    case.require(batch.std() > 0, "all its samples are alike", "check how they are read")
    if data.labels is not None:
        right = data.labels.dtype == torch.int64 and data.labels.shape == (len(data),)
        case.require(right, f"its labels are {data.labels.dtype} {tuple(data.labels.shape)}", "give int64 [n]")
        inside = ((data.labels >= 0) & (data.labels < len(data.classes))).all()
        case.require(inside, f"has labels outside its {len(data.classes)} classes", "name every class, and count from 0")
    again, labels_again = case.build(seed=1).batch(few)
    same = torch.equal(batch, again) and (labels is None or torch.equal(labels, labels_again))
    case.require(same, "differs from one opening to the next", "draw from a torch.Generator with a fixed seed")
    if resolution := options.get("resolution"):
        case.require(data.spec.shape[1:] == tuple(resolution), f"gives {describe(data.spec)} for {resolution}", "resize to it")


def check_metric(component: Component, *, specs: Sequence[Spec] = SPECS, **options: Any) -> None:
    """Finite figures by name, the same for the same samples, which are left as they were."""
    case = check_described(component, **options)
    for spec in case.fitting(specs):
        metric, what = case.build_as(Metric, spec), f"on {describe(spec)}"
        torch.manual_seed(3)
        real, fake = torch.randn(2, min(metric.count, 64), *spec.shape).clamp(-1, 1)
        before = real.clone(), fake.clone()
        mend = "measure(real, fake) takes [n, *spec.shape] each and returns a dict of names and floats"
        found = case.attempt(f"measuring {what}", mend, metric.measure, real, fake)
        figures = isinstance(found, dict) and all(isinstance(k, str) and isinstance(v, float) for k, v in found.items())
        case.require(figures and found, f"returns {found!r} {what}", mend)
        case.require(all(map(math.isfinite, found.values())), f"returns {found} {what}", "raise an error for what is undefined")
        case.require(metric.measure(real, fake) == found, f"measures the same samples differently {what}", "fix its seed")
        kept = torch.equal(real, before[0]) and torch.equal(fake, before[1])
        case.require(kept, f"changes the samples {what}", "work on a copy")


def check_tracker(component: Component, **options: Any) -> None:
    """Hears a short training without an error."""
    case = check_described(component, **options)
    tracker, mend = case.build_as(Tracker), "a tracker must not stop a training; every method is optional"
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "real.png"
        write_picture(picture, torch.zeros(4, 1, 8, 8), Spec((1, 8, 8)))
        case.attempt("start", mend, tracker.start, configuration.defaults())
        case.attempt("log", mend, tracker.log, LINE)
        case.attempt("picture", mend, tracker.picture, "real", picture)
        case.attempt("finish", mend, tracker.finish)


def check_recipe(
    component: Component, *, data: Mapping[str, Any] | None = None, registry: Registry | None = None, **layer: Mapping[str, Any]
) -> None:
    """Says what it is and where it comes from, names what is installed, and assembles.

    `data` replaces its data section where those data are not at hand; `layer` is laid over the rest, section by section.
    """
    case = check_described(component)
    tree = case.attempt("reading it", "write TOML", component.recipe)
    mend = 'say where its settings come from: paper = "arXiv:..." or source = "..."'
    case.require(tree.get("paper") or tree.get("source"), "names no source", mend)
    merged = configuration.merge(configuration.defaults(), settings(tree))
    for over in ({"data": data} if data else {}, layer, {"train": {"device": "cpu", "engine": "eager"}}):
        merged = configuration.merge(merged, over)

    def assembled() -> Pipeline:
        return assemble(configuration.check(merged, str(component)), registry or zoo().registry)

    case.attempt("assembling it", "correct its settings; `ganzoo info NAME` lists the options of a component", assembled)
