"""Runs updates: `eager`, `compiled` (the terms as one compiled function)
or `captured` (compiled, then the whole update, optimizer included,
replayed as a CUDA graph). All three compute the same function.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Batch, Discriminator, Generator, Side
from ..distributed.ranks import ALONE, Ranks
from ..distributed.sharding import is_spread, rest, settle, whole_of, whole_weights
from ..nn import whole
from ..spec import as_samples
from .capture import Captured, Recorder
from .health import figures
from .losses import Judged, Losses, Parts, Report, losses
from .snapshot import Snapshot

RECOMPILES = 64
SIDES: tuple[Side, ...] = ("discriminator", "generator")
Inputs = tuple[Batch, Tensor]  # and latents
# the regularizers that act, whether it is measured, and the names of what is given
Variant = tuple[tuple[str, ...], bool, tuple[str, ...]]
Computed = tuple[tuple[str, ...], Tensor, Judged]  # names, values, and what was judged


def compiled(function: Losses, backend: Any = "inductor") -> Losses:
    """The terms as one graph without a break."""
    # Dynamo counts recompiles of a code object, and every pipeline
    # and every set of due regularizers is one of `terms`.
    dynamo = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, RECOMPILES)
    return torch.compile(function, fullgraph=True, dynamic=False, backend=backend)


class Engine:
    """Computes the terms, goes backward, steps the optimizer, lets constraints act.

    `mode` is what to try first; `tell` gets one line when it has to fall back to a slower one.
    `progress`, a tensor in 0..1, is the training's, so that schedules go on inside recorded
    updates. `quiet` returns when the training's other threads leave the device alone; `rewrite`
    writes the learning rates once more, which a tensor holds to seven digits only. `accumulate`:
    equal parts that each batch is computed in, one after another. `ranks`: who computes the shares
    of a batch; gradients are averaged over them in `reduce`, a type of numbers.
    """

    def __init__(
        self,
        parts: Parts,
        optimizers: Mapping[Side, torch.optim.Optimizer],
        clips: Mapping[Side, tuple[float, float]],
        mode: str,
        progress: Tensor,
        tell: Callable[[str], None] = lambda line: None,
        quiet: Callable[[], None] = lambda: None,
        rewrite: Callable[[], None] = lambda: None,
        accumulate: int = 1,
        ranks: Ranks = ALONE,
        reduce: torch.dtype = torch.float32,
    ) -> None:
        self.parts, self.optimizers, self.clips, self.mode = parts, optimizers, clips, mode
        self.accumulate, self.ranks, self.reduce = accumulate, ranks, reduce
        self.progress, self.tell, self.rewrite = progress, tell, rewrite
        self.plain = {side: losses(parts, side) for side in SIDES}
        self.losses = dict(self.plain)
        if mode != "eager":
            self.losses = {side: compiled(function) for side, function in self.plain.items()}
        self._compiled: set[tuple[Side, tuple[str, ...]]] = set()  # what has run compiled
        self.captured: dict[Side, Captured] = {}
        if mode == "captured":
            self._make_capturable()
            recorder = Recorder(progress.device, quiet)
            self.captured = {
                side: Captured(self._runner(side), parts.sections(), optimizers[side], recorder)
                for side in SIDES
            }

    def update(
        self, side: Side, batch: Batch, latents: Tensor, number: int, measure: bool = False
    ) -> Report:
        """One update of one side, the `number`-th, on samples as they are stored.

        Its report has the gradient's norm and the signs of health if `measure`. What fails before
        anything has changed is done again in a slower way; what fails later is raised as it is.
        """
        inputs, due = (batch, latents), self.parts.due(side, number)
        variant = due, measure, tuple(batch.given)
        if self.captured and self._prepare(side, inputs, variant):
            return self.captured[side].replay(variant)
        return self._finish(side, inputs, self._gradients(side, inputs, due), measure)

    def together(
        self, updates: Sequence[tuple[Side, Batch, Tensor, int]], measure: bool = False
    ) -> list[Report]:
        """Updates of several sides, each against the others as they were before all of them."""
        computed = [
            self._gradients(side, (batch, latents), self.parts.due(side, number))
            for side, batch, latents, number in updates
        ]
        return [
            self._finish(side, (batch, latents), found, measure)
            for (side, batch, latents, _), found in zip(updates, computed, strict=True)
        ]

    def _prepare(self, side: Side, inputs: Inputs, variant: Variant) -> bool:
        """Whether a recording of the variant is ready with
        these inputs; if not, the engine has fallen back.
        """
        try:
            self.captured[side].prepare(_flat(inputs), variant)
            return True
        except torch.OutOfMemoryError:
            line = "engine captured: out of memory, which recordings take twice"
        except Exception as error:
            line = self._why_not(error)
        self._fall_back(line)  # here, where no traceback holds on to tensors any more
        return False

    def _finish(self, side: Side, inputs: Inputs, computed: Computed, measure: bool) -> Report:
        """Measure, and change the net by its gradients; never done twice."""
        names, values, judged = computed
        if self.ranks.count > 1:
            self._average(side, values)
        with self.ranks.as_one(len(inputs[1])):
            if measure and judged:
                real = judged[3] if len(judged) > 3 else inputs[0].samples
                more, numbers = figures(tuple(map(whole, judged[:3])), whole(real))
                names, values = names + more, torch.cat([values, numbers])
            report = Report(names, values)
            self._step(side, report, measure)
            self._observe(side, inputs)
        return report

    def _average(self, side: Side, values: Tensor) -> None:
        """Average gradients and what is reported over the ranks, in one message; the gradients of
        weights that are spread are averages already.
        """
        gradients = [p.grad for p in self.parts.net(side).parameters() if p.grad is not None]
        whole = [gradient for gradient in gradients if not is_spread(gradient)]
        self.ranks.average([*whole, values], self.reduce)

    def _drawing(self, inputs: Inputs) -> contextlib.AbstractContextManager[None]:
        """Within, losses see the statistics of all ranks, and draw for them where they can."""
        if self.mode == "eager":
            return self.ranks.as_one(len(inputs[1]) // self.accumulate)
        return self.ranks.with_own_draws()

    def _gradients(self, side: Side, inputs: Inputs, due: tuple[str, ...]) -> Computed:
        """Losses and gradients, which change nothing but the state that
        parts keep: done again in eager mode if the compiler fails.

        A compiler that fails on an update that it has compiled before does so before anything runs.
        """
        if self.mode == "eager":
            return self._backward(side, inputs, due)
        fresh = (side, due) not in self._compiled
        before = Snapshot(self.parts.sections(), self.progress.device) if fresh else None
        try:
            found = self._backward(side, inputs, due)
            self._compiled.add((side, due))
            return found
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if before is None and not isinstance(error, compiler_errors()):
                raise
            line = self._why_not(error)
        if before is not None:
            before.put_back()
            before.forget_new()
        self._fall_back(line)
        return self._backward(side, inputs, due)

    def _backward(self, side: Side, inputs: Inputs, due: tuple[str, ...]) -> Computed:
        found: list[Computed] = []
        frozen = only(self.parts.net(side), self.parts.rival(side))
        with frozen, self._drawing(inputs):
            if self.ranks.count > 1 and self.parts.slopes(due):
                settle(self.parts.nets.values())
            # To None: a recorded update then makes its
            # gradients in its own memory, and adds nothing up.
            self.optimizers[side].zero_grad()
            for batch, latents in in_parts(inputs, self.accumulate):
                total, names, values, judged = self.losses[side](batch, latents, self.progress, due)
                (total if self.accumulate == 1 else total / self.accumulate).backward()
                if self.ranks.count > 1:
                    rest(self.parts.nets.values())
                found.append((names, values, judged))
        if len(found) == 1:
            return found[0]
        joined = tuple(map(torch.cat, zip(*[judged for _, _, judged in found], strict=True)))
        return found[0][0], torch.stack([values for _, values, _ in found]).mean(0), joined

    def _step(self, side: Side, report: Report, measure: bool) -> None:
        net = self.parts.net(side)
        largest, entry = self.clips[side]
        if measure or largest:
            gradients = [p.grad for p in net.parameters() if p.grad is not None]
            report.gradient = whole_of(torch.nn.utils.get_total_norm(gradients))
            if largest:
                torch.nn.utils.clip_grads_with_norm_(net.parameters(), largest, report.gradient)
        if entry:
            torch.nn.utils.clip_grad_value_(net.parameters(), entry)
        self.optimizers[side].step()
        with torch.no_grad():
            acting = [r for r in self.parts.regularizers.values() if r.on(side) and r.moves]
            if acting:
                with whole_weights(self.parts.nets_of(side).values()):
                    for regularizer in acting:
                        regularizer.after_update(net)
            self.parts.game.after_update(side)

    @torch.no_grad()
    def _observe(self, side: Side, inputs: Inputs) -> None:
        """Let the updated nets move their buffers, where they define that."""
        for net in self.parts.nets_of(side).values():
            observe(net, *inputs)
        if self.ranks.count > 1:
            rest(self.parts.nets.values())

    # Capture.

    def _runner(self, side: Side) -> Callable[..., Report]:
        def run(*flat: Tensor | None, variant: Variant) -> Report:
            due, measure, names = variant
            inputs = _unflat(flat, names)
            return self._finish(side, inputs, self._backward(side, inputs, due), measure)

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

    def _why_not(self, error: Exception) -> str:
        """What failed, and the component that stands in the way if it can be told."""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        culprit = self.parts.culprit(error) or "this pipeline"
        return f"engine {self.mode} does not take {culprit}: {reason[:160]}"

    def _fall_back(self, line: str) -> None:
        """To the next slower way, for good; what the faster one held is freed."""
        slower = "compiled" if self.mode == "captured" else "eager"
        self.tell(f"{line}; using {slower}")
        if self.captured:
            self.captured = {}
            for optimizer in self.optimizers.values():
                optimizer.zero_grad()
            if self.progress.device.type == "cuda":
                gc.collect()
                torch.cuda.empty_cache()
        self.mode = slower
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = float(group["lr"])
        self.rewrite()
        if slower == "eager":
            self.losses = dict(self.plain)


def in_parts(inputs: Inputs, count: int) -> list[Inputs]:
    """Equal parts of a batch and its latents; of one part they are the batch itself."""
    if count == 1:
        return [inputs]
    batch, latents = inputs
    size = len(latents) // count
    return [
        (batch.each(lambda tensor, n=n: tensor[n * size :][:size]), latents[n * size :][:size])  # type: ignore[misc]
        for n in range(count)
    ]


def _flat(inputs: Inputs) -> tuple[Tensor | None, ...]:
    """The tensors of an update, which a recording copies each time."""
    batch, latents = inputs
    return batch.samples, batch.labels, batch.flips, latents, *batch.given.values()


def _unflat(flat: Sequence[Tensor | None], names: Sequence[str]) -> Inputs:
    """What `_flat` was given, with the names of what was given."""
    samples, labels, flips, latents, *given = flat
    batch = Batch(samples, labels, flips, dict(zip(names, given, strict=True)))  # type: ignore[arg-type]
    return batch, latents  # type: ignore[return-value]


def observe(net: Any, batch: Batch, latents: Tensor) -> None:
    """Let an updated net move its buffers, if it defines `observe`; on what its update had."""
    own = getattr(type(net), "observe", None)
    if own in (None, Generator.observe, Discriminator.observe):
        return
    drawing = isinstance(net, Generator)
    seen = latents if drawing else as_samples(batch.samples, batch.flips)
    labels = batch.labels if getattr(net, "conditional", False) else None
    net.observe(seen, labels, **{name: batch.given[name] for name in getattr(net, "reads", ())})


def compiler_errors() -> tuple[type[Exception], ...]:
    """What PyTorch's compiler raises before anything runs."""
    from torch._dynamo import exc

    return exc.TorchDynamoException, exc.FailOnRecompileLimitHit


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
