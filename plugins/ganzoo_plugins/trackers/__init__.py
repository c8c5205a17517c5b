"""Listeners to a training: tables in the run folder, and the trackers that people have."""

from collections.abc import Callable

from ganzoo import hookimpl


@hookimpl
def register_trackers(register: Callable[..., None]) -> None:
    here = __name__
    register("csv", f"{here}.tables:Tables")
    register("tensorboard", f"{here}.tensorboard:TensorBoard")
    register("wandb", f"{here}.wandb:WeightsAndBiases")
    register("mlflow", f"{here}.mlflow:MLflow")
