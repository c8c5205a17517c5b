"""What several test files need: the command line inside this process, and one small trained run."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # a process a core: threads beside would only wait for each other; before torch is imported
    os.environ["OMP_NUM_THREADS"] = "1"

# Before any matrix product on a GPU; importing ganzoo sets it too.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import pytest
import recorded
from environments import REAL, build_wheel

from ganzoo.cli import _patience, run

_patience.PATIENCE = 600.0  # a busy machine must not add lines to what tests read

collect_ignore = [] if (REAL / "cifar10-train.zip").exists() else ["data/test_real_data.py"]
SMALL = (
    *("--loss", "nonsat", "--images", "256", "--batch-size", "16", "--resolution", "16"),
    *("--set", "gen.width=8", "--set", "disc.width=8"),
)


def pytest_report_header() -> list[str]:
    """Says what is not collected here."""
    return [f"left out, since {REAL} has no data sets: {name}" for name in collect_ignore]


class Outcome(NamedTuple):
    """What a command did: its exit code, and what it printed."""

    code: int
    out: str
    err: str


def call(*arguments: object) -> Outcome:
    """Run `ganzoo ARGUMENTS` without a process of its own, which would import torch again."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session", autouse=True)
def _same_precision_everywhere() -> Iterator[None]:
    """What is compared here must not depend on the processor, nor on a trial by the clock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganzoo.assembly.assembling.computes_in_bf16", lambda: False)
        yield


@pytest.fixture(scope="session")
def cli() -> Callable[..., Outcome]:
    """`cli("train", "--gen", "dcgan")` -> Outcome."""
    return call


@pytest.fixture(scope="session")
def ran() -> Callable[..., str]:
    """`ran("list")` -> what a command that must succeed prints on stdout."""

    def succeed(*arguments: object) -> str:
        done = call(*arguments)
        assert done.code == 0, done.err
        return done.out

    return succeed


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Flags of a training that takes a second."""
    return SMALL


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run on the digits; not to be changed."""
    root = tmp_path_factory.mktemp("trained")
    done = call("train", "--gen", "dcgan", "--reg", "r1", *SMALL, "--out", root)
    assert done.code == 0, done.err
    return next(root.iterdir())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist of this checkout, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build_wheel(folder)
    return folder


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> recorded.Cuda:
    """Recordings without a GPU."""
    return recorded.stand_in(monkeypatch)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the ranks of torchrun have."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
