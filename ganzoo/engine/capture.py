"""A function over tensors as CUDA graphs: recorded once
for each variant, then replayed without the host's help.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, cuda, nn

from .losses import Report
from .snapshot import Snapshot

WARM_UP = 3  # runs before recording: lazy initialisations and autotuning must not be recorded
Function = Callable[..., Report]


class Recorder:
    """Where recordings of one training are made: a stream of their
    own, and memory that they share, since they never overlap.

    `quiet` returns when no other thread of this training works on the device any more.
    """

    def __init__(self, device: torch.device, quiet: Callable[[], None] = lambda: None) -> None:
        self.device, self.quiet = device, quiet
        self.stream, self.pool = cuda.Stream(device), cuda.graph_pool_handle()

    def warm_up(self, run: Callable[[], object]) -> None:
        """The runs before a recording. In the last, a host that waits
        for the device is an error: a recording that breaks off at such
        a place cannot be closed cleanly, so that it is found before.
        """
        self.stream.wait_stream(cuda.current_stream(self.device))
        try:
            with cuda.stream(self.stream):
                for _ in range(WARM_UP - 1):
                    run()
                with self._no_waiting():
                    run()
        # What is put back after a failure must not meet the kernels of the run that failed
        finally:
            cuda.current_stream(self.device).wait_stream(self.stream)

    @contextlib.contextmanager
    def _no_waiting(self) -> Iterator[None]:
        """PyTorch's switch holds for all threads of the
        process, so that the others are let finish first.
        """
        self.quiet()
        before = cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the switch does not find every wait
            cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            cuda.set_sync_debug_mode(before)

    def record(self, run: Callable[[], Report]) -> tuple[cuda.CUDAGraph, Report]:
        """(graph, where its replays leave their report);
        nothing is computed. Raises what `run` raised.
        """
        graph, random_state = cuda.CUDAGraph(), cuda.get_rng_state(self.device)
        failed: list[Exception] = []

        def heard() -> Report:
            try:
                return run()
            except Exception as error:
                failed.append(error)
                raise

        try:
            # Other threads go on meanwhile: one writes checkpoints, one
            # pins batches. A broken end would not set the stream back.
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
            close_pool(self._index(), self.pool)
            # A broken recording's end has an error of its own, which says less.
            raise (failed or [error])[0] from None

    def _index(self) -> int:
        return cuda.current_device() if self.device.index is None else self.device.index

    def _forget_recording(self, random_state: Tensor) -> None:
        """After a recording that broke off, the device's random
        generator believes that it still goes on: it gets a new state.
        """
        fresh = torch.Generator(self.device)
        fresh.set_state(random_state)
        cuda.default_generators[self._index()].graphsafe_set_state(fresh.graphsafe_get_state())


def close_pool(device: int, pool: tuple[int, int]) -> None:
    """After a recording that broke off: PyTorch goes on sending
    allocations to its memory, and holds it for good. Both end here.
    """
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        with contextlib.suppress(RuntimeError, AttributeError):  # it was closed after all
            getattr(torch._C, name)(device, pool)


class Captured:
    """Replays `function(*inputs, variant=...)`; inputs keep their shapes and types. It changes
    `parts` and the optimizer's state: the runs before a recording are undone, so that a captured
    training goes the same way as one that is not.
    """

    def __init__(
        self,
        function: Function,
        parts: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        recorder: Recorder,
    ) -> None:
        self.function, self.parts, self.optimizer = function, parts, optimizer
        self.recorder = recorder
        self.graphs: dict[Hashable, tuple[cuda.CUDAGraph, Report]] = {}
        self.inputs: list[Tensor | None] = []

    def prepare(self, inputs: Sequence[Tensor | None], variant: Hashable) -> None:
        """Take the inputs, and record the variant if it
        is new. Whatever this raises, nothing has changed.
        """
        if not self.inputs:
            self.inputs = [None if given is None else given.clone() for given in inputs]
        if len(self.inputs) != len(inputs):
            raise ValueError("an input of a recorded update came or went")
        for own, given in zip(self.inputs, inputs, strict=True):
            if own is None or given is None:
                if own is not given:
                    raise ValueError("an input of a recorded update came or went")
                continue
            if own.shape != given.shape or own.dtype != given.dtype:
                raise ValueError(
                    f"an input of a recorded update changed to {given.dtype} {list(given.shape)}"
                )
            own.copy_(given, non_blocking=True)
        if variant not in self.graphs:
            self._record(variant)

    def replay(self, variant: Hashable) -> Report:
        """One run on the inputs that were prepared. What it
        raises came after changes, and must not be tried again.
        """
        graph, report = self.graphs[variant]
        graph.replay()
        # The graph's own outputs are overwritten by the next replay.
        gradient = None if report.gradient is None else report.gradient.clone()
        return Report(report.names, report.values.clone(), gradient)

    def _record(self, variant: Hashable) -> None:
        def run() -> Report:
            return self.function(*self.inputs, variant=variant)

        snapshot = Snapshot(self.parts, self.recorder.device, self.optimizer)
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
