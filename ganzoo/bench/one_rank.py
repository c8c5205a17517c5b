"""One of several ranks that are timed together, started by torchrun:
`python -m ganzoo.bench.one_rank JOB`. The first writes what was found, or what went wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import config as configuration
from ..assembly.assembling import assemble
from ..components.loading import zoo
from ..distributed import ranks as joining
from ..distributed.ranks import RankGone, Ranks
from ..engine.randomness import forked
from ..errors import GanzooError, UsageError
from ..io.files import write_text
from ..training.loop import Training
from .machine_limits import machine
from .speed import adjusted
from .timing import WARM_UP, Ticking, wait

FIELDS = ("message", "section", "key", "value", "source", "remedy", "change")  # of an error


class Messages:
    """Times the messages of updates, on the device's own clock, and counts them and their bytes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0
        self.count = 0
        self._marks: list[tuple[Any, Any]] = []

    @contextlib.contextmanager
    def timed(self, message: Tensor) -> Iterator[None]:
        """Around one message."""
        self.bytes += message.nbytes
        self.count += 1
        began = self._mark()
        yield
        self._marks.append((began, self._mark()))

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def seconds(self) -> float:
        """Of all messages together."""
        wait(self.device)
        if self.device.type == "cuda":
            return float(sum(a.elapsed_time(b) for a, b in self._marks)) / 1e3
        return float(sum(b - a for a, b in self._marks))


def measure(job: dict[str, Any], ranks: Ranks) -> dict[str, Any]:
    """Trains what the job says for some seconds, without a run folder, and says how fast."""
    registry = zoo().registry
    meant = {(kind, name): owner for kind, name, owner in job["meant"]}
    config = adjusted(configuration.check(job["config"]))
    pipeline = assemble(config, registry.meaning(meant), ranks=ranks)
    ticking = Ticking(pipeline.device)
    said: list[str] = []
    training = Training(pipeline, tick=ticking.tick, tell=said.append)
    ticking.training = training
    sides = [*training.engine.plain]
    ranks.equal_weights([pipeline.parts.net(side) for side in sides])
    with forked(pipeline.device):
        ticking.run(WARM_UP)  # compiles, allocates, and meets the others
        pace = statistics.median(ticking.laps.seconds())
        count = ranks.agree(max(WARM_UP, round(job["seconds"] / pace)))[0]
        ticking.laps.clear()
        messages = Messages(pipeline.device)
        ranks.timed = messages.timed
        ticking.run(count)
        ranks.timed = None
    laps = ticking.laps.seconds()
    item = 2 if config.train.reduce == "bf16" else 4
    gradients = {
        side: sum(p.numel() for p in pipeline.parts.net(side).parameters() if p.requires_grad)
        for side in sides
    }
    rounds = count + 1  # the first of a run is no lap, but sends
    return {
        "ranks": ranks.count,
        "batch_size": config.train.batch_size,
        "images_per_second": config.train.batch_size
        * config.train.n_critic
        / statistics.mean(laps),
        "update_seconds": statistics.mean(laps),
        "updates": len(laps),
        "engine": training.engine.mode,
        "gradient_bytes": {side: numbers * item for side, numbers in gradients.items()},
        "messages": messages.count / rounds,
        "message_bytes": messages.bytes / rounds,
        "message_share": messages.seconds() / rounds / statistics.mean(laps),
        "machine": machine(pipeline.device),
        "shape": list(pipeline.spec.shape),
    }


def main() -> int:
    """Run the job of the first argument; returns the exit code."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    ranks = None
    try:
        ranks = joining.join(job["config"]["train"]["device"])
        found = measure(job, ranks)
        if ranks.first:
            write_text(Path(job["out"]), json.dumps(found))
    except GanzooError as error:
        fields = {name: getattr(error, name) for name in FIELDS}
        told = {"usage": isinstance(error, UsageError), "fields": fields}
        if not isinstance(error, RankGone):  # the other one says why
            write_text(Path(f"{job['out']}.{os.getpid()}"), json.dumps(told, default=str))
        return 1
    finally:
        if ranks is not None:
            ranks.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
