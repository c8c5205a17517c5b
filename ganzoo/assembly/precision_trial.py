"""Whether bf16 pays on this processor, found by trying the assembled update in both precisions."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time

import torch

from ..contracts import Spec
from ..engine.engine import SIDES, only
from ..engine.losses import Parts, arrange, losses
from ..engine.simulation import inputs

SECONDS = 1.0  # that a trial may take
PAIRS = 4  # of updates, at most, beside the first of each, which allocates
SMALL = 4  # samples of the update by which a batch is chosen that fits the time
MARGIN = 1.1  # how many times as fast bf16 must be: what is lost in exactness is to be paid for


def bf16_gain(parts: Parts, spec: Spec, batch: int, seconds: float = SECONDS) -> float:
    """How many times as fast an update of both nets is in bf16 as in fp32, tried on copies in
    turns, in about `seconds`; 0 where it fails in bf16 or is not finite.

    Weights, buffers, gradients and random states stay as they are. Large updates are tried on
    fewer samples.
    """
    variants = []
    for precision in ("fp32", "bf16"):
        variant = dataclasses.replace(copy.deepcopy(parts), precision=precision)
        arrange(variant, spec, torch.device("cpu"))
        variants.append(variant)
    with torch.random.fork_rng(devices=[]):
        began = once = time.perf_counter()
        for _ in range(2):
            once = time.perf_counter()
            _update(variants[0], spec, min(batch, SMALL))
        once = time.perf_counter() - once
        share = seconds / (2 * PAIRS + 2) / max(once, 1e-6)  # of the time, for one update
        batch = min(batch, max(SMALL, int(SMALL * share)))
        try:
            if not all(_update(variant, spec, batch) for variant in variants):
                return 0.0
        except (RuntimeError, NotImplementedError):  # an operation that bf16 has not
            return 0.0
        ratios: list[float] = []
        while len(ratios) < PAIRS and (not ratios or time.perf_counter() - began < seconds):
            marks = [time.perf_counter()]
            for variant in variants if len(ratios) % 2 == 0 else reversed(variants):
                _update(variant, spec, batch)
                marks.append(time.perf_counter())
            first, second = marks[1] - marks[0], marks[2] - marks[1]
            ratios.append(first / second if len(ratios) % 2 == 0 else second / first)
    return statistics.median(ratios)


def _update(parts: Parts, spec: Spec, batch: int) -> bool:
    """Losses and gradients of both sides on a batch of noise; whether all terms are finite."""
    noise, latents = inputs(parts, spec, batch)
    noise.samples.normal_()
    finite = True
    for side in SIDES:
        net = parts.net(side)
        with only(net, parts.rival(side)):
            net.zero_grad()
            total = losses(parts, side)(noise, latents, torch.zeros(()), parts.due(side, 0))[0]
            total.backward()
        finite = finite and bool(total.isfinite())
    return finite
