"""The command line beside training: help and its speed, lists, descriptions, data inspected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ganzoo.components.loading import zoo

Cli = Callable[..., Any]
Run = Callable[..., str]
MAIN = "from ganzoo.cli import main; main()"


# Help and lists.


def test_the_help_comes_quickly() -> None:
    seconds = []  # of work: the clock of a busy machine says nothing
    for _ in range(3):
        clock = os.times()
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "--help"], capture_output=True, text=True
        )
        after = os.times()
        work = zip(after[2:4], clock[2:4], strict=True)  # of children, user's and system's
        seconds.append(sum(now - then for now, then in work))
        assert done.returncode == 0 and done.stderr == ""
    assert min(seconds) < 0.4, seconds
    for command in ("train", "list", "info", "generate", "plugins", "data"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize(
    "line",
    [
        ["list"],
        ["list", "--json"],
        ["plugins"],
        ["--version"],
        ["train", "--help"],
        ["train", "--images", "x"],
    ],
)
def test_no_torch_where_none_is_needed(line: list[str]) -> None:
    script = (
        "import sys\nfrom ganzoo.cli import run\ncode = run(sys.argv[1:])\n"
        "heavy = {'torch', 'numpy', 'torchvision'} & set(sys.modules)\nassert not heavy, "
        "heavy\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *line], capture_output=True, text=True)
    assert done.returncode == (2 if "x" in line else 0), done.stderr
    assert "assert" not in done.stderr


@pytest.mark.parametrize(
    "command", ["train", "list", "info", "generate", "plugins", "data", "data inspect"]
)
def test_every_command_and_option_has_a_help(command: str, ran: Run) -> None:
    text = ran(*command.split(), "--help")
    assert text.startswith(f"Usage: ganzoo {command} ")
    lines = text[text.index("Options:") :].splitlines()[1:]
    lines = lines[: lines.index("")] if "" in lines else lines
    for i, line in enumerate(lines):
        if line.strip().startswith("-"):
            said = len(line.strip().split("  ", 1)) == 2 or (
                i + 1 < len(lines) and not lines[i + 1].strip().startswith("-")
            )
            assert said, f"{command}: no help for {line.strip()}"


def test_without_arguments_there_is_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 2 and done.err.startswith("Usage: ganzoo") and "train" in done.err


def test_list_is_complete_for_programs(ran: Run) -> None:
    found = json.loads(ran("list", "--json"))
    assert {(c["kind"], c["name"]) for c in found} == {
        (c.kind, c.name) for c in zoo().registry.components()
    }
    for component in found:
        assert (
            component["distribution"]
            and component["plugin"]
            and component["version"]
            and component["summary"]
        )
    losses = json.loads(ran("list", "losses", "--json"))
    assert {c["kind"] for c in losses} == {"loss"} and len(losses) >= 6
    assert losses == json.loads(ran("list", "loss", "--json"))


def test_list_is_tab_separated_off_a_terminal(ran: Run) -> None:
    rows = [line.split("\t") for line in ran("list", "regularizer").splitlines()]
    gp = next(row for row in rows if row[1] == "gp")
    assert gp[0] == "regularizer" and gp[3] == "arXiv:1704.00028" and gp[4] == "ganzoo:penalties"
    assert next(row for row in rows if row[1] == "l2")[3] == "", "no paper is an empty cell"


@pytest.mark.parametrize("columns", [80, 100])
def test_list_can_be_read_on_a_terminal(
    columns: int, ran: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.cli.list.drawn", lambda: True)
    monkeypatch.setattr("ganzoo.cli._shared.drawn", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = ran("list").splitlines()
    assert max(map(len, lines)) <= columns
    for component in zoo().registry.components():
        name = component.name.ljust(2)
        assert any(
            line.startswith(f"  {name}") and line.rstrip().endswith(component.distribution)
            for line in lines
        ), component
    assert len(lines) < 4 * len(zoo().registry.components()), "two or three lines a component"


def test_info_of_every_component(ran: Run) -> None:
    for component in zoo().registry.components():
        about = json.loads(ran("info", component.name, "--kind", component.kind, "--json"))
        assert [a["kind"] for a in about] == [component.kind]
        text = ran("info", component.name, "--kind", component.kind)
        assert component.summary in text
        for option in about[0].get("options", {}):
            assert option in text


def test_info_says_options_companions_and_recipes(ran: Run) -> None:
    (gp,) = json.loads(ran("info", "gp", "--json"))
    assert gp["options"]["weight"]["default"] == "10.0" and gp["options"]["weight"]["help"]
    assert (
        "dcgan (norm=layer)" in gp["goes_with"]["discriminators"]
        and "mlp" in gp["goes_with"]["discriminators"]
    )
    assert gp["recipes"] == ["wgan-gp", "wgan-gp-resnet"]
    (smooth,) = json.loads(ran("info", "smooth", "--json"))
    assert "wgan" not in smooth["goes_with"]["losses"] and "nonsat" in smooth["goes_with"]["losses"]
    both = json.loads(ran("info", "mlp", "--json"))
    assert [a["kind"] for a in both] == ["generator", "discriminator", "encoder"]
    text = ran("info", "ganzoo/gp")
    assert "reg.gp.weight" in text and "goes with" in text


def test_plugins(ran: Run) -> None:
    found = {p["plugin"]: p for p in json.loads(ran("plugins", "--json"))}
    assert found["losses"]["components"]["loss"] >= 6 and found["losses"]["broken"] is None
    assert any(line.startswith("losses\tganzoo ") for line in ran("plugins").splitlines())


def test_data_inspect(tmp_path: Path, ran: Run) -> None:
    for name, count in (("cats", 3), ("dogs", 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.effect_noise((37, 53), 50 + i).save(tmp_path / name / f"{i}.png")
    (tmp_path / "dogs" / "x.png").write_text("text")
    found = json.loads(ran("data", "inspect", tmp_path, "--json"))
    assert found["classes"] == {"cats": 3, "dogs": 2} and found["training"]["channels"] == 1
    text = ran("data", "inspect", tmp_path)
    for said in (
        "5 pictures",
        "53x37 (5)",
        "cats 3, dogs 2",
        "x.png (not a picture)",
        "training would take",
        "1x53x37",
    ):
        assert said in text
    small = json.loads(ran("data", "inspect", tmp_path, "--resolution", "16", "--json"))
    assert (small["training"]["height"], small["training"]["width"]) == (16, 16)


def test_third_party_warnings_do_not_show(tmp_path: Path) -> None:
    script = (
        "import warnings, sys\nimport ganzoo.cli as c\nc.run = lambda a: warnings.warn('noise', "
        "FutureWarning) or 0\nc.main()"
    )
    environment = {key: value for key, value in os.environ.items() if key != "GANZOO_DEBUG"}
    for debug, shown in (("0", False), ("1", True)):
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            env=environment | {"GANZOO_DEBUG": debug},
        )
        assert done.returncode == 0 and ("noise" in done.stderr) == shown


# Completion.


def completed(*words: str, cwd: Path | None = None) -> list[str]:
    """What bash offers for the last word, and that torch was not imported for it."""
    script = (
        "import sys, time\nclock = time.process_time()\nimport atexit\n"
        "atexit.register(lambda: print(sorted({'torch', 'numpy'} & set(sys.modules)), "
        "time.process_time() - clock, file=sys.stderr))\n" + MAIN
    )
    environment = {
        "_GANZOO_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["ganzoo", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd=cwd,
    )
    heavy, _, seconds = done.stderr.strip().rpartition(" ")
    assert heavy == "[]", done.stderr
    SECONDS.append(float(seconds))
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


SECONDS: list[float] = []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], {"train"}),
        (["train", "--gen", "dc"], {"dcgan"}),
        (["train", "--reg", "n"], {"noise", "none"}),
        (["train", "--recipe", "wgan"], {"wgan", "wgan-gp", "wgan-gp-resnet"}),
        (["train", "--data", "ri"], {"ring"}),
        (["train", "--set", "train.b"], {"train.batch_size="}),
        (["info", "hi"], {"hinge"}),
        (["list", "reg"], {"regularizer", "regularizers"}),
        (["train", "--res"], {"--resolution", "--resume"}),
    ],
)
def test_tab_completes_names_kinds_and_settings(words: list[str], offered: set[str]) -> None:
    assert set(completed(*words)) == offered


def test_completion_comes_quickly() -> None:
    for _ in range(3):
        completed("train", "--loss", "")
    assert min(SECONDS) < 0.5, SECONDS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_completion(shell: str, ran: Run) -> None:
    assert f"_GANZOO_COMPLETE={shell}_complete" in ran("completion", shell)


def test_python_m_ganzoo_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ganzoo", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("Usage: ganzoo ")
