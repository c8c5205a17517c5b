"""The generator file of nets whose weights are computed from others."""

import random

import pytest
import torch

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly import assemble
from ganzoo.errors import BadFile
from ganzoo.plugins import zoo
from ganzoo.training import Training

SMALL = {
    "train": {"images": 64, "batch_size": 16, "device": "cpu", "engine": "eager"},
    "samples": {"count": 4},
    "checkpoint": {"images": 16},
    "disc": {"width": 4},
    "data": {"resolution": 8},
    "reg": {"sn": {"side": "both"}},
}


@pytest.mark.parametrize("name", ["mlp", "dcgan"])
def test_spectral_norm_on_the_generator_is_saved_again_and_again(tmp_path, name):
    tree = configuration.merge(
        configuration.defaults(), SMALL | {"gen": {"name": name, "width": 4, "latent_dim": 4}}
    )
    training = Training(assemble(configuration.check(tree), zoo().registry), tmp_path)
    training.run()  # writes the file four times, and goes on after each
    loaded = ganzoo.load(tmp_path / "generator.safetensors")
    assert torch.equal(
        loaded.sample(5, seed=1),
        ganzoo.sampling.sample(training.pipeline.average.net, 5, 1, spec=loaded.spec),
    )
    assert not any("parametrizations" in key for key in loaded.net.state_dict())
    assert any("parametrizations" in key for key in training.pipeline.average.net.state_dict())


def test_a_flipped_bit_in_the_weights_is_found(trained, tmp_path):
    content = (trained / "generator.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for place in random.Random(0).sample(range(start, len(content)), 50):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "generator.safetensors").write_bytes(damaged)
        with pytest.raises(BadFile, match="damaged"):
            ganzoo.load(tmp_path / "generator.safetensors")
    ganzoo.load(trained / "generator.safetensors")
