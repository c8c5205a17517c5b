"""Run folders as trainings leave them, without their nets."""

import json

import tomlkit

from ganzoo import config as configuration

LINE = {
    "images": 2000,
    "updates": 20,
    "rank": 0.6,
    "discriminator": {"total": 1.25},
    "generator": {"total": 0.5},
    "health": "balanced: discriminator right 60% of the time",
}
PROTOCOL = {"data": "ring", "fake": 1000, "real": 1000, "seeds": 2, "features": "pixels"}


def made(root, name, lines=(LINE,), scores=(), **layer):
    """A run folder as a training leaves it, without its nets."""
    folder = root / name
    (folder / "checkpoints").mkdir(parents=True)
    tree = configuration.merge(configuration.defaults(), {"train": {"images": 2000}})
    config = configuration.check(configuration.merge(tree, layer))
    (folder / "run.toml").write_text(
        tomlkit.dumps({k: v for k, v in config.tree().items() if v or v is False})
    )
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if scores:
        (folder / "scores.jsonl").write_text("".join(json.dumps(s) + "\n" for s in scores))
    return folder


def score(metric, images=2000, protocol=PROTOCOL, **figures):
    """A line of scores.jsonl; each figure by its values over sample seeds."""
    found = {
        name: {"value": sum(values) / len(values), "values": values, "floor": 0.5, "larger": False}
        for name, values in figures.items()
    }
    about = {"date": "2026-11-22T00:00:00Z", "protocol": dict(protocol)}
    return {"metric": metric, "images": images, "figures": found, **about}
