"""Windows and macOS, as far as they can be held to from here:
nothing of POSIX is taken for granted, and MPS is offered.
"""

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import elsewhere
import filelock
import platformdirs
import pytest
import torch

from ganzoo.assembly import memory
from ganzoo.data import cache_folder
from ganzoo.engine import devices
from ganzoo.engine.randomness import Streams, forked
from ganzoo.errors import BadRun, DeviceError
from ganzoo.io import device_memory
from ganzoo.training import run_folder as runs

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "ganzoo").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])


@pytest.mark.skipif(sys.platform != "linux", reason="plays another system on Linux")
@pytest.mark.slow
def test_a_first_hour_without_posix(tmp_path):
    """Windows' lacks and its ways with open files,
    played by tests/helpers/elsewhere.py in a process of its own.
    """
    done = subprocess.run(
        [sys.executable, elsewhere.__file__, tmp_path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 10 and {code for code, _ in found.values()} == {0}, found
    for name in ("0001-digits-dcgan-nonsat-gp", "0002-pictures-dcgan-nonsat"):
        assert (tmp_path / "runs" / name / "generator.safetensors").is_file()
    assert list((tmp_path / "cache" / "pictures").glob("*.safetensors")), "not kept in memory"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_only_posix_has_is_asked_for(path):
    """An attribute that Windows lacks stands in a function
    that looks whether it is there, a module within try.
    """
    tree = ast.parse(path.read_text("utf-8"))
    guarded = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.FunctionDef | ast.Try | ast.IfExp | ast.GeneratorExp)
        and any(
            word in ast.unparse(guard)
            for word in ("hasattr(", "getattr(", "AttributeError", "ImportError")
        )
        for node in ast.walk(guard)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = {"os": elsewhere.OS, "signal": elsewhere.SIGNALS}.get(node.value.id, set())
            assert node.attr not in names, f"line {node.lineno}: Windows has no {node.attr}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {getattr(node, "module", None), *(alias.name for alias in node.names)}
            assert not modules & {*elsewhere.MODULES}, f"line {node.lineno}: {modules}"


def test_a_terminal_that_lacks_a_letter_shows_a_question_mark():
    """As on Windows, where what is piped is written in an encoding of 256 letters."""
    environment = os.environ | {"PYTHONIOENCODING": "iso8859-5"}
    command = [sys.executable, "-c", "from ganzoo.cli import main; main()", "info", "gp"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and b"(|g| - 1)?" in done.stdout, done.stderr


# The run's folder and lock, the cache.


def test_a_lock_is_a_file_or_refused(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(BadRun, match="cannot be written"):
        runs.Lock(tmp_path)


def test_the_lock_is_filelock_s_and_the_holder_is_no_one_s_word(tmp_path):
    runs.Lock(tmp_path).release()
    with filelock.FileLock(tmp_path / ".lock"):
        for content in ("x\x1b[2J", "9" * 30):
            (tmp_path / ".lock-owner").write_text(content)
            with pytest.raises(BadRun, match=r"\(process unknown\)"):
                runs.Lock(tmp_path)
    runs.Lock(tmp_path).release()


def test_a_run_s_name_is_one_that_windows_takes(tmp_path):
    choice = SimpleNamespace(name="a:b*c?")
    data = SimpleNamespace(name='in/<my "photos">|.zip')
    folder = runs.new_folder(
        tmp_path, SimpleNamespace(data=data, gen=choice, loss=choice, reg=["x."])
    )
    assert not set(folder.name) & set('<>:"/\\|?*') and not folder.name.endswith((".", " "))


def test_the_cache_is_where_the_system_keeps_caches(monkeypatch):
    monkeypatch.delenv("GANZOO_CACHE", raising=False)
    assert cache_folder() == Path(platformdirs.user_cache_dir("ganzoo", appauthor=False))
    monkeypatch.setenv("GANZOO_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")


# Devices and memory.


class FakeMps(io.IOBase):
    """torch.mps as its manual describes it, with a generator of the CPU behind it."""

    def __init__(self):
        self.generator = torch.Generator()

    def is_available(self):
        return False  # to PyTorch's own functions, which would look for more than this

    def get_rng_state(self, device="mps"):
        return self.generator.get_state()

    def set_rng_state(self, state, device="mps"):
        self.generator.set_state(state)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_best_there_is(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.choose_device("auto").type == chosen


def test_mps_is_taken_by_name_and_runs_plainly(monkeypatch):
    with pytest.raises(DeviceError, match="no MPS device here"):
        devices.choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    device = devices.choose_device("mps")
    assert devices.choose_precision("auto", device) == "fp32"
    assert devices.choose_engine("auto", device)[0] == "eager"
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 1000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 400)
    assert device_memory.free_memory(device) == 600


def test_the_random_state_of_mps_is_saved_and_forked(monkeypatch):
    """Never run on a Mac: a stand-in with the functions of torch.mps."""
    fake, device, real = FakeMps(), torch.device("mps"), torch.Generator
    monkeypatch.setattr(torch, "get_device_module", lambda device=None: fake)
    monkeypatch.setattr(torch, "Generator", lambda device=None: real())
    before = torch.get_rng_state()
    try:
        streams = Streams(0, device)
        state = streams.state_dict()
        assert torch.equal(state["updates_mps"], fake.generator.get_state())
        drawn = torch.rand(3, generator=fake.generator)
        streams.load_state_dict(state, 0)
        with forked(device):
            assert torch.equal(torch.rand(3, generator=fake.generator), drawn)
        assert torch.equal(torch.rand(3, generator=fake.generator), drawn)
    finally:
        torch.set_rng_state(before)


def test_a_system_that_does_not_say_what_is_free_refuses_nothing(monkeypatch):
    cpu = torch.device("cpu")
    assert device_memory.free_memory(cpu) > 1 << 20
    monkeypatch.setattr(device_memory, "Path", lambda name: Path("/nowhere"))
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert device_memory.free_memory(cpu) == total, "as on macOS"
    monkeypatch.setattr(device_memory, "os", SimpleNamespace(environ={}))
    assert device_memory.free_memory(cpu) is None, "as on Windows"
    assert memory.check_fits(SimpleNamespace(device=cpu)) is None
