"""A part that fails when it is used ends in one line that
names the plugin and the distribution, at the command line.
"""

import re
import sys

import pytest
from parts.fakes import entries

from ganzoo.components import loading as plugins

CODE = '''
import torch
from functools import partial
from torch import nn
from ganzoo import hookimpl
from ganzoo.contracts import Augmentation, Dataset, Discriminator, Generator, GradientPenalty
from ganzoo.contracts import Loss, Metric, Regularizer, Tracker

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

class Returns(Loss):
    """Returns what no update can use."""
    def __init__(self, what):
        super().__init__()
        self.what = what
    def discriminator(self, step):
        logits = step.fake_logits - step.real_logits
        return {"vector": logits, "none": None, "float": 1.5, "constant": torch.ones(())}[self.what]
    def generator(self, step): return -step.fake_logits.mean()

class Whole(Draws):
    """Draws whole numbers."""
    def forward(self, latents, labels=None): return super().forward(latents).long()

class Cut(Draws):
    """Draws without a gradient."""
    def forward(self, latents, labels=None): return super().forward(latents).detach()

class Asks(Loss):
    """Asks for a head that few discriminators have, without saying so."""
    def discriminator(self, step): return step.discriminator.classify(step.fake_features).mean()
    def generator(self, step): return -step.fake_logits.mean()

class Needs(Asks):
    """Asks for that head, and says so."""
    needs = {"discriminator": ("per_sample", "retell")}

class Calls(Loss):
    """Calls the discriminator wrongly."""
    def discriminator(self, step): return step.discriminator(step.real, None, None, 3).mean()
    def generator(self, step): return -step.fake_logits.mean()

class Picks(Loss):
    """Picks by a number that only values tell."""
    def discriminator(self, step): return step.fake_logits[step.labels + 30].mean()
    def generator(self, step): return -step.fake_logits.mean()
    conditional = True

class Classifies(Discriminator):
    """Has that head."""
    heads = ("classify", "retell")
    def __init__(self, spec):
        super().__init__(spec)
        self.judge, self.classify = nn.Linear(spec.numel, 1), nn.Linear(spec.numel, 3)
        self.retell = self.classify
    def score(self, features, labels=None): return self.judge(features.flatten(1)).squeeze(1)

class Narrow(Discriminator):
    """Scores without labels."""
    def __init__(self, spec):
        super().__init__(spec)
        self.judge = nn.Linear(spec.numel, 1)
    def score(self, features): return self.judge(features.flatten(1)).squeeze(1)

class Spreads(Regularizer):
    """Punishes with a vector."""
    def penalty(self, step): return step.real_logits

class Slopes(GradientPenalty):
    """Punishes slopes with a vector."""
    def of(self, slope): return slope.flatten(1).sum(1)

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
        ends = torch.linalg.cholesky((2.5 - self.done).view(1, 1)).sum()
        return ends * (step.fake_logits - step.real_logits).mean()
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
    register("draws-not", DrawsNot); register("draws-little", DrawsLittle)
    register("unbuilt", Unbuilt); register("whole", Whole); register("cut", Cut)

@hookimpl
def register_discriminators(register):
    register("judges", Judges); register("classifies", Classifies); register("narrow", Narrow)

@hookimpl
def register_losses(register):
    register("loses", Loses); register("tires", Tires); register("late", "bad_parts_missing:Loss")
    register("asks", Asks); register("needs", Needs); register("calls", Calls)
    register("picks", Picks)
    for what in ("vector", "none", "float", "constant"): register(what, partial(Returns, what))

@hookimpl
def register_regularizers(register):
    register("prepares", Prepares); register("clips", Clips); register("punishes", Punishes)
    register("spreads", Spreads); register("slopes", Slopes)

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
    "clips": ["--reg", "clips"],
    "changes": ["--aug", "changes"],
    "opens": ["--data", "opens"],
    "makes": ["--set", "optim.gen.name=makes"],
    "unmeasured": ["--set", "metric.unmeasured=true"],
    "untold": ["--set", "tracker.untold=true"],
}


def on_points(flags):
    """The flags, and a net and data for points where they name none."""
    base = {"--gen": "mlp", "--data": "ring"}
    return [*flags, *(word for pair in base.items() if pair[0] not in flags for word in pair)]


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
        *on_points(CASES[case]),
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


WRONG = {  # part -> the flags that use it, and what is said
    "vector": (["--loss", "vector"],
        "loss of ganzoo-bad:bad .*: its value for the discriminator has the shape"),
    "none": (["--loss", "none"],
        "loss of ganzoo-bad:bad .*: its value for the discriminator is None"),
    "float": (["--loss", "float"],
        "loss of ganzoo-bad:bad .*: its value for the discriminator is a float"),
    "constant": (["--loss", "constant"], "loss of ganzoo-bad:bad .*: its value .* has no gradient"),
    "whole": (["--gen", "whole", "--disc", "mlp"],
        r"--gen \w+: Whole of ganzoo-bad:bad gives torch.int64"),
    "cut": (["--gen", "cut", "--disc", "mlp"],
        r"--gen \w+: Cut of ganzoo-bad:bad gives .* without a gradient"),
    "asks": (["--loss", "asks"], "loss of ganzoo-bad:bad fails .*no attribute 'classify'"),
    "calls": (["--loss", "calls"], "loss of ganzoo-bad:bad fails .*positional arguments"),
    "picks": (["--loss", "picks"], "loss of ganzoo-bad:bad fails .*IndexError"),
    "narrow": (["--disc", "narrow"],
        r"--disc \w+: Narrow of ganzoo-bad:bad fails: .*positional arguments"),
    "spreads": (["--reg", "spreads"],
        r"reg\.\w+ of ganzoo-bad:bad .*: its penalty .* has the shape"),
    "slopes": (["--reg", "slopes"], r"reg\.\w+ of ganzoo-bad:bad .*: its `of` has the shape"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_part_that_gives_what_no_update_can_use_is_named(case, broken, cli, tmp_path):
    flags, said = WRONG[case]
    done = train(cli, tmp_path, *flags)
    assert done.code == 1 and done.err.count("\n") == 1, done.err
    assert re.match(f"Error: {said}", done.err), done.err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_what_a_loss_needs_is_said_before_anything_is_tried(broken, cli, tmp_path):
    done = train(cli, tmp_path, "--loss", "needs")
    assert done.code == 2 and done.err.count("\n") == 1
    said = "needs a discriminator with the trait 'retell', which mlp has not; use one of classifies"
    assert said in done.err and "loss" in done.err
    assert train(cli, tmp_path, "--loss", "needs", "--disc", "classifies").code == 0


LATE = {
    "tires": ["--loss", "tires"],
    "steps": ["--set", "optim.disc.name=steps"],
    "measures": ["--set", "metric.measures=true"],
    "tells": ["--set", "tracker.tells=true"],
}


def train(cli, tmp_path, *flags):
    small = ["--images", "640", "--batch-size", "32", "--set", "log.images=32", "--device", "cpu"]
    return cli("train", *on_points(flags), *small, "--out", tmp_path / "runs")


@pytest.mark.parametrize("case", LATE)
def test_a_part_that_fails_in_the_training_is_named_with_its_plugin(case, broken, cli, tmp_path):
    done = train(cli, tmp_path, *LATE[case])
    last = done.err.splitlines()[-1]
    assert done.code == 1 and last.startswith("Error: ") and "Traceback" not in done.err
    assert "of ganzoo-bad:bad fails in the training: " in last and (
        "boom bang" in last or case == "tires"
    ), last


def test_an_optimizer_need_not_be_made_from_its_defaults(broken, cli, tmp_path):
    slow = ("--set", "optim.gen.lr=1e-4")  # the ring's own rate is for another optimizer beside it
    done = train(cli, tmp_path, "--set", "optim.disc.name=steps-from", *slow)
    assert done.code == 0, done.err
