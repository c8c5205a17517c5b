"""Whether bf16 pays on this processor: never where a plain product is no faster in it, else found
by trying the assembled update in both precisions. What a trial found is remembered on this machine,
so that a command that is given twice computes alike, whatever else the machine is doing.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import os
import secrets
import statistics
import time
from pathlib import Path

import torch

from ..contracts import Spec
from ..data.cache import cache_folder
from ..engine.devices import processor
from ..engine.engine import SIDES, only
from ..engine.losses import Parts, arrange, losses
from ..engine.simulation import inputs
from ..io.files import write_text
from ..io.untrusted_files import read_limited

SECONDS = 1.0  # that a trial may take
PAIRS = 4  # of updates, at most, beside the first of each, which allocates
SMALL = 4  # samples of the update by which a batch is chosen that fits the time
MARGIN = 1.1  # how many times as fast bf16 must be: what is lost in exactness is to be paid for
SIDE = 512  # of the matrices of a plain product: a millisecond, which a busy machine leaves whole
TURNS = 9
VERSION = 1  # of how a trial is made
SIZE = 1 << 10  # bytes of what is remembered, at most


def settled_gain(parts: Parts, spec: Spec, batch: int) -> float:
    """How many times as fast bf16 is here: of a plain product, where that is below `MARGIN`; else
    of an update of both nets, as the first trial of such a pipeline on this machine found it.
    """
    plain = product_gain()
    if plain < MARGIN:
        return plain
    path = cache_folder() / "precision" / f"{_identity(parts, spec, batch)}.json"
    found = _remembered(path)
    return _remember(path, bf16_gain(parts, spec, batch)) if found is None else found


def product_gain() -> float:
    """How many times as fast a plain product on one thread is in bf16 as in fp32, by the quickest
    of several, which other work on the machine hardly moves.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    quickest = dict.fromkeys((torch.float32, torch.bfloat16), math.inf)
    try:
        matrices = {kind: torch.full((SIDE, SIDE), 0.5, dtype=kind) for kind in quickest}
        for _ in range(TURNS):
            for kind, matrix in matrices.items():
                began = time.perf_counter()
                torch.mm(matrix, matrix)
                quickest[kind] = min(quickest[kind], time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return quickest[torch.float32] / quickest[torch.bfloat16]


def _identity(parts: Parts, spec: Spec, batch: int) -> str:
    """Of what a trial depends on: the machine, the weights' shapes, who computes with them."""
    work = {
        section: [
            f"{type(module).__module__}.{type(module).__qualname__}",
            [list(p.shape) for p in module.parameters()],
        ]
        for section, module in parts.sections().items()
    }
    machine = [processor(), torch.get_num_threads(), torch.__version__]
    text = json.dumps([VERSION, machine, work, parts.differentiation, list(spec.shape), batch])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _remembered(path: Path) -> float | None:
    try:
        found = float(json.loads(read_limited(path, SIZE))["gain"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _remember(path: Path, gain: float) -> float:
    """What is remembered from here on: this, or what another process was quicker to find; this
    too where nothing can be written.
    """
    own = path.with_name(f"{path.stem}-{os.getpid()}-{secrets.token_hex(4)}.json")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(own, json.dumps({"gain": gain}))
        try:
            os.link(own, path)  # fails where there is one
        except OSError:
            other = _remembered(path)
            if other is not None:
                gain = other
            else:  # damaged, or on a disk without links
                own.replace(path)
        finally:
            own.unlink(missing_ok=True)
    return gain


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
