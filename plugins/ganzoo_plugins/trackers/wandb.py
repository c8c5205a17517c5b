"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ganzoo.contracts import Tracker

from .shared import Health, figures, require, which


class WeightsAndBiases(Tracker):
    """Sends figures, scores, pictures, settings and changes of health to Weights & Biases.

    Its files are in the folder `wandb` of the run folder. A resumed training is another run of the
    same group, which has the run folder's name. Without a run folder nothing is written.

    project: the project's name there
    mode: offline writes files alone, which `wandb sync` sends later; online sends at once
    """

    def __init__(
        self, *, project: str = "ganzoo", mode: Literal["offline", "online"] = "offline"
    ) -> None:
        require("wandb", "wandb")
        self.project, self.mode = project, mode
        self._run: Any = None
        self._health = Health()

    def start(self, run: Mapping[str, Any], folder: Path | None, images: int) -> None:
        """Begin a run."""
        if folder is None:
            return
        import wandb

        name = folder.resolve().name
        quiet = wandb.Settings(console="off", silent=True)
        self._run = wandb.init(
            project=self.project,
            mode=self.mode,
            name=name,
            group=name,
            dir=str(folder),
            config=dict(run),
            settings=quiet,
        )
        self._run.define_metric("*", step_metric="images")

    def log(self, record: Mapping[str, Any]) -> None:
        """Send the figures of a line."""
        if self._run is None:
            return
        verdict = self._health.changed(record)
        event = {"health": verdict} if verdict else {}
        self._run.log({"images": record["images"], **figures(record), **event})

    def picture(self, name: str, path: Path) -> None:
        """Send a picture."""
        if self._run is None:
            return
        import wandb

        kind, images = which(name)
        self._run.log({"images": images, kind: wandb.Image(str(path))})

    def score(self, scores: Mapping[str, float], images: int) -> None:
        """Send what the metrics found."""
        if self._run is not None:
            found = {f"scores/{name}": value for name, value in scores.items()}
            self._run.log({"images": images, **found})

    def finish(self) -> None:
        """End the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None
