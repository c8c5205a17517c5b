"""The examples run as their first lines say."""

import importlib.util
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.components import loading
from ganzoo.testing import findings

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("own_loop", "torch"),
        pytest.param("accelerate_loop", "accelerate", marks=pytest.mark.slow),
        pytest.param("lightning_loop", "lightning", marks=pytest.mark.slow),
    ],
)
def test_a_loop_of_one_s_own(name, needs, tmp_path):
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"needs {needs}")
    out = tmp_path / "own.png"
    command = [sys.executable, EXAMPLES / f"{name}.py", "--images", "320", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(out) as picture:
        assert picture.size == (8 * 30 + 2, 8 * 30 + 2)
        assert len(np.unique(np.asarray(picture))) > 50, "no picture of one colour"


@pytest.fixture
def unloaded():
    """The guide's plugin has that name too."""
    sys.modules.pop("ganzoo_softhinge", None)
    yield
    sys.modules.pop("ganzoo_softhinge", None)


def test_a_plugin_in_twenty_lines(monkeypatch: pytest.MonkeyPatch, unloaded):
    folder = EXAMPLES / "ganzoo-softhinge"
    monkeypatch.syspath_prepend(folder)
    found = loading.load([EntryPoint("softhinge", "ganzoo_softhinge", "ganzoo")])
    component = found.registry.get("loss", "softhinge")
    wrong = [f for f in findings(component, measure=False) if f.outcome == "does not hold"]
    assert wrong == []
    lines = (folder / "ganzoo_softhinge.py").read_text("utf-8").splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(('"""', "#"))]
    assert len(code) <= 20
