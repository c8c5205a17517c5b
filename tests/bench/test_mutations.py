"""The draw of mutants: what its table says, and that the files which it names are there."""

from __future__ import annotations

import os
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import mutations

ROOT = Path(__file__).parents[2]


def test_every_module_that_is_mutated_is_drawn_from_and_has_tests() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    paths = {path.removesuffix("/*") for path in settings["only_mutate"]}
    named = {path.removesuffix(".py").removeprefix("src/").replace("/", ".") for path in paths}
    assert {f"{module}." for module in named} == set(mutations.PARTS.values())
    assert all((ROOT / path.partition("::")[0]).exists() for path in mutations.TESTS)


def test_the_interval_is_wilsons() -> None:
    assert mutations.interval(15, 15) == pytest.approx((0.7961, 1.0), abs=1e-4)
    assert mutations.interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert mutations.interval(0, 0) == (0.0, 1.0)


def test_parts_weigh_as_many_mutants_as_they_have() -> None:
    share, half = mutations.whole([(300, 10, 10), (100, 10, 5)])
    assert share == pytest.approx(0.75 + 0.125)
    parts = [0.75**2 * (11 / 12) / 12 / 10 * (1 - 1 / 30), 0.25**2 * 0.25 / 10 * 0.9]
    assert half == pytest.approx(1.96 * sum(parts) ** 0.5)
    assert mutations.whole([(10, 10, 9)]) == (0.9, 0.0), "all were tried"


def test_the_table_leaves_out_what_was_not_decided() -> None:
    names = [f"ganzoo.training.loop.xǁTrainingǁsave__mutmut_{n}" for n in range(6)]
    outcomes = ["killed", "out of time", "survived", "survived", "survived", "error 3"]
    tried = dict(zip(names, outcomes, strict=True))
    about = {"mutants": 1000, "tried": tried, "again": {names[2]: "killed", names[3]: "survived"}}
    text = mutations.markdown({"loop": about}, "| `loop.Training.save 3` | why |")
    assert "| loop | 1,000 | 4 | 1 | 1 | 1 | 1 | 15% to 85% |" in text
    assert "| **all** | 1,000 | 4 | 1 | 1 | 1 | 1 | 50%, 1% to 99% |" in text
    assert "| **all** | 0 | 0 |" in mutations.markdown({})


def test_names_are_those_of_the_code() -> None:
    assert mutations.short("ganzoo.a.loop.xǁTrainingǁ_end__mutmut_12") == "loop.Training._end 12"
    assert mutations.short("ganzoo.a.loop.x__own__mutmut_1") == "loop._own 1"


def test_a_mutant_is_killed_by_a_test_that_fails_and_by_what_ends_its_process() -> None:
    def fails() -> int:
        raise KeyboardInterrupt

    assert mutations.attempt(lambda: 0, 60) == "survived"
    assert mutations.attempt(lambda: 3, 60) == mutations.attempt(fails, 60) == "killed"
    assert mutations.attempt(lambda: os._exit(9), 60) == "killed"
    assert mutations.attempt(lambda: time.sleep(60) or 0, 0.1) == "out of time"


def test_a_mutant_is_tried_by_the_cheapest_tests_that_reach_it(tmp_path) -> None:
    draw = mutations.Draw([], 3.0, False, set(), lambda name, found: None)
    f, g = ["m.f", "loop.f"], ["m.f", "m.g", "loop.f"]
    draw.reached = {"slow": (2.5, f), "b": (2.0, g), "a": (0.5, f), "c": (1.0, [])}
    texts = {name: tmp_path / name for name in draw.reached}
    for name, path in texts.items():
        path.write_text("of loop" if name == "b" else "")
    tests: list[Any] = [SimpleNamespace(nodeid=n, path=texts[n]) for n in texts]

    def chosen(function: str) -> list[str]:
        return [test.nodeid for test in draw.chosen(tests, function)[0]]

    assert chosen("m.f") == ["a", "b"] and chosen("m.g") == ["b"] and chosen("m.h") == []
    assert chosen("loop.f") == ["b", "a"], "its file names the module"
    draw.kills["slow"] = 9
    assert chosen("m.f") == ["slow", "a"], "of what it costs, it kills most"


TESTS = """
import os, sys
def test_that_always_fails():
    sys.modules["hits"].add("m.x_f")
    assert False
def test_of_f():
    sys.modules["hits"].add("m.x_f")
    assert os.environ["MUTANT_UNDER_TEST"] != "m.x_f__mutmut_1"
"""


def test_tests_that_fail_without_a_mutant_kill_none(tmp_path, monkeypatch) -> None:
    hits: set[str] = set()
    monkeypatch.setitem(sys.modules, "hits", hits)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_it.py").write_text(TESTS)
    outcomes = tmp_path / "outcomes"
    mutants = [f"m.x_{name}" for name in ("f__mutmut_1", "f__mutmut_2", "g__mutmut_1")]

    def note(name: str, found: str) -> None:
        outcomes.write_text(outcomes.read_text() + f"{name} {found}\n")

    def run() -> int:
        outcomes.touch()
        draw = mutations.Draw(mutants, 9.0, False, hits, note)
        return pytest.main([*mutations.OPTIONS, "-c", os.devnull, "test_it.py"], plugins=[draw])

    assert mutations.forked(run, 60) == 0
    found = ["killed", "survived", "survived"]
    assert outcomes.read_text() == "".join(map("{} {}\n".format, mutants, found))
