"""TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.contracts import Tracker

from .shared import Health, figures, flat, require, which


class TensorBoard(Tracker):
    """Writes figures, scores, pictures, settings and changes of health for TensorBoard.

    They are in the folder `tensorboard` of the run folder, over images; a resumed training hides
    what came after the images that it begins at. Without a run folder nothing is written.
    """

    def __init__(self) -> None:
        require("tensorboard", "tensorboard")
        self._writer: Any = None
        self._health = Health()

    def start(self, run: Mapping[str, Any], folder: Path | None, images: int) -> None:
        """Begin an event file, with the settings as a text."""
        if folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        after = images + 1 if images else None
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=after)
        settings = "\n".join(f"    {name} = {value!r}" for name, value in flat(run))
        self._writer.add_text("settings", settings, images)

    def log(self, record: Mapping[str, Any]) -> None:
        """Add the figures of a line."""
        if self._writer is None:
            return
        images = record["images"]
        for name, value in figures(record).items():
            self._writer.add_scalar(name.replace(".", "/"), value, images)
        verdict = self._health.changed(record)
        if verdict:
            self._writer.add_text("health", verdict, images)

    def picture(self, name: str, path: Path) -> None:
        """Add a picture."""
        if self._writer is None:
            return
        import numpy as np
        from PIL import Image

        kind, images = which(name)
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._writer.add_image(kind, pixels, images, dataformats="HWC")

    def score(self, scores: Mapping[str, float], images: int) -> None:
        """Add what the metrics found."""
        for name, value in scores.items() if self._writer is not None else ():
            self._writer.add_scalar(f"scores/{name}", value, images)

    def finish(self) -> None:
        """Write what waits."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
