"""The ideas of tests/parts, as a distribution's components and as what a training is made of."""

from importlib.metadata import entry_points

import torch
from parts.fakes import entries

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components import loading as plugins
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Dataset, Tracker


class Heard(Tracker):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def log(self, record):
        self.lines.append(record)


PARTS = (
    "conditional",
    "auxiliary",
    "path_length",
    "adaptive",
    "packing",
    "consistency",
    "signals",
    "games",
)
TINY = {
    "train": {"batch_size": 8, "images": 24, "device": "cpu", "engine": "eager"},
    "samples": {"count": 4},
    "log": {"images": 1},
}
IDEAS = {
    "projection": {
        "gen": {"name": "labelled"},
        "disc": {"name": "projection"},
        "reg": {"r1": {"weight": 1.0}},
    },
    "auxiliary": {
        "gen": {"name": "labelled"},
        "disc": {"name": "classifying"},
        "reg": {"auxiliary": {}},
    },
    "path length": {"gen": {"name": "mapped"}, "reg": {"path-length": {"every": 1}, "gp": {}}},
    "adaptive": {"aug": {"adaptive": {"rate": 0.25}}, "reg": {"r1": {}}},
    "packing": {
        "aug": {"packing": {"m": 4}},
        "reg": {"gp": {}, "r2": {}},
        "loss": {"name": "rpgan"},
    },
    "packing points": {
        "aug": {"packing": {"m": 2}},
        "gen": {"name": "mlp"},
        "data": {"name": "ring"},
        "reg": {"gp": {}},
    },
    "consistency": {"reg": {"consistency": {"shift": 2}, "noise": {}, "r1": {}}},
    "packed, adaptive, consistent": {
        "aug": {"adaptive": {}, "packing": {}},
        "reg": {"consistency": {}, "gp": {}},
    },
}


def registry_of(site):
    """The built-ins, the parts of tests/parts as a distribution
    of their own, and a small set of labelled pictures.
    """
    parts = entries(site, "ganzoo-parts", {name: f"parts.{name}" for name in PARTS})
    zoo = plugins.load([*entry_points(group=plugins.GROUP), *parts])
    assert zoo.broken == []
    stream = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (40, 1, 8, 8), generator=stream, dtype=torch.uint8)
    few = Dataset(pictures, torch.arange(40) % 3, ("a", "b", "c"))
    return Registry(
        [
            *zoo.registry.components(),
            Component("dataset", "few", lambda: few, "tests", "tests", "0"),
        ]
    )


def pipeline(registry, idea, **sections):
    tree = configuration.merge(
        configuration.defaults(), {"gen": {"name": "dcgan"}, "data": {"name": "few"}}
    )
    for layer in (TINY, {"gen": {"name": "mlp"}}, idea, sections):
        tree = configuration.merge(tree, layer)
    return assemble(configuration.check(tree), registry)
