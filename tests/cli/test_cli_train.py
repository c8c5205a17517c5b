"""`ganzoo train` as a person and a script meet it: dry runs,
runs that repeat and resume, signals, what is seen on the way.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

Cli = Callable[..., Any]
Run = Callable[..., str]
MAIN = "from ganzoo.cli import main; main()"


# Training.


def test_a_dry_run_prints_a_run_file_and_writes_nothing(
    tmp_path: Path, ran: Run, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    adapted = (*small, "--set", "disc.norm=auto")
    text = ran("train", "--reg", "gp", *adapted, "--dry-run")
    assert not list(tmp_path.iterdir())
    for said in (
        "# generator: ",
        "# discriminator: ",
        " parameters",
        "# memory: about ",
        "# note: gp needs",
        "# data: 10,000 samples",
    ):
        assert said in text
    about = json.loads(ran("train", "--reg", "gp", *adapted, "--dry-run", "--json"))
    assert about["parameters"]["generator"] > 1000 and about["memory_bytes"]["total"] > 1000
    assert about["config"]["reg"]["gp"]["weight"] == 10.0, "resolved: every option is written out"
    (tmp_path / "run.toml").write_text(text)
    again = json.loads(ran("train", "--config", "run.toml", "--dry-run", "--json"))
    assert again["config"] == about["config"]


def test_the_paper_s_dcgan_is_counted(ran: Run, tmp_path: Path) -> None:
    for i in range(2):
        Image.fromarray(np.full((64, 64, 3), i * 99, np.uint8)).save(tmp_path / f"{i}.png")
    flags = (
        "--data",
        tmp_path,
        "--set",
        "data.channels=3",
        "--batch-size",
        2,
        "--dry-run",
        "--json",
    )
    about = json.loads(ran("train", "--recipe", "dcgan", *flags))
    assert about["parameters"] == {"generator": 3_576_704, "discriminator": 2_765_568}


def test_a_run_says_where_everything_is(tmp_path: Path, cli: Cli, small: tuple[str, ...]) -> None:
    done = cli("train", *small, "--out", tmp_path / "my runs")
    assert done.code == 0
    folder = tmp_path / "my runs" / "0001-digits-dcgan-nonsat"
    for path in ("samples/000000256.png", "real.png", "generator.safetensors"):
        assert str(folder / path) in done.out and (folder / path).is_file()
    assert (
        f"ganzoo generate '{folder}'" in done.out
        and f"ganzoo train --resume '{folder}'" in done.out
    )
    lines = done.err.splitlines()
    report = next(line for line in lines if line.startswith("256/256 images"))
    for said in ("images/s", "left", "loss D ", " G ", "D(real)", "D(fake)"):
        assert said in report
    assert not any("Warning" in line or "Traceback" in line for line in lines)
    assert [
        json.loads(line)["images"] for line in (folder / "log.jsonl").read_text().splitlines()
    ] == [256]


def test_what_ran_runs_again_to_the_bit(tmp_path: Path, ran: Run, trained: Path) -> None:
    ran("train", "--config", trained / "run.toml", "--out", tmp_path)
    again = next(tmp_path.iterdir())
    assert again.name == trained.name
    before, after = (load_file(folder / "generator.safetensors") for folder in (trained, again))
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert (again / "samples/000000256.png").read_bytes() == (
        trained / "samples/000000256.png"
    ).read_bytes()
    ran("train", "--config", trained / "run.toml", "--seed", 1, "--out", tmp_path)
    other = load_file(sorted(tmp_path.iterdir())[1] / "generator.safetensors")
    assert not all(torch.equal(before[k], other[k]) for k in before)


def test_a_finished_run_resumes_to_more_images(tmp_path: Path, cli: Cli, trained: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    done = cli("train", "--resume", tmp_path / "run", "--batch-size", 16, "--images", 320)
    assert (
        done.code == 0
        and "resumed at 256 images" in done.err
        and "trained on 320 images" in done.out
    )
    done = cli("train", "--resume", tmp_path / "run")
    assert done.code == 0 and "has shown its 320 images already" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="a process can send no signals there")
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_a_signal_saves_and_says_how_to_go_on(
    name: str, tmp_path: Path, cli: Cli, small: tuple[str, ...]
) -> None:
    number = getattr(signal, name)
    # Whoever runs the tests may ignore signals (nohup),
    # which children inherit and a training heeds.
    heeding = f"import signal; signal.signal(signal.{name}, signal.SIG_DFL); {MAIN}"
    command = [
        sys.executable,
        "-c",
        heeding,
        "train",
        *small,
        "--set",
        "train.images=10M",
        "--out",
        str(tmp_path),
        "--set",
        "log.images=64",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 60
        while (
            not list(tmp_path.glob("*/log.jsonl"))
            and process.poll() is None
            and time.monotonic() < until
        ):
            time.sleep(0.05)
        process.send_signal(number)
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()  # if it heeds no signal, the test ends all the same
    assert process.returncode == 128 + number, err
    (folder,) = tmp_path.iterdir()
    assert out == "" and "Traceback" not in err and "Error" not in err
    assert err.splitlines()[-1].endswith(
        f"and saved; continue with: ganzoo train --resume {folder}"
    )
    (saved,) = (folder / "checkpoints").iterdir()
    images = int(saved.name)
    assert (saved / "manifest.json").is_file() and f"stopped after {images:,} images" in err
    done = cli("train", "--resume", folder, "--images", images + 64)
    assert done.code == 0 and f"resumed at {images:,} images" in done.err, done.err
    logged = [
        json.loads(line)["images"] for line in (folder / "log.jsonl").read_text().splitlines()
    ]
    assert logged == sorted(set(logged)) and logged[-1] == images + 64, "no line twice, none lost"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="terminals are closed otherwise here")
def test_a_closed_terminal_stops_and_saves(tmp_path: Path, small: tuple[str, ...]) -> None:
    """Nothing can be written any more when the signal comes."""
    import os
    import pty

    command = ["train", *small, "--set", "train.images=10M", "--set", "log.images=64"]
    command += ["--out", str(tmp_path)]
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it (nohup)
        os.execv(sys.executable, [sys.executable, "-c", MAIN, *command])
    until = time.monotonic() + 120
    os.set_blocking(terminal, False)
    while not list(tmp_path.glob("*/log.jsonl")) and time.monotonic() < until:
        with contextlib.suppress(BlockingIOError):
            os.read(terminal, 1 << 16)
        time.sleep(0.05)
    os.close(terminal)
    ended = 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert len(list(tmp_path.glob("*/checkpoints/*/manifest.json"))) == 1


# What a person sees while it trains.


def test_progress_on_a_terminal_is_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo.cli import _report

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(_report, "CONSOLE", console)
    reporter = _report.Reporter(
        SimpleNamespace(config=SimpleNamespace(train=SimpleNamespace(images=1000)))
    )  # type: ignore[arg-type]
    reporter.start({}, None, 0)
    reporter.tick(50)
    assert reporter.bar is not None
    reporter.bar.refresh()
    assert "50/1,000 images" in screen.getvalue() and "images/s" not in screen.getvalue(), (
        "the first one may have been compiled"
    )
    reporter.tick(100)
    reporter.bar.refresh()
    assert (
        "100/1,000 images" in screen.getvalue()
        and "images/s" in screen.getvalue()
        and " left" in screen.getvalue()
    )
    assert "loss" not in screen.getvalue(), "losses only once they are known"
    record = {
        "images": 500,
        "discriminator": {"total": 1.25, "gradient": 0.0123},
        "generator": {"total": 0.5, "gradient": 31.0},
        "D(real)": 1.5,
        "D(fake)": -2.0,
        "health": "balanced: discriminator right 70% of the time",
    }
    reporter.log(record)
    reporter.tick(500)
    reporter.bar.refresh()
    frame = screen.getvalue().rpartition("500/1,000 images")[2]
    first, second = frame.splitlines()[:2]
    assert first.endswith("left | balanced")
    assert second.startswith(
        "loss D 1.25 G 0.50 | D(real) 1.50 D(fake) -2.00 | grad D 0.012 G 31.00"
    )
    reporter.announce("stopping after this update")
    reporter.bar.refresh()
    assert "stopping after this update" in screen.getvalue()
    reporter.finish()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert max(map(len, plain.splitlines())) <= 80, "nothing wraps"
    assert screen.getvalue().endswith("\n\x1b[?25h"), (
        "the cursor is shown again, on a line of its own"
    )


def test_a_report_shows_only_what_is_known() -> None:
    from ganzoo.cli._report import duration, figures

    assert (
        figures({"health": "balanced: right", "discriminator": {"total": 1.0}})
        == "loss D 1.00 | right"
    )
    assert figures({"images": 3, "event": "rollback"}) == ""
    assert [duration(s) for s in (0, 5.4, 63, 3600, 7263, -1)] == [
        "0:00",
        "0:05",
        "1:03",
        "1:00:00",
        "2:01:03",
        "0:00",
    ]
