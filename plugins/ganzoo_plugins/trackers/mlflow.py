"""MLflow's tracking."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.contracts import Tracker

from .shared import Health, figures, flat, require, which

FORBIDDEN = re.compile(r"[^\w\-. :/]")  # in a name of MLflow's: D(real) is D_real_
LONGEST = 500  # letters of a setting


class MLflow(Tracker):
    """Sends figures, scores, pictures, settings and changes of health to MLflow.

    A resumed training goes on with the run of the folder's name. Without a run folder nothing is
    written.

    uri: MLflow's store; by default the folder `mlruns` beside the run folders
    experiment: the experiment's name there
    """

    def __init__(self, *, uri: str = "", experiment: str = "ganzoo") -> None:
        require("mlflow", "mlflow")
        self.uri, self.experiment = uri, experiment
        self._client: Any = None
        self._run = ""
        self._health = Health()

    def start(self, run: Mapping[str, Any], folder: Path | None, images: int) -> None:
        """Begin a run, or go on with that of a training that is resumed."""
        if folder is None:
            return
        # without it, MLflow 3 refuses stores of files and asks for a database
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient

        folder = folder.resolve()
        uri = self.uri or (folder.parent / "mlruns").as_uri()
        self._client = MlflowClient(tracking_uri=uri)
        known = self._client.get_experiment_by_name(self.experiment)
        number = known.experiment_id if known else self._client.create_experiment(self.experiment)
        own = [
            found.info.run_id
            for found in self._client.search_runs([number])
            if found.data.tags.get("ganzoo.folder") == str(folder) and images
        ]
        if own:
            self._run = own[0]
            return
        tags = {"ganzoo.folder": str(folder)}
        created = self._client.create_run(number, run_name=folder.name, tags=tags)
        self._run = created.info.run_id
        for name, value in flat(run):
            self._client.log_param(self._run, FORBIDDEN.sub("_", name), str(value)[:LONGEST])

    def _send(self, found: Mapping[str, float], images: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [
            Metric(FORBIDDEN.sub("_", name), value, now, images) for name, value in found.items()
        ]
        self._client.log_batch(self._run, metrics=metrics)

    def log(self, record: Mapping[str, Any]) -> None:
        """Send the figures of a line; the health is a tag, and one more for each change."""
        if self._client is None:
            return
        images = record["images"]
        self._send(figures(record), images)
        verdict = self._health.changed(record)
        if verdict:
            self._client.set_tag(self._run, "health", verdict)
            self._client.set_tag(self._run, f"health.{images:09d}", verdict)

    def picture(self, name: str, path: Path) -> None:
        """Send a picture, as an artifact."""
        if self._client is not None:
            kind, images = which(name)
            self._client.log_artifact(self._run, str(path), kind if images else None)

    def score(self, scores: Mapping[str, float], images: int) -> None:
        """Send what the metrics found."""
        if self._client is not None:
            self._send({f"scores/{name}": value for name, value in scores.items()}, images)

    def finish(self) -> None:
        """End the run."""
        if self._client is not None:
            self._client.set_terminated(self._run)
            self._client = None
