"""A plugin that does what it must not at import or in use is one
line that names it; nothing else stops, and answers stay clean.
"""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from parts.fakes import entries

from ganzoo.components import loading as plugins
from ganzoo.components.isolation import contained
from ganzoo.components.registry import Component, Registry
from ganzoo.errors import Left
from ganzoo.io import checkpoints as checkpoint

SOUND = '''
from ganzoo import hookimpl
from ganzoo.contracts import Loss
class {title}(Loss):
    """The loss called {name}."""
@hookimpl
def register_losses(register): register("{name}", {title})
'''
RECIPE = """
from pathlib import Path
from ganzoo import hookimpl
@hookimpl
def register_recipes(register): register("gone", Path(__file__).parent / "gone.toml")
"""
METACLASS = '''
from ganzoo import hookimpl
class Sour(type):
    def __{method}__(cls, *rest): raise RuntimeError("not " + "with me")
class Tart(metaclass=Sour):
    """A class that nobody can look at."""
@hookimpl
def register_losses(register): register("tart", Tart)
'''
BAD = {  # what a plugin does at import -> the reason that is shown
    "recipe": (RECIPE, "recipe 'gone': no file .*gone.toml"),
    "getattribute": (METACLASS.format(method="getattribute"), "RuntimeError: not with me"),
    "repr": (METACLASS.format(method="repr"), "RuntimeError: not with me"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "leaves": ("class Odd(BaseException): pass\nraise Odd('out')", "Odd: out"),
}
PRINTS = """
import os
print("a word of mine")
os.write(1, b"a word of C's\\n")
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A function that installs modules as plugins:
    distribution -> code; returns their entry points.
    """
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(**codes):
        found = []
        for name, code in codes.items():
            (tmp_path / f"mis_{name}.py").write_text(code)
            found += entries(tmp_path, f"ganzoo-{name}", {name: f"mis_{name}"})
        return found

    yield install
    for module in [m for m in sys.modules.keys() - before if m.startswith("mis_")]:
        del sys.modules[module]


def both(code):
    """A plugin of that code between two sound ones, by name."""
    sound = {name: SOUND.format(title=name.title(), name=name) for name in ("early", "sound")}
    return {"early": sound["early"], "odd": code, "sound": sound["sound"]}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plugin_is_a_line_and_the_others_go_on(case, site):
    code, reason = BAD[case]
    zoo = plugins.load(site(**both(code)))
    assert [p.who for p in zoo.broken] == ["ganzoo-odd:odd"]
    assert re.search(reason, zoo.broken[0].broken), zoo.broken[0].broken
    assert zoo.broken[0].broken.isprintable() and zoo.broken[0].components == []
    assert [c.name for c in zoo.registry.components()] == ["early", "sound"]


CTRL_C = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(1000): pass\n"


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_persons_ctrl_c_is_not_taken_for_the_plugins(swallowed, site):
    indented = CTRL_C.replace("\n", "\n    ")
    code = f"try:\n    {indented}\nexcept BaseException: pass" if swallowed else CTRL_C
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        plugins.load(site(**both(code)))
    assert signal.getsignal(signal.SIGINT) is handler


def test_what_is_contained_keeps_the_place_where_it_arose():
    def leave():
        raise SystemExit("now")

    with pytest.raises(Left, match="SystemExit: now") as caught, contained():
        leave()
    assert "leave" in [entry.name for entry in caught.traceback]


def test_what_a_plugin_prints_does_not_reach_stdout(site, capfd):
    zoo = plugins.load(site(**both(PRINTS)))
    printed = capfd.readouterr()
    assert not zoo.broken and printed.out == ""
    assert "a word of mine" in printed.err and "a word of C's" in printed.err


CHATTY = """
print("at import")
from ganzoo import hookimpl
@hookimpl
def register_losses(register): register("chatty", "mis_late:Chatty")
@hookimpl
def register_recipes(register): register("torn", "{folder}/torn.toml")
"""
LATE = '''
print("when it is needed")
from ganzoo.contracts import Loss
class Chatty(Loss):
    """Talks whatever it does."""
    def __init__(self):
        print("when it is made")
        super().__init__()
    def discriminator(self, step):
        print("when it is used")
        return (step.fake_logits - step.real_logits).mean()
    def generator(self, step):
        print("when it is used")
        return -step.fake_logits.mean()
'''


@pytest.fixture
def misbehaving(site, tmp_path, monkeypatch):
    """All of the above as if they were installed beside
    ganzoo's own, and loaded anew by each command.
    """
    codes = {case: code for case, (code, _) in BAD.items()}
    (tmp_path / "mis_late.py").write_text(LATE)
    (tmp_path / "torn.toml").write_text("summary =")
    found = site(**codes, chatty=CHATTY.format(folder=tmp_path))
    found += plugins.entry_points(group=plugins.GROUP)

    def load():
        for module in [m for m in sys.modules if m.startswith("mis_")]:
            del sys.modules[module]
        return plugins.load(found)

    monkeypatch.setattr(plugins, "inventory", load)


COMMANDS = {
    "list": (["list"], 0),
    "list kind": (["list", "losses"], 0),
    "plugins": (["plugins"], 0),
    "info": (["info", "hinge"], 0),
    "info of it": (["info", "chatty"], 0),
    "check": (["check-plugin", "chatty/chatty", "--device", "cpu"], 1),  # it does not compile
    "check a broken one": (["check-plugin", "ganzoo-exits"], 1),
    "dry run": (["train", "--gen", "mlp", "--data", "ring", "--loss", "chatty", "--dry-run"], 0),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_json_stays_json_with_such_plugins_installed(case, misbehaving, cli, capfd):
    arguments, code = COMMANDS[case]
    done = cli(*arguments, "--json")
    assert done.code == code, done
    assert json.loads(done.out) and capfd.readouterr().out == ""


def test_every_broken_one_is_told_and_the_rest_is_listed(misbehaving, cli):
    done = cli("list")
    told = [line for line in done.err.splitlines() if line.startswith("Warning: plugin ")]
    assert [line.split()[2] for line in told] == sorted(f"ganzoo-{case}:{case}" for case in BAD)
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert {"hinge", "chatty", "dcgan", "torn"} <= {row[1] for row in rows}
    assert next(row for row in rows if row[1] == "torn")[2].startswith("BROKEN: recipe 'torn' of")


def test_a_metaclass_that_fails_is_said_where_a_part_is_imported_late():
    class Sour(type):
        def __getattribute__(cls, name):
            raise RuntimeError("not with me")

    module = type(sys)("mis_sour")
    module.Tart = Sour("Tart", (), {})
    sys.modules["mis_sour"] = module
    try:
        tart = Component("loss", "tart", "mis_sour:Tart", "odd", "ganzoo-odd", "1")
        with pytest.raises(
            Exception, match=r"loss 'tart' of ganzoo-odd:odd cannot be imported: .*not with me"
        ):
            Registry([tart]).create("loss", "tart")
    finally:
        del sys.modules["mis_sour"]


# A plugin with the names of built-ins.


SAME = '''
from ganzoo import hookimpl
from ganzoo.contracts import Generator
class Mlp(Generator):
    """Has a built-in's name."""
@hookimpl
def register_generators(register):
    register("mlp", Mlp); register("dcgan", Mlp)
@hookimpl
def register_discriminators(register): register("mlp", Mlp); register("dcgan", Mlp)
@hookimpl
def register_losses(register): register("nonsat", Mlp)
@hookimpl
def register_optimizers(register): register("adam", Mlp)
@hookimpl
def register_regularizers(register): register("gp", Mlp); register("r1", Mlp)
@hookimpl
def register_datasets(register): register("ring", Mlp); register("digits", Mlp)
'''
TINY = ["--images", "96", "--batch-size", "32", "--device", "cpu", "--engine", "eager"]


@pytest.fixture
def doubled(site, monkeypatch):
    """A function that installs a plugin with the names of ganzoo's own."""

    def install():
        loaded = plugins.load([*plugins.entry_points(group=plugins.GROUP), *site(same=SAME)])
        assert not loaded.broken
        monkeypatch.setattr(plugins, "inventory", lambda: loaded)

    return install


def test_runs_of_a_built_in_go_on_beside_a_plugin_with_its_name(doubled, cli, tmp_path):
    made = cli("train", "--gen", "mlp", "--data", "ring", "--reg", "gp", *TINY, "--out", tmp_path)
    assert made.code == 0, made.err
    run = next(p for p in tmp_path.iterdir() if p.is_dir() and (p / "run.toml").exists())
    doubled()
    done = cli("train", "--resume", run, "--images", "160")
    assert done.code == 0, done.err
    assert cli("train", "--resume", run, "--gen", "mlp", "--images", "192").code == 0
    assert cli("generate", run, "--count", "4", "--out", tmp_path / "grid.png").code == 0


def test_a_new_run_must_say_which(doubled, cli, tmp_path):
    doubled()
    done = cli("train", "--gen", "mlp", "--data", "ganzoo/ring", *TINY, "--out", tmp_path / "runs")
    assert done.code == 2 and "write ganzoo/mlp or ganzoo-same/mlp" in done.err
    flags = ["--gen", "ganzoo/mlp", "--data", "ganzoo/ring", *TINY, "--out", tmp_path / "runs"]
    assert cli("train", *flags).code == 0, (
        "loss, optimizers and partner that nobody named are ganzoo's"
    )
    run = next((tmp_path / "runs").iterdir())
    assert cli("train", "--resume", run, "--images", "160").code == 0


def test_a_recipe_means_the_parts_of_its_own_distribution(doubled, cli):
    doubled()
    done = cli("train", "--recipe", "wgan-gp", "--images", "128", "--dry-run", "--json")
    assert done.code == 0, done.err
    config = json.loads(done.out)["config"]
    assert (config["gen"]["name"], config["disc"]["name"]) == ("dcgan", "dcgan")


# Parts that end the process in the middle of a training.


QUITS = '''
import os, sys, time, torch
from ganzoo import hookimpl
from ganzoo.contracts import Loss
class Quits(Loss):
    """Ends the process at its sixth update."""
    def __init__(self):
        super().__init__()
        self.register_buffer("done", torch.zeros(()))
    def discriminator(self, step):
        self.done.add_(1)
        if type(step.real_logits) is torch.Tensor and float(self.done) > 5:
            {way}
        return (step.fake_logits - step.real_logits).mean()
    def generator(self, step): return -step.fake_logits.mean()
@hookimpl
def register_losses(register): register("quits", Quits)
'''
QUITTING = [
    "--gen",
    "mlp",
    "--data",
    "ring",
    "--loss",
    "quits",
    "--images",
    "640",
    "--batch-size",
    "32",
]
QUITTING += ["--device", "cpu", "--engine", "eager", "--set", "checkpoint.images=64"]


@pytest.mark.parametrize("way", ["sys.exit(0)", "raise KeyboardInterrupt"])
def test_a_part_that_leaves_in_the_training_is_named_and_nothing_is_lost(
    way, site, cli, tmp_path, monkeypatch
):
    found = site(quits=QUITS.format(way=way))
    loaded = plugins.load([*plugins.entry_points(group=plugins.GROUP), *found])
    monkeypatch.setattr(plugins, "inventory", lambda: loaded)
    done = cli("train", *QUITTING, "--out", tmp_path / "runs")
    last = done.err.splitlines()[-1]
    assert done.code == 1 and last.startswith("Error: ") and "of ganzoo-quits:quits fails" in last
    assert ("SystemExit: 0" if "exit" in way else "KeyboardInterrupt") in last
    run = next((tmp_path / "runs").iterdir())
    newest = checkpoint.folders(run)[0]
    assert newest.name == "000000128" and checkpoint.load(newest)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the way a killed process ends on POSIX")
@pytest.mark.slow
def test_the_resume_after_a_part_ended_the_process_says_so(site, cli, tmp_path, monkeypatch):
    # What is being written beside the training has the time to be written.
    found = site(quits=QUITS.format(way="time.sleep(5); os._exit(0)"))
    code = "from ganzoo.cli import main; main()"
    command = [sys.executable, "-c", code, "train", *QUITTING, "--out", str(tmp_path / "runs")]
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=env)
    run = next((tmp_path / "runs").iterdir())
    assert ended.returncode == 0 and "trained on" not in ended.stdout, ended
    assert checkpoint.load(checkpoint.folders(run)[-1])[1]["images"] == 64, (
        "the one after was not done"
    )

    (tmp_path / "mis_quits.py").write_text(QUITS.format(way="pass"))
    loaded = plugins.load([*plugins.entry_points(group=plugins.GROUP), *found])
    monkeypatch.setattr(plugins, "inventory", lambda: loaded)
    done = cli("train", "--resume", run)
    assert done.code == 0, done.err
    said = [line for line in done.err.splitlines() if "ended in the middle of this run" in line]
    assert len(said) == 1 and "loss of ganzoo-quits:quits" in said[0], done.err
    again = cli("train", "--resume", run, "--images", "704")
    assert again.code == 0 and "ended in the middle" not in again.err


def test_a_generator_that_leaves_while_it_draws_is_named(cli, trained, monkeypatch):
    def leave(*_):
        raise SystemExit(4)

    from ganzoo_plugins.dcgan.nets import DCGANGenerator

    monkeypatch.setattr(DCGANGenerator, "forward", leave)
    done = cli("generate", trained, "--count", "4", "--out", trained.parent / "never.png")
    assert done.code == 1 and "dcgan of ganzoo cannot draw 4 samples" in done.err
    assert "SystemExit: 4" in done.err and torch.is_grad_enabled()
