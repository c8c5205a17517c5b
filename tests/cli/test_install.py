"""`ganzoo install`, `uninstall`, `plugins` and `list --all`:
thin pip, and commands that work whatever is installed.
"""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from parts.fakes import entries

from ganzoo.cli import _pip
from ganzoo.components import loading as plugins

MAIN = "from ganzoo.cli import main; main()"
CATALOGUE = {
    "schema": 1,
    "plugins": {
        "losses": {"distribution": "ganzoo", "summary": "Losses", "losses": ["hinge"]},
        "big": {
            "distribution": "ganzoo-biggan",
            "summary": "Large nets",
            "generators": ["hugegan"],
            "losses": ["bigloss"],
        },
    },
}


@pytest.fixture
def pip(monkeypatch):
    """What pip is run with, in place of running it."""
    ran = SimpleNamespace(lines=[], code=0)

    def run(line, **kwargs):
        assert kwargs == {"stdout": 2}, "no shell, and nothing on stdout"
        ran.lines.append(line)
        return SimpleNamespace(returncode=ran.code)

    monkeypatch.setattr(_pip.subprocess, "run", run)
    return ran


def test_install_shows_and_runs_the_pip_of_this_python(pip, cli):
    done = cli("install", "ganzoo-one", "ganzoo-two>=1", "-U", "-e", "some where")
    expected = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--upgrade",
        "--editable=some where",
        "--",
        "ganzoo-one",
        "ganzoo-two>=1",
    ]
    assert done.code == 0 and pip.lines == [expected] and done.out == ""
    assert (
        f"running: {sys.executable} -m pip install --upgrade '--editable=some where' -- "
        f"ganzoo-one 'ganzoo-two>=1'" in done.err
    )
    assert "ganzoo-one is not in ganzoo's catalogue" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["--", "-r", "list.txt"],
        ["--", "--index-url=elsewhere"],
        ["ganzoo-one", "--", " --pre"],
        ["-e", "--pre"],
        [""],
        ["ganzoo-one\x1b[2J"],
        ["one\ntwo"],
    ],
)
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_name_is_never_an_option_of_pip(command, words, pip, cli):
    done = cli(command, *words)
    assert done.code == 2 and pip.lines == []
    assert done.err.count("\n") == 1 and done.err.rstrip("\n").isprintable()


def test_a_failing_pip_is_one_line_with_its_code(pip, cli):
    pip.code = 23
    done = cli("install", "ganzoo-one")
    assert (
        done.code == 1
        and done.err.splitlines()[-1]
        == "Error: pip install failed with exit code 23; what it said is above"
    )


def test_without_pip_the_way_out_is_said(pip, cli, monkeypatch):
    monkeypatch.setattr(_pip.importlib.util, "find_spec", lambda name: None)
    done = cli("install", "ganzoo-one")
    assert (
        done.code == 1
        and "there is no pip" in done.err
        and "ensurepip" in done.err
        and pip.lines == []
    )


def test_uninstall_takes_distributions_that_brought_plugins(pip, cli, tmp_path, monkeypatch):
    there = entries(tmp_path, "ganzoo-soft", {"soft": "no_such_module"})
    monkeypatch.setattr(plugins, "entry_points", lambda group: there)
    assert cli("uninstall", "-y", "Ganzoo_Soft").code == 0
    assert cli("uninstall", "ganzoo-soft").code == 0
    head = [sys.executable, "-m", "pip", "uninstall"]
    assert pip.lines == [[*head, "--yes", "--", "Ganzoo_Soft"], [*head, "--", "ganzoo-soft"]]
    for name, said in (
        ("ganzoo-sofd", "did you mean 'ganzoo-soft'?"),
        ("torch", "there are: ganzoo-soft"),
        ("ganzoo", "ganzoo-soft"),
    ):
        done = cli("uninstall", "-y", name)
        assert done.code == 2 and said in done.err and done.err.count("\n") == 1
    assert len(pip.lines) == 2


# Broken plugins.

BROKEN = {
    "raises": "raise RuntimeError('no engine\\nno wheels')",
    "exits": "import sys; sys.exit(3)",
    "syntax": "def (",
    "misspelt": "from ganzoo import hookimpl\n@hookimpl\ndef register_lossses(register): pass",
    "hook": "from ganzoo import hookimpl\n@hookimpl\ndef register_losses(register): raise "
    "ValueError('midway')",
}


@pytest.fixture
def site(tmp_path):
    """A function that runs a command in a process whose path holds these broken distributions."""
    for name, code in BROKEN.items():
        (tmp_path / f"broken_{name}.py").write_text(code)
        entries(tmp_path, f"ganzoo-{name}", {name: f"broken_{name}"})
    nameless = tmp_path / "nameless-1.0.dist-info"
    nameless.mkdir()
    (nameless / "entry_points.txt").write_text("[ganzoo]\nnameless = broken_raises\n")
    (nameless / "METADATA").write_text("\x00\xff no metadata")

    def run(*arguments, **environment):
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", MAIN, *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": path} | environment,
        )

    return run


@pytest.mark.parametrize("strict", ["", "1"])
def test_core_commands_work_whatever_is_installed(site, strict):
    for line in (["--help"], ["--version"], ["install", "--help"], ["uninstall", "--help"]):
        done = site(*line, GANZOO_STRICT_PLUGINS=strict)
        assert done.returncode == 0 and done.stderr == ""
    done = site("plugins", "--json", GANZOO_STRICT_PLUGINS=strict)
    listed = {p["plugin"]: p for p in json.loads(done.stdout)}
    assert done.returncode == 0 and {name for name, p in listed.items() if p["broken"]} == {
        *BROKEN,
        "nameless",
    }
    assert listed["misspelt"]["broken"].startswith("unknown hook 'register_lossses'")
    assert listed["misspelt"]["broken"].endswith("did you mean 'register_losses'?")
    assert listed["raises"]["broken"] == "RuntimeError: no engine no wheels"
    assert site("plugins", GANZOO_STRICT_PLUGINS=strict).stdout.count("BROKEN: ") == len(BROKEN) + 1
    done = site(
        "uninstall", "-y", "ganzoo-gone", GANZOO_STRICT_PLUGINS=strict
    )  # refused for its name, not for the others
    assert done.returncode == 2 and "no plugin was installed by it" in done.stderr

    done = site("list", "--json", GANZOO_STRICT_PLUGINS=strict)
    if strict:
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "is broken" in done.stderr
    else:
        assert {c["distribution"] for c in json.loads(done.stdout)} == {"ganzoo"}
        warned = done.stderr.splitlines()
        assert len(warned) == len(BROKEN) + 1 and all(
            w.startswith("Warning: plugin ") for w in warned
        )


# The catalogue.


def test_list_all_adds_what_is_not_installed(cli, monkeypatch):
    monkeypatch.setattr("ganzoo.components.catalogue.catalogue", lambda: CATALOGUE)
    plain = json.loads(cli("list", "--json").out)
    everything = json.loads(cli("list", "--all", "--json").out)
    assert all(c["installed"] for c in plain) and everything[: len(plain)] == plain
    added = [
        (c["kind"], c["name"], c["distribution"], c["installed"], c["summary"])
        for c in everything[len(plain) :]
    ]
    assert added == [
        ("generator", "hugegan", "ganzoo-biggan", False, "Large nets"),
        ("loss", "bigloss", "ganzoo-biggan", False, "Large nets"),
    ]
    losses = cli("list", "--all", "losses").out.splitlines()
    assert losses[-1].split("\t") == [
        "loss",
        "bigloss",
        "Large nets",
        "",
        "ganzoo-biggan:big (not installed)",
    ]
    assert "hugegan\t" not in cli("list").out
