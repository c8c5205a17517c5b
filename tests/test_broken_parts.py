"""A part that fails when it is used ends in one line that names the plugin and the distribution, at the command line."""

import sys

import pytest
from parts.fakes import entries

from ganzoo import plugins

CODE = '''
import torch
from torch import nn
from ganzoo import hookimpl
from ganzoo.contracts import Augmentation, Dataset, Discriminator, Generator, Loss, Metric, Regularizer, Tracker

class Draws(Generator):
    """Draws."""
    def __init__(self, spec):
        super().__init__(spec, latent_dim=4)
        self.draw = nn.Linear(4, spec.numel)
    def forward(self, latents, labels=None):
        return self.draw(latents).view(-1, *self.spec.shape)

class DrawsNot(Draws):
    """Fails to draw."""
    def forward(self, latents, labels=None): raise ValueError("boom\\nbang")

class DrawsLittle(Draws):
    """Draws two samples, and no more."""
    def forward(self, latents, labels=None):
        if len(latents) > 2: raise ValueError("boom\\nbang")
        return super().forward(latents)

class Unbuilt(Draws):
    """Fails to be built."""
    def __init__(self, spec): raise ValueError("boom\\nbang")

class Judges(Discriminator):
    """Fails to judge."""
    def __init__(self, spec):
        super().__init__(spec)
        self.judge = nn.Linear(spec.numel, 1)
    def forward(self, samples, labels=None): raise ValueError("boom\\nbang")

class Loses(Loss):
    """Fails to lose."""
    def discriminator(self, step): raise ValueError("boom\\nbang")
    def generator(self, step): raise ValueError("boom\\nbang")

class Prepares(Regularizer):
    """Fails to prepare."""
    def prepare(self, generator, discriminator): raise ValueError("boom\\nbang")

class Punishes(Regularizer):
    """Fails to punish."""
    def penalty(self, step): raise ValueError("boom\\nbang")

class Changes(Augmentation):
    """Fails to change."""
    def forward(self, samples): raise ValueError("boom\\nbang")

def opens():
    """Fails to open."""
    raise ValueError("boom\\nbang")

def makes(params, *, lr: float = 0.1):
    """Fails to be made.

    lr: learning rate
    """
    raise ValueError("boom\\nbang")

class Unmeasured(Metric):
    """Fails to be built."""
    def __init__(self, spec): raise ValueError("boom\\nbang")

class Untold(Tracker):
    """Fails to be built."""
    def __init__(self): raise ValueError("boom\\nbang")

class Tires(Loss):
    """Fails in the third update."""
    def __init__(self):
        super().__init__()
        self.register_buffer("done", torch.zeros(()))
    def discriminator(self, step):
        self.done.add_(1)
        return torch.linalg.cholesky((2.5 - self.done).view(1, 1)).sum() * (step.fake_logits - step.real_logits).mean()
    def generator(self, step): return -step.fake_logits.mean()

class Clips(Regularizer):
    """Fails after an update."""
    def after_update(self, net): raise ValueError("boom\\nbang")

class Steps(torch.optim.SGD):
    def step(self, closure=None): raise ValueError("boom\\nbang")

class StepsFrom(torch.optim.SGD):
    def __init__(self, params, lr, *, needed):
        super().__init__(params, lr)

def steps(params, *, lr: float = 0.1):
    """Fails to step.

    lr: learning rate
    """
    return Steps(list(params), lr=lr)

def steps_from(params, *, lr: float = 0.1):
    """Sound, but not to be made from its defaults alone.

    lr: learning rate
    """
    return StepsFrom(list(params), lr, needed=1)

class Measures(Metric):
    """Fails to measure."""
    def measure(self, real, fake): raise ValueError("boom\\nbang")

class Tells(Tracker):
    """Fails to tell."""
    def log(self, record): raise ValueError("boom\\nbang")

@hookimpl
def register_generators(register):
    register("draws-not", DrawsNot); register("draws-little", DrawsLittle); register("unbuilt", Unbuilt)

@hookimpl
def register_discriminators(register): register("judges", Judges)

@hookimpl
def register_losses(register):
    register("loses", Loses); register("tires", Tires); register("late", "bad_parts_missing:Loss")

@hookimpl
def register_regularizers(register):
    register("prepares", Prepares); register("clips", Clips); register("punishes", Punishes)

@hookimpl
def register_augmentations(register): register("changes", Changes)

@hookimpl
def register_datasets(register): register("opens", opens)

@hookimpl
def register_optimizers(register):
    register("makes", makes); register("steps", steps); register("steps-from", steps_from)

@hookimpl
def register_metrics(register):
    register("unmeasured", Unmeasured); register("measures", Measures)

@hookimpl
def register_trackers(register):
    register("untold", Untold); register("tells", Tells)
'''
CASES = {  # part -> the flags that use it
    "unbuilt": ["--gen", "unbuilt", "--disc", "mlp"],
    "draws-not": ["--gen", "draws-not", "--disc", "mlp"],
    "draws-little": ["--gen", "draws-little", "--disc", "mlp"],
    "judges": ["--disc", "judges"],
    "loses": ["--loss", "loses"],
    "late": ["--loss", "late"],
    "prepares": ["--reg", "prepares"],
    "punishes": ["--reg", "punishes"],
    "changes": ["--aug", "changes"],
    "opens": ["--data", "opens"],
    "makes": ["--set", "optim.gen.name=makes"],
    "unmeasured": ["--set", "metric.unmeasured=true"],
    "untold": ["--set", "tracker.untold=true"],
}


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A plugin whose parts all fail, as if it were installed."""
    (tmp_path / "bad_parts.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = plugins.load(
        [
            *plugins.entry_points(group=plugins.GROUP),
            *entries(tmp_path, "ganzoo-bad", {"bad": "bad_parts"}),
        ]
    )
    assert not loaded.broken
    monkeypatch.setattr(plugins, "inventory", lambda: loaded)
    yield
    sys.modules.pop("bad_parts", None)


@pytest.mark.parametrize("case", CASES)
def test_a_failing_part_is_named_with_its_plugin_before_anything_is_written(
    case, broken, cli, tmp_path
):
    done = cli(
        "train",
        "--gen",
        "mlp",
        "--data",
        "ring",
        *CASES[case],
        "--images",
        "640",
        "--batch-size",
        "32",
        "--out",
        tmp_path / "runs",
    )
    assert done.code == 1, done
    assert done.err.endswith("\n") and done.err[:-1].isprintable() and "Traceback" not in done.err
    assert "ganzoo-bad:bad" in done.err and "unexpected" not in done.err, done.err
    assert ("boom bang" in done.err) == (case != "late")
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


LATE = {
    "tires": ["--loss", "tires"],
    "clips": ["--reg", "clips"],
    "steps": ["--set", "optim.disc.name=steps"],
    "measures": ["--set", "metric.measures=true"],
    "tells": ["--set", "tracker.tells=true"],
}


def train(cli, tmp_path, *flags):
    small = ["--images", "640", "--batch-size", "32", "--set", "log.images=32", "--device", "cpu"]
    return cli(
        "train", "--gen", "mlp", "--data", "ring", *flags, *small, "--out", tmp_path / "runs"
    )


@pytest.mark.parametrize("case", LATE)
def test_a_part_that_fails_in_the_training_is_named_with_its_plugin(case, broken, cli, tmp_path):
    done = train(cli, tmp_path, *LATE[case])
    last = done.err.splitlines()[-1]
    assert done.code == 1 and last.startswith("Error: ") and "Traceback" not in done.err
    assert "of ganzoo-bad:bad fails in the training: " in last and (
        "boom bang" in last or case == "tires"
    ), last


def test_an_optimizer_need_not_be_made_from_its_defaults(broken, cli, tmp_path):
    done = train(cli, tmp_path, "--set", "optim.disc.name=steps-from")
    assert done.code == 0, done.err
