"""What files say, on its way to a terminal: each attack ends in one line."""

import pickle
import sys

from hostile import BAD, SMALL, forge, refused, two_runs, zipped
from mutators import NUMBERS, TEXTS, dump_toml, nested

import ganzoo
from ganzoo import cli
from ganzoo import config as configuration
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
