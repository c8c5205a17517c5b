"""How long a training waits for its data: the first and the
second start, and streaming beside samples that are resident.

`python -m benchmarks.data ZIP` prints, as JSON, the seconds
from the end of the imports to the first update of one training.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WIDTH = 8  # of the nets: small, so that the data weighs more


def tree(path: str, **data: Any) -> dict[str, Any]:
    """A configuration's sections over the defaults."""
    nets = {"width": WIDTH}
    return {
        "gen": nets,
        "disc": nets,
        "data": {"name": path, "resolution": 32, **data},
        "train": {"batch_size": 64},
    }


def start(path: str) -> dict[str, float]:
    """One start, in this process."""
    began = time.perf_counter()
    import torch._dynamo
    import torch._inductor.standalone_compile  # noqa: F401  (PyTorch imports both late, in the first optimizer or simulated tensor)

    from ganzoo import config as configuration
    from ganzoo.assembly.assembling import assemble
    from ganzoo.components.loading import zoo
    from ganzoo.training.loop import Training

    imported = time.perf_counter()
    config = configuration.check(configuration.merge(configuration.defaults(), tree(path)))
    training = Training(assemble(config, zoo().registry))
    training.goal = config.train.batch_size
    ends: list[float] = []
    training.tick = lambda images: ends.append(time.perf_counter())
    training.run()
    return {"imports": imported - began, "to_first_update": ends[0] - training.seconds - imported}


def starts(path: Path) -> dict[str, Any]:
    """A first start, with an empty cache, and a second one, each in a process of its own."""
    found: dict[str, Any] = {"data": path.name}
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"GANZOO_CACHE": cache}
        for name in ("first", "second"):
            command = [sys.executable, "-m", "benchmarks.data", str(path)]
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            found[name] = json.loads(done.stdout.splitlines()[-1])
    return found


def streaming(path: Path, seconds: float) -> dict[str, Any]:
    """A training whose data is four times the budget, beside one that holds it all."""
    from ganzoo import config as configuration
    from ganzoo.assembly.assembling import assemble
    from ganzoo.bench.timing import Ticking, Variant, interleave, paired_ratio
    from ganzoo.components.loading import zoo
    from ganzoo.training.loop import Training

    variants, size = [], 0
    for name in ("resident", "streamed"):
        data = (
            {"resident": "gpu"}
            if name == "resident"
            else {"resident": "auto", "budget": math.ceil(size / 4 / 2**20)}
        )
        config = configuration.check(
            configuration.merge(configuration.defaults(), tree(str(path), **data))
        )
        pipeline = assemble(config, zoo().registry)
        size = pipeline.dataset.samples.numel()
        ticking = Ticking(pipeline.device)
        training = ticking.training = Training(pipeline, tick=ticking.tick)
        if training.feed.resident != (name == "resident"):
            raise RuntimeError(f"the {name} training's data is not {name}")
        variants.append(Variant(name, 64, ticking.run, ticking.laps, pipeline.parts.precision))
        variants[-1].warm_up()
    interleave(variants, seconds, rounds=16)
    resident, streamed = variants
    return {
        "data": path.name,
        "megabytes": size / 2**20,
        "budget_megabytes": math.ceil(size / 4 / 2**20),
        "resident": 64 / resident.median,
        "streamed": 64 / streamed.median,
        "share": paired_ratio(resident, streamed),
        "updates": min(len(v.laps.seconds()) for v in variants),
    }


if __name__ == "__main__":
    print(json.dumps(start(sys.argv[1])))
