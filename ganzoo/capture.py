"""A function over tensors as CUDA graphs: recorded once for each variant, then replayed without the host's help."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, cuda

from .update import Report

WARM_UP = 3  # runs before recording: lazy initialisations and library autotuning must not be recorded
Function = Callable[..., Report]


class Recorder:
    """Where recordings of one training are made: a stream of their own, and memory that they share, since they never overlap."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream, self.pool = device, cuda.Stream(device), cuda.graph_pool_handle()

    def warm_up(self, run: Callable[[], object]) -> None:
        """The runs before a recording."""
        self.stream.wait_stream(cuda.current_stream(self.device))
        with cuda.stream(self.stream):
            for _ in range(WARM_UP):
                run()
        cuda.current_stream(self.device).wait_stream(self.stream)

    def record(self, run: Callable[[], Report]) -> tuple[cuda.CUDAGraph, Report]:
        """(graph, where its replays leave their report); nothing is computed. Raises what `run` raised."""
        graph, random_state = cuda.CUDAGraph(), cuda.get_rng_state(self.device)
        failed: list[Exception] = []

        def heard() -> Report:
            try:
                return run()
            except Exception as error:
                failed.append(error)
                raise

        try:
            # Other threads go on meanwhile: one writes checkpoints, one pins batches.
            mode: dict[str, Any] = {"capture_error_mode": "thread_local"}
            with cuda.device(self.device), cuda.graph(graph, pool=self.pool, stream=self.stream, **mode):
                return graph, heard()
        except Exception as error:
            self._forget_recording(random_state)
            raise (failed or [error])[0] from None  # a broken recording's end has an error of its own, which says less

    def _forget_recording(self, random_state: Tensor) -> None:
        """After a recording that broke off, the device's random generator believes that it still goes on: it gets a new state."""
        fresh = torch.Generator(self.device)
        fresh.set_state(random_state)
        index = cuda.current_device() if self.device.index is None else self.device.index
        cuda.default_generators[index].graphsafe_set_state(fresh.graphsafe_get_state())


class Snapshot:
    """What an update changes, to be put back where it lies. The copies are on the host: the device may be full."""

    def __init__(self, tensors: Sequence[Tensor], optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.optimizer, self.device, self.random_state = optimizer, device, cuda.get_rng_state(device)
        self.entries = {parameter: dict(entry) for parameter, entry in optimizer.state.items()}
        held = [t for entry in self.entries.values() for t in entry.values() if isinstance(t, Tensor)]
        self.copies = [(t, t.detach().to("cpu", copy=True)) for t in (*tensors, *held)]

    @torch.no_grad()
    def put_back(self) -> None:
        """As it was; state that the optimizer made since stays where it is and starts at zero."""
        for tensor, copy in self.copies:
            tensor.copy_(copy)
        for parameter, entry in self.optimizer.state.items():
            for key, value in entry.items():
                if isinstance(value, Tensor) and key not in self.entries.get(parameter, ()):
                    value.zero_()
        cuda.set_rng_state(self.random_state, self.device)

    def forget_new(self) -> None:
        """Without the state that the optimizer made since."""
        self.optimizer.state.clear()
        self.optimizer.state.update(self.entries)


class Captured:
    """Replays `function(*inputs, variant=...)`; inputs keep their shapes. It changes `tensors` and the optimizer's state: the runs
    before a recording are undone, so that a captured training goes the same way as one that is not.
    """

    def __init__(
        self,
        function: Function,
        tensors: Callable[[], list[Tensor]],
        optimizer: torch.optim.Optimizer,
        recorder: Recorder,
    ) -> None:
        self.function, self.tensors, self.optimizer, self.recorder = function, tensors, optimizer, recorder
        self.graphs: dict[Hashable, tuple[cuda.CUDAGraph, Report]] = {}
        self.inputs: list[Tensor | None] = []

    def __call__(self, inputs: Sequence[Tensor | None], variant: Hashable) -> Report:
        """One run on these inputs."""
        if not self.inputs:
            self.inputs = [None if given is None else given.clone() for given in inputs]
        for own, given in zip(self.inputs, inputs, strict=True):
            if own is not None and given is not None:
                own.copy_(given, non_blocking=True)
        if variant not in self.graphs:
            self._record(variant)
        graph, report = self.graphs[variant]
        graph.replay()
        gradient = None if report.gradient is None else report.gradient.clone()
        return Report(report.names, report.values.clone(), gradient)  # the graph's own outputs are overwritten by the next replay

    def _record(self, variant: Hashable) -> None:
        def run() -> Report:
            return self.function(*self.inputs, variant=variant)

        snapshot = Snapshot(self.tensors(), self.optimizer, self.recorder.device)
        try:
            try:
                self.recorder.warm_up(run)
            finally:
                snapshot.put_back()
            self._check_optimizer()
            self.graphs[variant] = self.recorder.record(run)
        except Exception:
            snapshot.forget_new()
            raise

    def _check_optimizer(self) -> None:
        """Raises RuntimeError for state on the host: a replay would not change it, and the training would silently go wrong."""
        for entry in self.optimizer.state.values():
            for key, value in entry.items():
                on_device = isinstance(value, Tensor) and value.device.type == self.recorder.device.type
                if not on_device and value is not None:
                    raise RuntimeError(f"{type(self.optimizer).__name__} keeps {key!r} on the host")
