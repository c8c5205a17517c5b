"""What files say, on its way to a terminal: each attack ends in one line."""

import importlib
import pickle
import shutil
import sys

import pytest
from hostile import BAD, SMALL, forge, refused, two_runs, zipped
from mutators import NUMBERS, TEXTS, dump_toml, nested

import ganzoo
from ganzoo import cli
from ganzoo import config as configuration
from ganzoo.components.loading import Plugin, Zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.errors import GanzooError, UnknownComponent

# The command line.


def test_nothing_raw_reaches_the_terminal(tmp_path, capsys):
    run = tmp_path / "enemy"
    run.mkdir()
    tree = configuration.read(two_runs() / "mlp" / "run.toml")
    tree["run"]["versions"] = {"ganzoo": BAD, "torch": BAD}
    (run / "run.toml").write_text(dump_toml(tree))
    archive = zipped(
        tmp_path / "x.zip",
        {f"{BAD}/{BAD}.png": SMALL, "b/c.png": SMALL, f"b/{BAD}.png": b"no picture"},
    )
    pickled = tmp_path / "p.safetensors"
    pickled.write_bytes(pickle.dumps(BAD))
    commands = (
        ["generate", str(forge(tmp_path, component=BAD)), "--out", str(tmp_path / "o.png")],
        ["generate", str(forge(tmp_path, tuned={BAD: BAD})), "--out", str(tmp_path / "o.png")],
        ["generate", str(pickled)],
        ["train", "--resume", str(run), "--dry-run"],
        ["train", "--config", str(run / "run.toml"), "--set", f"gen.name={BAD}"],
        ["data", "inspect", str(archive)],
        ["data", "inspect", str(archive), "--json"],
        ["train", "--data", str(archive), "--dry-run"],
    )
    for command in commands:
        cli.run(command)
        out, err = capsys.readouterr()
        assert "unexpected" not in err and (out or err)
        bad = [c for c in out + err if not c.isprintable() and c not in "\n\t"]
        assert bad == [], (command, bad)


def clean(done):
    """Nothing that a terminal would obey, nothing raw, nothing unexpected."""
    assert "Error: unexpected" not in done.err and "Traceback" not in done.err, done.err
    assert [c for c in done.out + done.err if not c.isprintable() and c not in "\n\t"] == [], done
    return done


NASTY = (
    "\x1b[2J\x9b31m[bold red]",
    "a\nError: forged",
    "\u202ereversed",
    "\x7f\x08\r",
    "bad\udcff",
)


@pytest.mark.parametrize(
    "nasty",
    ["".join(NASTY), *(pytest.param(each, marks=pytest.mark.slow) for each in NASTY)],
    ids=ascii,
)
def test_names_of_files_are_cleaned_wherever_they_are_printed(tmp_path, cli, nasty):
    """Every command that names a file or folder, each name hostile."""
    run = tmp_path / nasty / "run"
    shutil.copytree(two_runs() / "mlp", run)
    for name in (f"{nasty}.png", f"zzz{nasty}.png"):
        (run / "samples" / name).write_bytes(SMALL)
    pictures = tmp_path / f"pictures{nasty}"
    for name in (f"{nasty}/a.png", f"{nasty}/b{nasty}.png", "c/d.png", f"c/{nasty}.tif"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        (pictures / name).write_bytes(SMALL if name.endswith("png") else b"none")
    shown = tmp_path / f"out{nasty}"
    resumed = clean(cli("train", "--resume", run, "--images", "64", "--device", "cpu"))
    assert resumed.code == 0 and "picture " in resumed.out
    assert not any(line.startswith("Error") for line in resumed.out.splitlines())
    (run / "log.jsonl").unlink()
    (run / "log.jsonl").symlink_to("/dev/null")
    generate = ("generate", run, "--count", "2", "--out")
    for command in (
        ("train", "--resume", run),
        ("train", "--resume", run / nasty),
        ("train", "--out", pictures / "c" / "d.png", "--data", "ring", "--gen", "mlp"),
        ("train", "--data", pictures, "--dry-run"),
        ("train", "--data", pictures / nasty / "none", "--dry-run"),
        ("train", "--config", pictures / nasty / "a.png"),
        ("train", "--set", f"gen.{nasty}={nasty}"),
        ("train", "--gen", nasty),
        ("bench", "--gen", nasty),
        ("data", "inspect", pictures),
        ("data", "inspect", pictures, "--json"),
        ("data", "inspect", pictures / "c" / "d.png"),
        (*generate, shown / f"{nasty}.png"),
        (*generate, shown),
        (*generate, shown / "x.png", "--interpolate", shown / f"{nasty}.gif"),
        ("generate", pictures / nasty / "a.png"),
        ("generate", run / nasty),
        ("new-plugin", "soft", "--kind", "loss", "--out", shown),
        ("new-plugin", nasty, "--kind", nasty),
        ("list", nasty),
        ("info", nasty),
        ("plugins", nasty),
        ("check-plugin", nasty),
        ("uninstall", nasty),
        ("install", nasty if nasty.startswith("-") else f"-{nasty}"),
        (nasty,),
    ):
        clean(cli(*command))


def hostile_plugins(nasty):
    """A zoo of a plugin that loads and one that does not, both of whose every word is hostile."""
    from ganzoo.contracts import Loss

    class Soft(Loss):
        __doc__ = f"{nasty}.\n\n{nasty}\n\nscale: {nasty}"

        def __init__(self, *, scale: str = nasty) -> None:
            super().__init__()

    about = {"summary": nasty, "paper": nasty}
    component = Component("loss", "soft", Soft, nasty, nasty, nasty, about)
    good = Plugin(nasty, nasty, nasty, nasty, [component])
    return Zoo([good, Plugin(nasty, nasty, nasty, nasty, [], nasty)], Registry([component]))


@pytest.mark.parametrize("nasty", NASTY[:-1], ids=ascii)
def test_words_of_plugins_are_cleaned_wherever_they_are_printed(monkeypatch, cli, nasty):
    for module in (
        "components.loading",
        "cli._shared",
    ):
        for name in ("zoo", "inventory"):
            found = importlib.import_module(f"ganzoo.{module}")
            if hasattr(found, name):
                monkeypatch.setattr(found, name, lambda: hostile_plugins(nasty))
    printed = ""
    for command in (
        ("plugins",),
        ("plugins", "--json"),
        ("list",),
        ("list", "--json"),
        ("list", "loss"),
        ("info", "soft"),
        ("info", "soft", "--json"),
        ("check-plugin", nasty),
        ("check-plugin", nasty, "--json"),
        ("train", "--loss", "soft", "--dry-run"),
    ):
        printed += clean(cli(*command)).out
    assert "soft" in printed


def test_unknown_names_import_nothing(tmp_path):
    before = set(sys.modules)
    for kind in ("generator", "loss", "dataset", "optimizer"):
        for name in (
            "this",
            "this:x",
            "ganzoo_plugins.vanilla.nets:MLPGenerator",
            "/etc/passwd",
            BAD,
            "a/b/c",
            "",
            "x" * 10_000,
        ):
            with refused(UnknownComponent):
                ganzoo.create(kind, name)
    assert {
        name for name in set(sys.modules) - before if "plugins" in name or name == "this"
    } == set()


def test_every_strange_value_can_be_shown():
    from ganzoo.errors import shown

    for value in (*NUMBERS, *TEXTS, 16**9000, nested(100_000), {"a": nested(5000)}):
        assert len(shown(value)) < 200 and str(GanzooError(shown(value))).isprintable()
