"""Nothing takes more than a second in silence: steps
that take long are named on stderr while they last.
"""

import io
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from PIL import Image
from rich.console import Console

from ganzoo.assembly import assembling as assembly
from ganzoo.assembly import memory
from ganzoo.cli import _patience, _report
from ganzoo.cli._patience import Teller, patience
from ganzoo.data import inspect, load_pictures
from ganzoo.io.activity import doing, heard

MAIN = "from ganzoo.cli import main; main()"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A twentieth of a second is long here."""
    monkeypatch.setattr(_patience, "PATIENCE", 0.05)


def test_what_takes_long_is_said_and_what_does_not_is_not(capsys):
    with patience("one"):
        doing("two")
        time.sleep(0.3)
        doing("three")
        doing("four", now=True)
        doing("five\x1b[2J")
        time.sleep(0.3)
        doing("")
    time.sleep(0.1)
    assert capsys.readouterr().err.splitlines() == ["two ...", "four ...", "five [2J ..."]


def test_a_terminal_has_a_spinner_that_goes(monkeypatch):
    screen = io.StringIO()
    made = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr("rich.console.Console", lambda **options: made)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    teller = Teller()
    teller.tell("building the nets")
    time.sleep(0.4)
    assert "building the nets" in screen.getvalue() and teller._spinner is not None
    teller.tell("")
    assert teller._spinner is None and made._live_stack == []


def test_nobody_need_listen():
    doing("what nobody hears")
    said = []
    with heard(lambda what, now: said.append(what)):
        doing("one")
    doing("two")
    assert said == ["one"]


# What the commands say.


def slow(function, seconds=0.4):
    """The function, after a while."""

    def later(*arguments, **options):
        time.sleep(seconds)
        return function(*arguments, **options)

    return later


def test_a_training_names_the_step_that_takes_long(monkeypatch, cli, small, tmp_path):
    """As --resolution 2048 does it for a minute."""
    for module, name in (
        (assembly, "build_nets"),
        (assembly, "rehearse"),
        (memory, "estimate"),
    ):
        monkeypatch.setattr(module, name, slow(getattr(module, name)))
    done = cli("train", *small, "--set", "train.images=16", "--out", tmp_path)
    assert done.code == 0
    lines = done.err.splitlines()
    said = [line for line in lines if line.endswith(" ...")]
    steps = ["building the nets ...", "rehearsing an update of each net with a batch of 16 ...",
             "working out the memory ..."]  # fmt: skip
    assert [line for line in said if line in steps] == steps
    assert lines.index(steps[0]) < next(i for i, line in enumerate(lines) if "run folder" in line)


def test_the_size_of_pictures_is_said_before_they_are_decoded(monkeypatch, tmp_path):
    """For a training and an inspection alike; at once, where they are large."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image.new("RGB", (40, 30), (i, 0, 0)).save(tmp_path / "in" / f"{i}.png")
    for open_it in (load_pictures, inspect):
        said = []
        with heard(lambda what, now, said=said: said.append((what, now))):
            open_it(
                tmp_path / "in",
                resolution=(4096, 4096),
                progress=lambda done, _, said=said: said.append(done),
            )
        size = next(i for i, entry in enumerate(said) if "144 MiB" in str(entry))
        assert said[size][0].startswith("decoding 3 pictures") and said[size][1]
        assert size < said.index(3), "before any is decoded"
        assert said[0][0].startswith("reading the headers of 3 pictures")


def test_reading_pictures_is_told_where_there_is_no_bar(monkeypatch, capsys):
    monkeypatch.setattr(_report, "PLAIN_EVERY", 0.0)
    with _report.data_progress() as progress:
        progress(1200, 34000)
    assert "reading pictures: 1,200 of 34,000" in capsys.readouterr().err


def test_a_training_without_log_lines_is_not_silent(monkeypatch, capsys):
    monkeypatch.setattr(_report, "QUIET", 0.1)
    train = SimpleNamespace(images=1000)
    reporter = _report.Reporter(SimpleNamespace(config=SimpleNamespace(train=train)))
    reporter.start({}, None, 0)
    time.sleep(0.3)
    for images in (10, 20, 30):
        reporter.tick(images)
    reporter.finish()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "the first update ..." and said[1].startswith("10/1,000 images")
    assert len(said) == 2, "and not after every update"


def test_the_first_word_comes_before_torch_is_there(tmp_path):
    """`info`, `generate` and `train` load it, which
    takes seconds on a slow disk; here it never comes.
    """
    (tmp_path / "torch.py").write_text("import time; time.sleep(1); raise ImportError('no torch')")
    code = f"from ganzoo.cli import _patience; _patience.PATIENCE = 0.1; {MAIN}"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    for words in (
        ["info", "gp"],
        ["train", "--dry-run"],
        ["generate", "."],
        ["data", "inspect", "."],
    ):
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.stderr.startswith("loading PyTorch ...\n"), (words, done.stderr)
