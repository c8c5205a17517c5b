"""Trainings by several ranks and by one: `run_ranks(configs, ranks, folder)`."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Regularizer
from ganzoo.distributed.ranks import join
from ganzoo.distributed.sharding import own_part
from ganzoo.spec import Dataset
from ganzoo.training.loop import Training


def two(*, resolution=(8, 8)):
    """Two sets of small pictures, of which no two belong together."""
    drawn = torch.Generator().manual_seed(0)
    shape = (2, 64, 1, *resolution)
    one, other = torch.randint(0, 256, shape, generator=drawn, dtype=torch.uint8)
    return Dataset(one, others={"other": Dataset(other)})


class Fickle(Regularizer):
    """A penalty that is another one where nets are spread over ranks, and says nothing."""

    def penalty(self, step):
        return step.real_logits.mean() * (2 if hasattr(step.net, "reshard") else 1)


REGISTRY = Registry(
    [
        *zoo().registry.components(),
        Component("dataset", "two", two, "tests", "tests", "0"),
        Component("regularizer", "fickle", Fickle, "tests", "tests", "0"),
    ]
)


def run_ranks(configs, ranks, folder, timeout=300, exact=False):
    """What each configuration's training ends with, {name: tensor}, by so many ranks; exact: in
    float64, where what is more than rounding shows after a few updates.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "configs.json").write_text(json.dumps(configs))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    about |= {"TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder), *["exact"] * exact]
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | about | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    errors = [process.communicate(timeout=timeout)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(errors)
    return [load_file(folder / f"{number}.safetensors") for number in range(len(configs))]


def ended(config, ranks):
    """Weights, buffers, average and optimizers at the end of a training; how many numbers this
    rank keeps of both nets' weights and optimizers.
    """
    tree = configuration.merge(configuration.defaults(), config)
    training = Training(assemble(configuration.check(tree), REGISTRY, ranks=ranks))
    training.engine.reduce = torch.get_default_dtype()
    training.run()
    state = training.whole_state()
    found = {}
    for group, content in state.items():
        for name, value in content.items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                found[f"{group}/{name}"] = value.detach().clone().contiguous()
    held = [p for net in training.pipeline.parts.nets.values() for p in net.parameters()]
    for optimizer in training.pipeline.optimizers.values():
        held += [value for entry in optimizer.state.values() for value in entry.values()]
    return found, sum(own_part(value).numel() for value in held)


def differences(one, other, tolerance=2e-5):
    """What differs by more than rounding; a log line's values are of the first rank alone."""
    assert one.keys() == other.keys()
    found = {}
    for name, value in one.items():
        apart = (value - other[name]).abs().max().item() if value.numel() else 0.0
        if apart > tolerance * max(1.0, value.abs().max().item()):
            found[name] = apart
    return found


def widen():
    """Let this process compute in float64."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double


if __name__ == "__main__":
    if "exact" in sys.argv:
        widen()
    ranks = join("cpu")
    place = Path(sys.argv[1])
    for number, config in enumerate(json.loads((place / "configs.json").read_text())):
        print(config, file=sys.stderr)  # what it was that failed
        found, kept = ended(config, ranks)
        if ranks.first:
            (place / f"{number}.kept").write_text(str(kept))
            save_file(found, place / f"{number}.safetensors")
    ranks.leave()
