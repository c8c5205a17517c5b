"""A function over tensors as CUDA graphs: recorded once for each variant, then replayed without the host's help."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, cuda, nn

from .update import Report

WARM_UP = (
    3  # runs before recording: lazy initialisations and library autotuning must not be recorded
)
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
            # Other threads go on meanwhile: one writes checkpoints, one pins batches. A broken end would not set the stream back.
            mode: dict[str, Any] = {"stream": self.stream, "capture_error_mode": "thread_local"}
            now = cuda.current_stream(self.device)
            with (
                cuda.device(self.device),
                cuda.stream(now),
                cuda.graph(graph, pool=self.pool, **mode),
            ):
                return graph, heard()
        except Exception as error:
            with contextlib.suppress(RuntimeError):  # the first error is the one to tell
                self._forget_recording(random_state)
            raise (failed or [error])[
                0
            ] from None  # a broken recording's end has an error of its own, which says less

    def _forget_recording(self, random_state: Tensor) -> None:
        """After a recording that broke off, the device's random generator believes that it still goes on: it gets a new state."""
        fresh = torch.Generator(self.device)
        fresh.set_state(random_state)
        index = cuda.current_device() if self.device.index is None else self.device.index
        cuda.default_generators[index].graphsafe_set_state(fresh.graphsafe_get_state())


class Snapshot:
    """What an update changes, to be put back where it lies. The copies are on the host: the device may be full."""

    def __init__(
        self, parts: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, device: torch.device
    ) -> None:
        self.parts, self.optimizer, self.device, self.random_state = (
            parts,
            optimizer,
            device,
            cuda.get_rng_state(device),
        )
        self.tensors, self.plain = self._tensors(), self._plain()
        self.entries = {parameter: dict(entry) for parameter, entry in optimizer.state.items()}
        held = [
            t for entry in self.entries.values() for t in entry.values() if isinstance(t, Tensor)
        ]
        self.copies = [
            (t, t.detach().to("cpu", copy=True)) for t in (*self.tensors.values(), *held)
        ]

    def _tensors(self) -> dict[str, Tensor]:
        """Every parameter and buffer, by section and name."""
        return {
            f"{section}: {name}": tensor
            for section, part in self.parts.items()
            for name, tensor in (*part.named_parameters(), *part.named_buffers())
        }

    def _plain(self) -> dict[str, tuple[nn.Module, str, Any]]:
        """Every number, text and flag that a module keeps beside them."""
        return {
            f"{section}: {name}.{key}".replace(": .", ": "): (module, key, value)
            for section, part in self.parts.items()
            for name, module in part.named_modules()
            for key, value in vars(module).items()
            if isinstance(value, int | float | str)
        }

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

    def check(self) -> None:
        """Raises RuntimeError for what changed and cannot change in a replay, where the training would silently go wrong."""
        for entry in self.optimizer.state.values():
            for key, value in entry.items():
                on_device = isinstance(value, Tensor) and value.device.type == self.device.type
                if not on_device and value is not None:
                    raise RuntimeError(f"{type(self.optimizer).__name__} keeps {key!r} on the host")
        for name, tensor in self._tensors().items():
            if tensor is not self.tensors.get(name):
                raise RuntimeError(f"{name} is replaced in an update, not written into")
        for name, (_, _, value) in self._plain().items():
            if name not in self.plain or value != self.plain[name][2]:
                raise RuntimeError(f"{name} changes in an update and is no buffer")

    @torch.no_grad()
    def forget_new(self) -> None:
        """Everything else as it was, too: for an update that will not be recorded."""
        self.optimizer.state.clear()
        self.optimizer.state.update(self.entries)
        for name, tensor in self._tensors().items():
            if name in self.tensors and tensor is not self.tensors[name]:
                tensor.copy_(self.tensors[name])
        for module, key, value in self.plain.values():
            vars(module)[key] = value


class Captured:
    """Replays `function(*inputs, variant=...)`; inputs keep their shapes. It changes `parts` and the optimizer's state: the runs
    before a recording are undone, so that a captured training goes the same way as one that is not.
    """

    def __init__(
        self,
        function: Function,
        parts: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        recorder: Recorder,
    ) -> None:
        self.function, self.parts, self.optimizer, self.recorder = (
            function,
            parts,
            optimizer,
            recorder,
        )
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
        return Report(
            report.names, report.values.clone(), gradient
        )  # the graph's own outputs are overwritten by the next replay

    def _record(self, variant: Hashable) -> None:
        def run() -> Report:
            return self.function(*self.inputs, variant=variant)

        snapshot = Snapshot(self.parts, self.optimizer, self.recorder.device)
        try:
            try:
                self.recorder.warm_up(run)
            finally:
                snapshot.put_back()
            snapshot.check()
            self.graphs[variant] = self.recorder.record(run)
        except Exception:
            snapshot.forget_new()
            raise
