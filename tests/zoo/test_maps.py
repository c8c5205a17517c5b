"""Nets on maps, as the latents of an encoder are: numbers without ends, kept as they are, and
decoded by whoever encoded them.
"""

import numpy as np
import pytest
import torch
from ganzoo_plugins.metrics.sliced import sliced_distance
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

import ganzoo
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.engine.randomness import reseed
from ganzoo.errors import Incompatible

SHAPE = (4, 4, 4)
NET = {"name": "gat", "width": 64, "depth": 2, "patch": 1}
# Sums and differences of the four pixels of a square: an encoder that loses nothing.
SQUARE = torch.tensor(
    [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0]]
)


def encode(pictures):
    return torch.einsum("kc,nchw->nkhw", SQUARE / 2, pixel_unshuffle(pictures, 2))


def decode(maps):
    return pixel_shuffle(torch.einsum("kc,nkhw->nchw", SQUARE / 2, maps), 2)


@pytest.mark.parametrize("name", ["gat", "mlp"])
def test_a_generator_of_maps_has_no_ends_where_that_of_images_has(name):
    drawn = {}
    for unbounded in (False, True):
        reseed(0)
        options = {"width": 64, "depth": 2}
        net = zoo().registry.create("generator", name, Spec(SHAPE, unbounded=unbounded), **options)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(3)
        drawn[unbounded] = net(torch.randn(8, net.latent_dim))
    assert torch.allclose(drawn[False], drawn[True].tanh()) and drawn[True].abs().max() > 1


def test_nets_of_images_refuse_maps():
    spec = Spec((3, 32, 32), unbounded=True)
    with pytest.raises(Incompatible, match="works on images, not on map"):
        zoo().registry.create("generator", "resnet", spec)


@pytest.mark.usefixtures("one_thread")
def test_a_training_on_latents_draws_what_decodes_to_pictures(tmp_path):
    data = zoo().registry.get("dataset", "digits").create(resolution=(8, 8))
    pictures = data.batch(torch.arange(2000))[0]
    assert torch.allclose(decode(encode(pictures)), pictures, atol=1e-6)
    np.save(tmp_path / "latents.npy", encode(pictures).half().numpy())
    adam = {"name": "adam", "lr": 2e-3, "betas": [0.0, 0.99]}
    layers = {
        "data": {"name": str(tmp_path / "latents.npy")},
        "gen": {**NET, "latent_dim": 16},
        "disc": NET,
        "loss": {"name": "rpgan"},
        "reg": {"approx-r1": {"weight": 0.1}, "approx-r2": {"weight": 0.1}},
        "optim": {"gen": adam, "disc": adam},
        "train": {"images": 4000, "batch_size": 32, "device": "cpu", "precision": "fp32"},
        "average": {"half_life": 500},
    }
    ganzoo.train(layers, tmp_path / "run")
    loaded = ganzoo.load(tmp_path / "run")
    assert loaded.spec == Spec(SHAPE, unbounded=True)
    drawn = decode(loaded.sample(1000, seed=0))
    noise = decode(torch.randn(1000, *SHAPE))
    near, far = (sliced_distance(pictures[:1000], each) for each in (drawn, noise))
    assert near < 0.6 * far
