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
from ganzoo.distributed.ranks import join
from ganzoo.training.loop import Training


def run_ranks(configs, ranks, folder, timeout=300):
    """What each configuration's training ends with, {name: tensor}, by so many ranks."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "configs.json").write_text(json.dumps(configs))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    about |= {"TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder)]
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
    """Weights, buffers, average and optimizers at the end of a training."""
    tree = configuration.merge(configuration.defaults(), config)
    registry = zoo().registry
    training = Training(assemble(configuration.check(tree), registry, ranks=ranks))
    training.run()
    state = training.state_dict()
    found = {}
    for group, content in state.items():
        for name, value in content.items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                found[f"{group}/{name}"] = value.detach().clone().contiguous()
    return found


if __name__ == "__main__":
    ranks = join("cpu")
    place = Path(sys.argv[1])
    for number, config in enumerate(json.loads((place / "configs.json").read_text())):
        found = ended(config, ranks)
        if ranks.first:
            save_file(found, place / f"{number}.safetensors")
    ranks.leave()
