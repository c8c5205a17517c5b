"""The two walks of docs/architecture.md are counted, and are about as long as it says."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks import walks

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


@pytest.mark.parametrize(
    "walk,said",
    [(walks.updates, r"penalty that is (\d+) functions"), (walks.command, r"That is (\d+) func")],
)
def test_a_walk_is_as_long_as_the_page_says(walk, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["walks"])
    walk()
    counted = re.search(r": (\d+) functions in (\d+) files", capsys.readouterr().out)
    promised = re.search(said, PAGE.read_text())
    assert counted and promised
    assert int(counted[1]) == pytest.approx(int(promised[1]), rel=0.05)
