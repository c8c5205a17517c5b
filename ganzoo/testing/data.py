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
from ..errors import BadData
from ..plugins import zoo
from ..registry import Component, Registry
from ..runs import settings
from .basics import SPECS, attempt, build, check_described, describe, fitting, require


def check_dataset(component: Component, **options: Any) -> None:
    """Samples and labels of the right types and ranges, the same every time; missing files are a BadData of one line.

    The BadData goes on to the caller, who knows whether the files should be there.
    """
    check_described(component, options)
    try:
        data = build(component, **options)
    except BadData as error:
        require(
            "\n" not in str(error) and len(str(error)) > 20,
            component,
            "its BadData says too little",
            "name the folder and a way out",
        )
        raise
    require(isinstance(data, Dataset), component, "returns no Dataset", "return ganzoo.contracts.Dataset(samples, labels, classes)")
    require(len(data) > 0, component, "has no samples", "raise BadData when there are none")
    wanted = torch.uint8 if data.spec.sort == "image" else torch.float32
    mend = "images are uint8 in 0..255, all else float32"
    require(data.samples.dtype == wanted, component, f"its samples are {data.samples.dtype}", mend)
    few = torch.arange(min(len(data), 512))
    batch, labels = data.batch(few)
    require(bool(batch.isfinite().all()), component, "has samples that are not finite", "leave them out")
    require(bool(batch.std() > 0), component, "all its samples are alike", "check how they are read")
    if data.labels is not None:
        right = data.labels.dtype == torch.int64 and data.labels.shape == (len(data),)
        require(right, component, f"its labels are {data.labels.dtype} {tuple(data.labels.shape)}", "give int64 [n]")
        inside = bool(((data.labels >= 0) & (data.labels < len(data.classes))).all())
        require(inside, component, f"has labels outside its {len(data.classes)} classes", "name every class, count from 0")
    again, labels_again = build(component, seed=1, **options).batch(few)
    same = torch.equal(batch, again) and (labels is None or torch.equal(labels, labels_again))
    require(same, component, "differs from one opening to the next", "draw from a torch.Generator with a fixed seed")
    if resolution := options.get("resolution"):
        require(
            data.spec.shape[1:] == tuple(resolution), component, f"gives {describe(data.spec)} for {resolution}", "resize to it"
        )


def check_metric(component: Component, *, specs: Sequence[Spec] = SPECS, **options: Any) -> None:
    """Finite figures by name, the same for the same samples, which are left as they were."""
    check_described(component, options)
    for spec in fitting(component, specs, options):
        metric, what = build(component, spec, **options), f"on {describe(spec)}"
        require(isinstance(metric, Metric), component, "is no Metric", "derive it from ganzoo.contracts.Metric")
        torch.manual_seed(3)
        real, fake = torch.randn(2, min(metric.count, 64), *spec.shape).clamp(-1, 1)
        before = real.clone(), fake.clone()
        found = attempt(component, f"measuring {what}", lambda m=metric, r=real, f=fake: m.measure(r, f), "measure(real, fake)")  # type: ignore[misc]
        figures = isinstance(found, dict) and all(isinstance(k, str) and isinstance(v, float) for k, v in found.items())
        require(figures and bool(found), component, f"returns {found!r} {what}", "return a dict of names and floats, at least one")
        require(all(map(math.isfinite, found.values())), component, f"returns {found} {what}", "say what is undefined by an error")
        require(metric.measure(real, fake) == found, component, f"measures the same samples differently {what}", "fix its seed")
        kept = torch.equal(real, before[0]) and torch.equal(fake, before[1])
        require(kept, component, f"changes the samples {what}", "work on a copy")


def check_tracker(component: Component, **options: Any) -> None:
    """Hears a short training without an error."""
    check_described(component, options)
    tracker = build(component, **options)
    require(isinstance(tracker, Tracker), component, "is no Tracker", "derive it from ganzoo.contracts.Tracker")
    line = {"images": 64, "updates": 1, "D(real)": 0.1, "discriminator": {"adversarial": 1.4, "total": 1.4}, "health": "balanced"}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "real.png"
        _write_picture(picture)
        for what, call in (
            ("start", lambda: tracker.start(configuration.defaults())),
            ("log", lambda: tracker.log(line)),
            ("picture", lambda: tracker.picture("real", picture)),
            ("finish", tracker.finish),
        ):
            attempt(component, what, call, "a tracker must not stop a training; every method is optional")


def _write_picture(path: Path) -> None:
    from PIL import Image

    Image.new("L", (8, 8)).save(path)


def check_recipe(
    component: Component, *, data: Mapping[str, Any] | None = None, registry: Registry | None = None, **layer: Mapping[str, Any]
) -> None:
    """Says what it is and where it comes from, names what is installed, and assembles.

    `data` replaces its data section where those data are not at hand; `layer` is laid over the rest, section by section.
    """
    check_described(component)
    tree = attempt(component, "reading it", component.recipe, "write TOML")
    mend = 'say where its settings come from: paper = "arXiv:..." or source = "..."'
    require(bool(tree.get("paper") or tree.get("source")), component, "names no source", mend)
    merged = configuration.merge(configuration.defaults(), settings(tree))
    for over in ({"data": data} if data else {}, layer, {"train": {"device": "cpu", "engine": "eager"}}):
        merged = configuration.merge(merged, over)
    mend = "correct its settings; `ganzoo info NAME` lists the options of a component"
    pipeline = attempt(
        component, "assembling it", lambda: assemble(configuration.check(merged, str(component)), registry or zoo().registry), mend
    )
    for section in ("gen", "disc", "loss"):
        said = tree.get(section, {}).get("name")
        used = getattr(pipeline.config, section).name
        require(said in (None, used), component, f"{section} {said!r} became {used!r}", "name what is to be used")
