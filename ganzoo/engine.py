"""Runs updates: `eager`, `compiled` (the terms as one compiled function) or `captured` (compiled, then the whole update,
optimizer included, replayed as a CUDA graph). All three compute the same function.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .capture import Captured, Recorder
from .contracts import Side
from .update import Parts, Report, Terms, terms

RECOMPILES = 64
SIDES: tuple[Side, ...] = ("discriminator", "generator")


def compiled(function: Terms, backend: Any = "inductor") -> Terms:
    """The terms as one graph without a break."""
    # Dynamo counts recompiles of a code object, and every pipeline and every set of due regularizers is one of `terms`.
    dynamo = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, RECOMPILES)
    return torch.compile(function, fullgraph=True, dynamic=False, backend=backend)


class Engine:
    """Computes the terms, goes backward, steps the optimizer, lets constraints act.

    `mode` is what to try first; `tell` gets one line when it has to fall back to a slower one. `progress`, a tensor in 0..1, is
    the training's, so that schedules go on inside recorded updates.
    """

    def __init__(
        self,
        parts: Parts,
        optimizers: Mapping[Side, torch.optim.Optimizer],
        clips: Mapping[Side, tuple[float, float]],
        mode: str,
        progress: Tensor,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.parts, self.optimizers, self.clips, self.mode = parts, optimizers, clips, mode
        self.progress, self.tell = progress, tell
        self.plain = {side: terms(parts, side) for side in SIDES}
        self.terms = dict(self.plain)
        if mode != "eager":
            self.terms = {side: compiled(function) for side, function in self.plain.items()}
        self.captured: dict[Side, Captured] = {}
        if mode == "captured":
            self._make_capturable()
            recorder = Recorder(progress.device)
            self.captured = {
                side: Captured(self._runner(side), parts.sections(), optimizers[side], recorder)
                for side in SIDES
            }

    def update(
        self,
        side: Side,
        data: Tensor,
        labels: Tensor | None,
        latents: Tensor,
        number: int,
        measure: bool = False,
    ) -> Report:
        """One update of one side, the `number`-th; its report has the gradient's norm if `measure`."""
        due = self.parts.due(side, number)
        while True:
            try:
                if self.captured:
                    return self.captured[side]((data, labels, latents), (due, measure))
                return self._update(side, data, labels, latents, due, measure)
            except Exception as error:
                if self.mode == "eager" or isinstance(error, torch.OutOfMemoryError):
                    raise
                self._fall_back(error)

    def _update(
        self,
        side: Side,
        data: Tensor,
        labels: Tensor | None,
        latents: Tensor,
        due: tuple[str, ...],
        measure: bool,
    ) -> Report:
        parts, net, optimizer = self.parts, self.parts.net(side), self.optimizers[side]
        with only(net, parts.rival(side)):
            optimizer.zero_grad()  # to None: a recorded update then makes its gradients in its own memory, and adds nothing up
            total, names, values = self.terms[side](data, labels, latents, self.progress, due)
            total.backward()
        report = Report(names, values)
        largest, entry = self.clips[side]
        if measure or largest:
            gradients = [p.grad for p in net.parameters() if p.grad is not None]
            report.gradient = torch.nn.utils.get_total_norm(gradients)
            if largest:
                torch.nn.utils.clip_grads_with_norm_(net.parameters(), largest, report.gradient)
        if entry:
            torch.nn.utils.clip_grad_value_(net.parameters(), entry)
        optimizer.step()
        with torch.no_grad():
            for regularizer in parts.regularizers.values():
                if regularizer.on(side):
                    regularizer.after_update(net)
        return report

    # Capture.

    def _runner(self, side: Side) -> Callable[..., Report]:
        def run(
            data: Tensor,
            labels: Tensor | None,
            latents: Tensor,
            *,
            variant: tuple[tuple[str, ...], bool],
        ) -> Report:
            return self._update(side, data, labels, latents, *variant)

        return run

    def _make_capturable(self) -> None:
        """Learning rates as tensors, and step counters on the device."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                if not isinstance(group["lr"], Tensor):
                    group.setdefault("initial_lr", group["lr"])
                    group["lr"] = torch.tensor(float(group["lr"]), device=self.progress.device)
                if "capturable" in group:
                    group["capturable"] = True

    # Falling back.

    def _fall_back(self, error: Exception) -> None:
        """To the next slower way, with one line that names the component that stands in the way, if it can be told."""
        slower = "compiled" if self.mode == "captured" else "eager"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        culprit = self.parts.culprit(error) or "this pipeline"
        self.tell(f"engine {self.mode} does not take {culprit}: {reason[:160]}; using {slower}")
        self.mode, self.captured = slower, {}
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = float(group["lr"])
        if slower == "eager":
            self.terms = dict(self.plain)


@contextlib.contextmanager
def only(net: nn.Module, other: nn.Module) -> Iterator[None]:
    """Gradients for one net's weights only: the other's would be computed for nothing."""
    frozen = [p for p in other.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
