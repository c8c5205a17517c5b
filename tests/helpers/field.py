"""What the field built, as third-party parts of tests/parts and as what a training is made of."""

from importlib.metadata import entry_points

import torch
from parts.fakes import entries

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components import loading as plugins
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Dataset

PARTS = (
    "scales",
    "growing",
    "projected",
    "waves",
    "recurrent",
    "videos",
    "tables",
    "lookahead",
    "critics",
    "classes",
    "descriptions",
    "domains",
    "alone",
    "diffusing",
    "several",
)
TINY = {
    "data": {"name": "few"},
    "train": {"batch_size": 8, "images": 16, "device": "cpu", "engine": "eager"},
    "average": {"half_life": 100},
    "samples": {"count": 4},
    "log": {"images": 1},
}
FIELD = {
    "MSG-GAN": {
        "game": {"name": "all-stages"},
        "gen": {"name": "staged"},
        "disc": {"name": "all-scales"},
        "loss": {"name": "wgan"},
        "reg": {"gp": {}},
    },
    "LAPGAN": {
        "game": {"name": "pyramid"},
        "gen": {"name": "finer", "small": {"name": "mlp", "latent_dim": 4}},
        "disc": {"name": "dcgan", "width": 8},
    },
    "SinGAN": {
        "game": {"name": "pyramid"},
        "data": {"name": "one-picture"},
        "gen": {"name": "finer", "small": {"name": "mlp", "latent_dim": 4}},
        "disc": {"name": "dcgan", "width": 8, "norm": "none"},
        "loss": {"name": "wgan"},
        "reg": {"gp": {}},
    },
    "progressive growing": {
        "gen": {"name": "growing", "grown": {"from": 0.0, "to": 2.0}},
        "disc": {"name": "growing", "grown": {"from": 0.0, "to": 2.0}},
        "reg": {"drift": {}},
    },
    "Projected GAN": {
        "gen": {"name": "mlp"},
        "disc": {"name": "projected"},
        "loss": {"name": "hinge"},
    },
    "mean teacher": {
        "gen": {"name": "mlp"},
        "disc": {"name": "dcgan", "width": 8},
        "reg": {"teacher": {}},
    },
    "learned spectral scale": {
        "gen": {"name": "mlp"},
        "disc": {"name": "dcgan", "width": 8},
        "reg": {"scaled-norm": {}},
    },
    "WaveGAN": {
        "data": {"name": "waves"},
        "gen": {"name": "wavegan"},
        "loss": {"name": "wgan"},
        "reg": {"gp": {}},
    },
    "C-RNN-GAN": {
        "data": {"name": "hums"},
        "gen": {"name": "recurrent"},
        "reg": {"featmatch": {}},
    },
    "Gumbel text": {
        "data": {"name": "names"},
        "gen": {"name": "recurrent", "temperature": {"from": 2.0, "to": 0.5}},
        "reg": {"r1": {}},
    },
    "boundary-seeking text": {
        "data": {"name": "names"},
        "gen": {"name": "sampled"},
        "loss": {"name": "boundary"},
    },
    "VGAN": {"data": {"name": "films"}, "gen": {"name": "two-streams"}, "reg": {"r1": {}}},
    "MoCoGAN": {"data": {"name": "films"}, "gen": {"name": "motion"}, "reg": {"r1": {}}},
    "CTGAN": {
        "data": {"name": "modal-rows"},
        "given": {"chosen": {}},
        "gen": {"name": "rows"},
        "loss": {"name": "wgan"},
        "reg": {"told": {}, "gp": {}},
    },
    "extragradient": {
        "gen": {"name": "mlp"},
        "train": {"updates": "simultaneous"},
        "optim": {"gen": {"name": "extragradient"}, "disc": {"name": "extragradient"}},
    },
    "optimism": {
        "gen": {"name": "mlp"},
        "optim": {"gen": {"name": "optimistic"}, "disc": {"name": "optimistic"}},
    },
    "consensus": {
        "gen": {"name": "mlp"},
        "train": {"conditional": False},
        "reg": {"consensus": {}},
    },
    "MMD GAN": {
        "gen": {"name": "mlp"},
        "disc": {"name": "embedding"},
        "loss": {"name": "mmd"},
        "reg": {"gp": {}},
    },
    "Cramer GAN": {
        "gen": {"name": "mlp"},
        "disc": {"name": "embedding"},
        "loss": {"name": "cramer"},
        "reg": {"cramer-slope": {}},
    },
    "Sobolev GAN": {
        "gen": {"name": "mlp"},
        "disc": {"name": "mlp"},
        "loss": {"name": "wgan"},
        "reg": {"sobolev": {}},
    },
    "Fisher GAN": {
        "gen": {"name": "mlp"},
        "disc": {"name": "mlp"},
        "loss": {"name": "wgan"},
        "reg": {"fisher": {}},
    },
    "WGAN with clipped weights": {
        "gen": {"name": "mlp"},
        "disc": {"name": "mlp"},
        "loss": {"name": "wgan"},
        "reg": {"clip": {}},
        "train": {"n_critic": 2},
    },
    "DRAGAN": {"gen": {"name": "mlp"}, "disc": {"name": "mlp"}, "reg": {"dragan": {}}},
    "AC-GAN as a loss": {
        "gen": {"name": "mlp"},
        "disc": {"name": "mlp"},
        "loss": {"name": "class-loss"},
    },
    "rotations": {"gen": {"name": "mlp"}, "disc": {"name": "turning"}, "reg": {"rotations": {}}},
    "a frozen classifier": {"gen": {"name": "mlp"}, "reg": {"guided": {}}},
    "text to image": {
        "data": {"name": "described"},
        "gen": {"name": "told"},
        "loss": {"name": "lsgan"},
        "reg": {"matching": {}, "between": {}},
    },
    "CoGAN": {
        "data": {"name": "two-domains"},
        "game": {"name": "coupled"},
        "gen": {"name": "drawing"},
        "disc": {"name": "mlp"},
        "reg": {"shared": {}},
    },
    "UNIT": {
        "data": {"name": "two-domains"},
        "game": {"name": "meeting"},
        "gen": {"name": "drawing"},
        "disc": {"name": "mlp"},
        "enc": {"name": "mlp"},
        "reg": {"shared": {}},
    },
    "GLO": {"data": {"name": "numbered"}, "game": {"name": "of-codes"}, "gen": {"name": "coded"}},
    "IMLE": {"game": {"name": "of-nearest"}, "gen": {"name": "mlp"}},
    "denoising diffusion GAN": {
        "game": {"name": "diffusing"},
        "gen": {"name": "denoiser"},
        "disc": {"name": "mlp"},
        "reg": {"r1": {}},
    },
    "D2GAN": {"gen": {"name": "mlp"}, "disc": {"name": "two-judges"}, "loss": {"name": "two-aims"}},
    "MAD-GAN": {"gen": {"name": "many"}, "disc": {"name": "which-one"}, "reg": {"members": {}}},
    "LOGAN": {"game": {"name": "latent-steps"}, "gen": {"name": "mlp"}, "disc": {"name": "mlp"}},
}


def _waves(length):
    stream = torch.Generator().manual_seed(0)
    return Dataset(torch.randn(32, 1, length, generator=stream).clamp(-1, 1))


def _waves_long():
    return _waves(32)


def _hums():
    return _waves(6)


def _names():
    stream = torch.Generator().manual_seed(0)
    symbols = torch.randint(0, 4, (40, 5), generator=stream)
    return Dataset(symbols, alphabet=("", "a", "b", "c"))


def _films():
    stream = torch.Generator().manual_seed(0)
    return Dataset(torch.randint(0, 256, (24, 1, 4, 8, 8), generator=stream, dtype=torch.uint8))


def _few():
    stream = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (40, 1, 8, 8), generator=stream, dtype=torch.uint8)
    return Dataset(pictures, torch.arange(40) % 3, ("a", "b", "c"))


DATA = {"waves": _waves_long, "hums": _hums, "names": _names, "films": _films, "few": _few}


def registry_of(site):
    """The built-ins, tests/parts as a distribution of their own, and small data sets."""
    parts = entries(site, "ganzoo-field", {name: f"parts.{name}" for name in PARTS})
    zoo = plugins.load([*entry_points(group=plugins.GROUP), *parts])
    assert zoo.broken == []
    data = [Component("dataset", name, make, "tests", "tests", "0") for name, make in DATA.items()]
    return Registry([*zoo.registry.components(), *data])


def pipeline(registry, idea, **sections):
    tree = configuration.defaults()
    for layer in (TINY, FIELD[idea], sections):
        tree = configuration.merge(tree, layer)
    return assemble(configuration.check(tree), registry)
