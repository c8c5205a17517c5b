"""Errors of the command line itself: text that would talk to
the terminal, interrupts, our own bugs, readers that leave.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    "line",
    [
        ["train", "--gen", "a\x1b]0;title\x07b"],
        ["train", "--set", "gen.\x1b[2Jwidth=3"],
        ["train", "--data", "a\x1b[31mb\nc"],
        ["train", "--set", "gen.width=\x1b[31m"],
        ["info", "[bold red]x[/]\x1b[0m"],
        ["\x1b[2J"],
        ["train", "--\x1b[2J"],
    ],
)
def test_names_cannot_talk_to_the_terminal(line: list[str], cli: Cli) -> None:
    done = cli(*line)
    assert done.code == 2 and done.err.startswith("Error: ") and done.err.count("\n") == 1
    text = done.err
    assert "\x1b" not in text and "\x07" not in text


def test_a_plugin_cannot_talk_to_the_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo.components.loading import zoo
    from ganzoo.components.registry import Component

    def drift(*, weight: float = 1.0) -> None:
        """Evil \x1b[2J [bold]markup[/bold]."""

    registry = zoo().registry
    evil = Component(
        "loss", "evil", drift, "evil", "ganzoo-evil", "1\x1b[0m", {"paper": "\x1b[31mred"}
    )
    monkeypatch.setattr(registry, "_all", [*registry._all, evil])
    for command in (["list", "loss"], ["info", "evil"]):
        done = cli(*command)
        assert done.code == 0 and "[bold]markup[/bold]" in done.out, "markup is text"
        assert "\x1b" not in done.out


def test_an_interrupt_while_the_parts_are_assembled(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ganzoo.assembly.assembling.assemble", interrupted)
    monkeypatch.chdir(tmp_path)
    done = cli("train")
    assert done.code == 130 and done.err.strip() == "Error: interrupted"
    assert not list(tmp_path.iterdir())


def test_an_error_of_our_own_is_one_line_too_unless_debugging(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: object) -> None:
        raise ZeroDivisionError("inner\nmatters")

    monkeypatch.setattr("ganzoo.assembly.assembling.assemble", failing)
    done = cli("train")
    assert (done.code, done.err) == (
        1,
        "Error: unexpected ZeroDivisionError: inner matters; GANZOO_DEBUG=1 shows where\n",
    )
    monkeypatch.setenv("GANZOO_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli("train")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-c", "from ganzoo.cli import main; main()", "list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_full_disk_is_one_line() -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-c", "from ganzoo.cli import main; main()", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (
        done.returncode == 1
        and done.stderr.startswith("Error: ")
        and "No space left" in done.stderr
    )
    assert done.stderr.count("\n") == 1
