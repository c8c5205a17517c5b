"""The draw of mutants: what its table says, and that the files which it names are there."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import mutations

ROOT = Path(__file__).parents[2]


def test_every_module_that_is_mutated_is_drawn_from_and_has_tests() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    paths = {path.removesuffix("/*") for path in settings["only_mutate"]}
    modules = {module for module, _ in mutations.TESTS.values()}
    named = {path.removesuffix(".py").removeprefix("src/").replace("/", ".") for path in paths}
    assert named == modules
    for part, (_, files) in mutations.TESTS.items():
        assert files and all((ROOT / file.partition("::")[0]).is_file() for file in files), part


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
    tried = {"a": "killed", "b": "out of time", "c": "survived", "d": "error 3"}
    text = mutations.markdown({"loop": {"mutants": 1000, "tried": tried}})
    assert "| loop | 1,000 | 2 | 1 | 1 | 9% to 91% |" in text
    assert "| **all** | 1,000 | 2 | 1 | 1 | 50%, 0% to 100% |" in text


def test_a_mutant_is_killed_by_a_test_that_fails_and_by_what_ends_its_process() -> None:
    def fails() -> int:
        raise KeyboardInterrupt

    assert mutations.attempt(lambda: 0) == "survived"
    assert mutations.attempt(lambda: 3) == mutations.attempt(fails) == "killed"
    assert mutations.attempt(lambda: os._exit(9)) == "killed"


@pytest.mark.parametrize("fails", [False, True])
def test_tests_that_fail_without_a_mutant_kill_none(tmp_path, monkeypatch, fails) -> None:
    runs: list[str] = []
    outcome = iter(["killed" if fails else "survived", "killed"])
    monkeypatch.setattr(mutations, "attempt", lambda run: next(outcome))
    draw = mutations.Draw(["a"], tmp_path, lambda name, found: runs.append(f"{name} {found}"))
    session = SimpleNamespace(Failed=pytest.Session.Failed)
    if fails:
        with pytest.raises(pytest.Session.Failed, match="without a mutant"):
            draw.pytest_runtestloop(session)  # type: ignore[arg-type]
    else:
        assert draw.pytest_runtestloop(session)  # type: ignore[arg-type]
    assert runs == ([] if fails else ["a killed"])
