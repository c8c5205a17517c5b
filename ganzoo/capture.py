"""A function over tensors as CUDA graphs: recorded once for each variant, then replayed without the host's help."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from .update import Report

WARM_UP = 3  # runs before recording: lazy initialisations and library autotuning must not be recorded
Function = Callable[..., Report]


class Captured:
    """Replays `function(*inputs, variant=...)`; inputs keep their shapes. `tensors` lists all state that the function changes:
    the warm-up runs are undone, so a captured training goes the same way as one that is not.
    """

    def __init__(self, function: Function, tensors: Callable[[], list[Tensor]], device: torch.device) -> None:
        self.function, self.tensors, self.device = function, tensors, device
        self.graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Report]] = {}
        self.inputs: list[Tensor | None] = []
        self.pool = torch.cuda.graph_pool_handle()

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
        before = {id(t): (t, t.detach().clone()) for t in self.tensors()}
        random_state = torch.cuda.get_rng_state(self.device)
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.function(*self.inputs, variant=variant)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        with torch.no_grad():
            for tensor in self.tensors():
                if id(tensor) in before:
                    tensor.copy_(before[id(tensor)][1])
                else:
                    tensor.zero_()  # an optimizer's state, made by its first step
        torch.cuda.set_rng_state(random_state, self.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            report = self.function(*self.inputs, variant=variant)
        self.graphs[variant] = (graph, report)
