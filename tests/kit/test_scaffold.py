"""`ganzoo new-plugin`: what it writes installs, passes its own tests and trains, untouched."""

import ast
import json
import math
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points

import pytest
from environments import Environment
from parts.fakes import entries

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components import loading as plugins
from ganzoo.components.kinds import KINDS
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Tracker
from ganzoo.errors import UsageError
from ganzoo.scaffold import new_plugin as scaffold
from ganzoo.testing import CHECKS, check
from ganzoo.training.loop import Training

FILES = {
    "pyproject.toml",
    "README.md",
    "LICENSE",
    ".gitignore",
    ".github/workflows/test.yml",
    "tests/test_plugin.py",
}


class Lines(Tracker):
    def __init__(self):
        self.lines = []

    def log(self, record):
        self.lines.append(dict(record))


def texts(folder):
    return {
        str(p.relative_to(folder)): p.read_text("utf-8") for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """A function that writes a project, loads it beside what
    is installed, and returns its folder and the registry.
    """
    modules = set(sys.modules)

    def load(name, kinds):
        folder = scaffold.write_project(name, kinds, tmp_path, plugins.inventory().registry)
        monkeypatch.syspath_prepend(str(folder))
        declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"][
            "entry-points"
        ]["ganzoo"]
        zoo = plugins.load(
            [*entry_points(group=plugins.GROUP), *entries(folder, f"ganzoo-{name}", declared)]
        )
        assert not zoo.broken, zoo.broken
        return folder, zoo.registry

    yield load
    for module in sys.modules.keys() - modules:
        if module.startswith("ganzoo_tried"):
            del sys.modules[module]


@pytest.mark.parametrize("kind", KINDS)
def test_one_component_of_each_kind_keeps_its_contract_and_trains(kind, loaded, cli, monkeypatch):
    """That it compiles is left to the slow test, which runs the tests of such projects."""
    quick = {name: f for name, f in CHECKS[kind].items() if name != "compiles"}
    monkeypatch.setitem(CHECKS, kind, quick)
    folder, registry = loaded(f"tried-{kind}", [kind])
    mine = [c for c in registry.components() if c.distribution == f"ganzoo-tried-{kind}"]
    assert [(c.kind, c.name, c.plugin) for c in mine] == [(kind, f"tried-{kind}", f"tried-{kind}")]
    check(mine[0], **({"registry": registry} if kind == "recipe" else {}))

    tree = ast.parse((folder / "tests" / "test_plugin.py").read_text())
    given = {n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign)}
    settings = ast.literal_eval(given["TRAINING"]) | ast.literal_eval(given["SHORT"])
    if kind == "recipe":
        settings = {
            k: v for k, v in mine[0].recipe().items() if isinstance(v, dict)
        } | ast.literal_eval(given["SHORT"])
    pipeline = assemble(
        configuration.check(configuration.merge(configuration.defaults(), settings)), registry
    )
    if kind != "recipe":
        assert f"ganzoo-tried-{kind}:tried-{kind}" in pipeline.owners.values()
    monkeypatch.setattr(plugins, "inventory", lambda: plugins.Zoo([], registry))
    readme = (folder / "README.md").read_text()
    line = next(line for line in readme.splitlines() if line.startswith("ganzoo train "))
    done = cli(*shlex.split(line)[1:], "--dry-run")
    assert done.code == 0, done.err

    heard = Lines()
    training = Training(pipeline, None, [heard])
    training.run()
    assert training.updates == 20 and all(
        math.isfinite(line["discriminator"]["total"]) for line in heard.lines
    )


@pytest.mark.parametrize("name", ["a", "soft-hinge-2", "abcdefghij-abcdefghij-abcdefgh"])
def test_what_is_written_is_clean(name, tmp_path):
    folder = scaffold.write_project(name, KINDS, tmp_path, Registry())
    assert folder == tmp_path / f"ganzoo-{name}" and texts(folder).keys() >= FILES
    assert [p.name for p in tmp_path.iterdir()] == [folder.name], "nothing temporary is left"
    for tool in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *tool, "--no-cache", "."],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout
    left = {
        path: text
        for path, text in texts(folder).items()
        if "@" in text.replace("@hookimpl", "").replace("@pytest", "")
    }
    assert left.keys() <= {".github/workflows/test.yml"}, "a placeholder was left"
    workflow = texts(folder)[".github/workflows/test.yml"]
    assert (
        f"ganzoo check-plugin ganzoo-{name}" in workflow and "pip install -e '.[test]'" in workflow
    )


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("0.1.0", "ganzoo>=0.1.0,<0.2"),
        ("0.9.3", "ganzoo>=0.9.3,<0.10"),
        ("2.4.1", "ganzoo>=2.4.1,<3"),
        ("0.2.0.dev3+local", "ganzoo>=0.2.0.dev3,<0.3"),
        ("0+unknown", "ganzoo"),
    ],
)
def test_a_plugin_states_which_ganzoo_it_is_for(version, wanted):
    assert scaffold.requirement(version) == wanted


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Soft", "lower-case letters"),
        ("2soft", "a letter first"),
        ("soft_hinge", "joined by '-'"),
        ("soft--hinge", "joined by '-'"),
        ("../soft", "lower-case letters"),
        ("soft\n", "lower-case letters"),
        ("", "lower-case letters"),
        ("s" * 31, "at most 30"),
        ("ganzoo-soft", "leave out 'ganzoo-'"),
        ("none", "word of ganzoo's own"),
        ("hinge", "there is a loss 'hinge' of ganzoo:losses already"),
        ("plugins", "there is a package ganzoo_plugins already"),
    ],
)
def test_a_bad_name_is_refused(name, reason, tmp_path, cli):
    done = cli("new-plugin", "--out", tmp_path, "--", name)
    assert done.code == 2 and done.err.count("\n") == 1 and reason in done.err and done.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_free_for_its_own_distribution_and_for_other_kinds():
    own = Component("loss", "mine", "ganzoo_mine.losses:MineLoss", "mine", "ganzoo-mine", "1")
    scaffold.check_name("mine", ["loss"], Registry([own]))
    other = Component("loss", "mine", "x.y:Z", "other", "ganzoo-other", "1")
    scaffold.check_name("mine", ["generator"], Registry([other]))
    with pytest.raises(UsageError, match="loss 'mine' of ganzoo-other:other already"):
        scaffold.check_name("mine", ["loss"], Registry([other]))


def test_the_command_says_what_to_do_next(tmp_path, cli):
    done = cli("new-plugin", "tried-words", "--kind", "disc", "--kind", "losses", "--out", tmp_path)
    assert done.code == 0 and done.err == ""
    assert (
        "one discriminator, one loss, called tried-words" in done.out
        and "ganzoo install -e " in done.out
    )
    assert {p.name for p in (tmp_path / "ganzoo-tried-words" / "ganzoo_tried_words").iterdir()} == {
        "__init__.py", "discriminators.py", "losses.py",
    }  # fmt: skip


def test_a_wrong_kind_names_the_nearest(tmp_path, cli):
    done = cli("new-plugin", "tried", "--kind", "lose", "--out", tmp_path)
    assert done.code == 2 and "--kind lose: no such kind; did you mean 'loss'?" in done.err


def test_nothing_is_written_over(tmp_path, cli):
    kept = tmp_path / "ganzoo-tried" / "work.py"
    kept.parent.mkdir()
    kept.write_text("months of it")
    done = cli("new-plugin", "tried", "--out", tmp_path)
    assert (
        done.code == 1
        and "exists and is not an empty folder" in done.err
        and done.err.count("\n") == 1
    )
    assert texts(tmp_path) == {"ganzoo-tried/work.py": "months of it"}
    kept.unlink()
    assert cli("new-plugin", "tried", "--out", tmp_path).code == 0, "an empty folder is taken"
    (tmp_path / "file").write_text("")
    done = cli("new-plugin", "tried", "--out", tmp_path / "file")
    assert done.code == 1 and "is a file" in done.err


@pytest.mark.slow
def test_a_project_of_all_kinds_lives_in_a_fresh_environment(built, tmp_path):
    """Generated, built, installed, tested, reviewed,
    trained with and uninstalled, with no change by hand.
    """
    fresh = Environment(tmp_path)
    fresh.pip("install", next(built.glob("*.whl")), "--no-deps", "--no-index")
    fresh.run(
        "ganzoo", "new-plugin", "soft-try", *(word for kind in KINDS for word in ("--kind", kind))
    )
    project = fresh.work / "ganzoo-soft-try"
    fresh.run(
        "python",
        "-m",
        "mypy",
        "--cache-dir",
        tmp_path / "mypy",
        "--config-file",
        project / "pyproject.toml",
        project / "ganzoo_soft_try",
    )
    fresh.run("python", "-m", "pip", "wheel", "--wheel-dir", "dist", project)
    wheel = next((fresh.work / "dist").glob("ganzoo_soft_try-*.whl"))
    done = fresh.run("ganzoo", "install", wheel)
    assert "running: " in done.stderr and "-m pip install --" in done.stderr and done.stdout == ""
    assert {
        c["kind"] for c in fresh.parts().values() if c["distribution"] == "ganzoo-soft-try"
    } == set(KINDS)

    tested = fresh.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", project)
    ours = 3  # beside the kit's one of each kind: the plugin's recipe, names and installation
    assert f"{len(KINDS) + ours} passed" in tested.stdout
    review = json.loads(fresh.run("ganzoo", "check-plugin", "ganzoo-soft-try", "--json").stdout)
    assert review["holds"] and len(review["components"]) == len(KINDS)
    flags = [
        "--recipe",
        "soft-try",
        "--images",
        "640",
        "--batch-size",
        "32",
        "--device",
        "cpu",
        "--set",
        "log.images=32",
    ]
    fresh.run("ganzoo", "train", *flags)
    lines = [
        json.loads(line)
        for line in next(fresh.work.glob("runs/*/log.jsonl")).read_text().splitlines()
    ]
    assert lines[-1]["updates"] == 20 and all("soft-try" in line["discriminator"] for line in lines)

    fresh.run("ganzoo", "uninstall", "-y", "ganzoo-soft-try")
    assert not [c for c in fresh.parts().values() if c["distribution"] != "ganzoo"]
