"""The command line as a person and a script meet it: every command, twice the same bytes, signals, speed of the help."""

from __future__ import annotations

import io
import json
import os
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

from ganzoo.contracts import Dataset
from ganzoo.plugins import zoo
from ganzoo.registry import Component

Cli = Callable[..., Any]
MAIN = "from ganzoo.cli import main; main()"


def ran(cli: Cli, *arguments: object) -> str:
    """What a command that must succeed prints on stdout."""
    done = cli(*arguments)
    assert done.code == 0, done.err
    return str(done.out)


# Help and lists.


def test_the_help_comes_quickly() -> None:
    seconds = []
    for _ in range(3):
        clock = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", MAIN, "--help"], capture_output=True, text=True)
        seconds.append(time.perf_counter() - clock)
        assert done.returncode == 0 and done.stderr == ""
    assert min(seconds) < 0.4, seconds
    for command in ("train", "list", "info", "generate", "plugins", "data"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("line", [["list"], ["list", "--json"], ["plugins"], ["--version"], ["train", "--help"], ["train", "--images", "x"]])
def test_no_torch_where_none_is_needed(line: list[str]) -> None:
    script = (
        "import sys\nfrom ganzoo.cli import run\ncode = run(sys.argv[1:])\n"
        "heavy = {'torch', 'numpy', 'torchvision', 'sklearn'} & set(sys.modules)\nassert not heavy, heavy\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *line], capture_output=True, text=True)
    assert done.returncode == (2 if "x" in line else 0), done.stderr
    assert "assert" not in done.stderr


@pytest.mark.parametrize("command", ["train", "list", "info", "generate", "plugins", "data", "data inspect"])
def test_every_command_and_option_has_a_help(command: str, cli: Cli) -> None:
    text = ran(cli, *command.split(), "--help")
    assert text.startswith(f"Usage: ganzoo {command} ")
    lines = text[text.index("Options:") :].splitlines()[1:]
    lines = lines[: lines.index("")] if "" in lines else lines
    for i, line in enumerate(lines):
        if line.strip().startswith("-"):
            said = len(line.strip().split("  ", 1)) == 2 or (i + 1 < len(lines) and not lines[i + 1].strip().startswith("-"))
            assert said, f"{command}: no help for {line.strip()}"


def test_without_arguments_there_is_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 2 and done.err.startswith("Usage: ganzoo") and "train" in done.err


def test_list_is_complete_for_programs(cli: Cli) -> None:
    found = json.loads(ran(cli, "list", "--json"))
    assert {(c["kind"], c["name"]) for c in found} == {(c.kind, c.name) for c in zoo().registry.components()}
    for component in found:
        assert component["distribution"] and component["plugin"] and component["version"] and component["summary"]
    losses = json.loads(ran(cli, "list", "losses", "--json"))
    assert {c["kind"] for c in losses} == {"loss"} and len(losses) >= 6
    assert losses == json.loads(ran(cli, "list", "loss", "--json"))


def test_list_is_tab_separated_off_a_terminal(cli: Cli) -> None:
    rows = [line.split("\t") for line in ran(cli, "list", "regularizer").splitlines()]
    gp = next(row for row in rows if row[1] == "gp")
    assert gp[0] == "regularizer" and gp[3] == "arXiv:1704.00028" and gp[4] == "ganzoo:penalties"
    assert next(row for row in rows if row[1] == "l2")[3] == "", "no paper is an empty cell"


@pytest.mark.parametrize("columns", [80, 100])
def test_list_can_be_read_on_a_terminal(columns: int, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganzoo.cli.list.drawn", lambda: True)
    monkeypatch.setattr("ganzoo.cli._shared.drawn", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = ran(cli, "list").splitlines()
    assert max(map(len, lines)) <= columns
    for component in zoo().registry.components():
        name = component.name.ljust(2)
        assert any(line.startswith(f"  {name}") and line.rstrip().endswith(component.distribution) for line in lines), component
    assert len(lines) < 4 * len(zoo().registry.components()), "two or three lines a component"


def test_info_of_every_component(cli: Cli) -> None:
    for component in zoo().registry.components():
        about = json.loads(ran(cli, "info", component.name, "--kind", component.kind, "--json"))
        assert [a["kind"] for a in about] == [component.kind]
        text = ran(cli, "info", component.name, "--kind", component.kind)
        assert component.summary in text
        for option in about[0].get("options", {}):
            assert option in text


def test_info_says_options_companions_and_recipes(cli: Cli) -> None:
    (gp,) = json.loads(ran(cli, "info", "gp", "--json"))
    assert gp["options"]["weight"]["default"] == "10.0" and gp["options"]["weight"]["help"]
    assert "dcgan (norm=layer)" in gp["goes_with"]["discriminators"] and "mlp" in gp["goes_with"]["discriminators"]
    assert gp["recipes"] == ["wgan-gp"]
    (smooth,) = json.loads(ran(cli, "info", "smooth", "--json"))
    assert "wgan" not in smooth["goes_with"]["losses"] and "nonsat" in smooth["goes_with"]["losses"]
    both = json.loads(ran(cli, "info", "mlp", "--json"))
    assert [a["kind"] for a in both] == ["generator", "discriminator"]
    text = ran(cli, "info", "ganzoo/gp")
    assert "reg.gp.weight" in text and "goes with" in text


def test_plugins(cli: Cli) -> None:
    found = {p["plugin"]: p for p in json.loads(ran(cli, "plugins", "--json"))}
    assert found["losses"]["components"]["loss"] >= 6 and found["losses"]["broken"] is None
    assert any(line.startswith("losses\tganzoo ") for line in ran(cli, "plugins").splitlines())


def test_data_inspect(tmp_path: Path, cli: Cli) -> None:
    for name, count in (("cats", 3), ("dogs", 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.effect_noise((37, 53), 50 + i).save(tmp_path / name / f"{i}.png")
    (tmp_path / "dogs" / "x.png").write_text("text")
    found = json.loads(ran(cli, "data", "inspect", tmp_path, "--json"))
    assert found["classes"] == {"cats": 3, "dogs": 2} and found["training"]["channels"] == 1
    text = ran(cli, "data", "inspect", tmp_path)
    for said in ("5 pictures", "53x37 (5)", "cats 3, dogs 2", "x.png (not a picture)", "training would take", "1x53x37"):
        assert said in text
    small = json.loads(ran(cli, "data", "inspect", tmp_path, "--resolution", "16", "--json"))
    assert (small["training"]["height"], small["training"]["width"]) == (16, 16)


# Training.


def test_a_dry_run_prints_a_run_file_and_writes_nothing(
    tmp_path: Path, cli: Cli, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = ran(cli, "train", "--reg", "gp", *small, "--dry-run")
    assert not list(tmp_path.iterdir())
    for said in ("# generator: ", "# discriminator: ", " parameters", "# memory: about ", "# note: gp needs", "# data: 1,797 samples"):
        assert said in text
    about = json.loads(ran(cli, "train", "--reg", "gp", *small, "--dry-run", "--json"))
    assert about["parameters"]["generator"] > 1000 and about["memory_bytes"]["total"] > 1000
    assert about["config"]["reg"]["gp"]["weight"] == 10.0, "resolved: every option is written out"
    (tmp_path / "run.toml").write_text(text)
    again = json.loads(ran(cli, "train", "--config", "run.toml", "--dry-run", "--json"))
    assert again["config"] == about["config"]


def test_the_paper_s_dcgan_is_counted(cli: Cli, tmp_path: Path) -> None:
    for i in range(2):
        Image.fromarray(np.full((64, 64, 3), i * 99, np.uint8)).save(tmp_path / f"{i}.png")
    flags = ("--data", tmp_path, "--set", "data.channels=3", "--batch-size", 2, "--dry-run", "--json")
    about = json.loads(ran(cli, "train", "--recipe", "dcgan", *flags))
    assert about["parameters"] == {"generator": 3_576_704, "discriminator": 2_765_568}


def test_a_run_says_where_everything_is(tmp_path: Path, cli: Cli, small: tuple[str, ...]) -> None:
    done = cli("train", *small, "--out", tmp_path / "my runs")
    assert done.code == 0
    folder = tmp_path / "my runs" / "0001-digits-dcgan-nonsat"
    for path in ("samples/000000256.png", "real.png", "generator.safetensors"):
        assert str(folder / path) in done.out and (folder / path).is_file()
    assert f"ganzoo generate '{folder}'" in done.out and f"ganzoo train --resume '{folder}'" in done.out
    lines = done.err.splitlines()
    report = next(line for line in lines if line.startswith("256/256 images"))
    for said in ("images/s", "left", "loss D ", " G ", "D(real)", "D(fake)"):
        assert said in report
    assert not any("Warning" in line or "Traceback" in line for line in lines)
    assert [json.loads(line)["images"] for line in (folder / "log.jsonl").read_text().splitlines()] == [256]


def test_what_ran_runs_again_to_the_bit(tmp_path: Path, cli: Cli, trained: Path) -> None:
    ran(cli, "train", "--config", trained / "run.toml", "--out", tmp_path)
    again = next(tmp_path.iterdir())
    assert again.name == trained.name
    before, after = (load_file(folder / "generator.safetensors") for folder in (trained, again))
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert (again / "samples/000000256.png").read_bytes() == (trained / "samples/000000256.png").read_bytes()
    ran(cli, "train", "--config", trained / "run.toml", "--seed", 1, "--out", tmp_path)
    other = load_file(sorted(tmp_path.iterdir())[1] / "generator.safetensors")
    assert not all(torch.equal(before[k], other[k]) for k in before)


def test_a_finished_run_resumes_to_more_images(tmp_path: Path, cli: Cli, trained: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    done = cli("train", "--resume", tmp_path / "run", "--batch-size", 16, "--images", 320)
    assert done.code == 0 and "resumed at 256 images" in done.err and "trained on 320 images" in done.out
    done = cli("train", "--resume", tmp_path / "run")
    assert done.code == 0 and "has shown its 320 images already" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path, cli: Cli, small: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", MAIN, "train", *small, "--images", "10M", "--out", str(tmp_path), "--set", "log.images=64"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not list(tmp_path.glob("*/log.jsonl")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    (folder,) = tmp_path.iterdir()
    assert out == "" and "Traceback" not in err and "Error" not in err
    assert err.splitlines()[-1].endswith(f"and saved; continue with: ganzoo train --resume {folder}")
    (saved,) = (folder / "checkpoints").iterdir()
    images = int(saved.name)
    assert (saved / "manifest.json").is_file() and f"stopped after {images:,} images" in err
    done = cli("train", "--resume", folder, "--images", images + 64)
    assert done.code == 0 and f"resumed at {images:,} images" in done.err, done.err
    logged = [json.loads(line)["images"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert logged == sorted(set(logged)) and logged[-1] == images + 64, "no line twice, none lost"


# What a person sees while it trains.


def test_progress_on_a_terminal_is_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo.cli import _report

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(_report, "CONSOLE", console)
    reporter = _report.Reporter(SimpleNamespace(config=SimpleNamespace(train=SimpleNamespace(images=1000))))  # type: ignore[arg-type]
    reporter.start({})
    reporter.tick(100)
    assert reporter.bar is not None
    reporter.bar.refresh()
    assert "100/1,000 images" in screen.getvalue() and "images/s" in screen.getvalue() and " left" in screen.getvalue()
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
    assert second.startswith("loss D 1.25 G 0.50 | D(real) 1.50 D(fake) -2.00 | grad D 0.012 G 31.00")
    reporter.announce("stopping after this update")
    reporter.bar.refresh()
    assert "stopping after this update" in screen.getvalue()
    reporter.finish()
    drawn = "".join(console.render_str(line).plain for line in screen.getvalue().splitlines(keepends=True))
    assert max(len(line) for line in drawn.replace("\x1b", "\n\x1b").splitlines() if "|" in line) <= 80 + len("\x1b[2K")
    assert screen.getvalue().endswith("\n\x1b[?25h"), "the cursor is shown again, on a line of its own"


def test_a_report_shows_only_what_is_known() -> None:
    from ganzoo.cli._report import duration, figures

    assert figures({"health": "balanced: right", "discriminator": {"total": 1.0}}) == "loss D 1.00 | right"
    assert figures({"images": 3, "event": "rollback"}) == ""
    assert [duration(s) for s in (0, 5.4, 63, 3600, 7263, -1)] == ["0:00", "0:05", "1:03", "1:00:00", "2:01:03", "0:00"]


# Pictures from a trained generator.


def test_generate_gives_the_same_bytes_twice_and_from_the_file_alone(
    tmp_path: Path, cli: Cli, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(2):
        ran(cli, "generate", trained, "--count", 64, "--seed", 1, "--out", tmp_path / f"{i}.png")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(trained / "generator.safetensors", alone / "copy.safetensors")
    monkeypatch.chdir(alone)
    text = ran(cli, "generate", "copy.safetensors", "--count", 64, "--seed", 1, "--out", "grid.png")
    assert text == "grid.png  (64 samples, seed 1)\n"
    assert (alone / "grid.png").read_bytes() == (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    assert sorted(p.name for p in alone.iterdir()) == ["copy.safetensors", "grid.png"]
    ran(cli, "generate", "copy.safetensors", "--count", 64, "--seed", 2, "--out", "other.png")
    assert (alone / "grid.png").read_bytes() != (alone / "other.png").read_bytes()


def test_a_seed_that_was_drawn_is_printed_and_works(tmp_path: Path, cli: Cli, trained: Path) -> None:
    text = ran(cli, "generate", trained, "--count", 4, "--out", tmp_path / "a.png")
    seed = text.rpartition("seed ")[2].rstrip(")\n")
    ran(cli, "generate", trained, "--count", 4, "--seed", seed, "--out", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_generate_writes_a_folder_and_a_walk(tmp_path: Path, cli: Cli, trained: Path) -> None:
    walk = tmp_path / "deep" / "walk.gif"
    ran(cli, "generate", trained, "--count", 3, "--seed", 1, "--out", tmp_path / "many", "--interpolate", walk)
    names = sorted(p.name for p in (tmp_path / "many").iterdir())
    assert names == ["000000.png", "000001.png", "000002.png"]
    with Image.open(tmp_path / "many" / "000000.png") as image:
        assert (image.size, image.mode) == ((16, 16), "L")
    with Image.open(walk) as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("L"), dtype=np.float32))
    steps = [np.abs(a - b).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)]
    apart = np.abs(frames[0] - frames[len(frames) // 2]).mean()
    assert len(frames) >= 30 and 0 < max(steps) < apart, "small steps, and the last leads back to the first"
    again = tmp_path / "again.gif"
    ran(cli, "generate", trained, "--count", 3, "--seed", 1, "--out", tmp_path / "x.png", "--interpolate", again)
    assert again.read_bytes() == walk.read_bytes()


def tones(*, count: int = 64) -> Dataset:
    """Sine waves of random pitch.

    count: how many
    """
    pitch = torch.rand(count, 1, 1, generator=torch.Generator().manual_seed(0))
    return Dataset(torch.sin(torch.linspace(0, 1, 200) * pitch * 50))


@pytest.mark.parametrize(("data", "shape"), [("ring", (2,)), ("tones", (1, 200))])
def test_points_and_signals_go_all_the_way(
    data: str, shape: tuple[int, ...], tmp_path: Path, cli: Cli, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = zoo().registry
    extra = Component("dataset", "tones", tones, "tones", "ganzoo-tones", "1.0")
    monkeypatch.setattr(registry, "_all", [*registry._all, extra])
    ran(cli, "train", "--data", data, "--gen", "mlp", *small, "--out", tmp_path / "runs")
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "real.png").is_file() and (folder / "samples/000000256.png").is_file()
    flags = ("--seed", 1, "--count", 5)
    ran(cli, "generate", folder, *flags, "--out", tmp_path / "a.png", "--interpolate", tmp_path / "a.gif")
    ran(cli, "generate", folder, *flags, "--out", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    ran(cli, "generate", folder, *flags, "--out", tmp_path / "numbers")
    assert load_file(tmp_path / "numbers" / "samples.safetensors")["samples"].shape == (5, *shape)


def test_third_party_warnings_do_not_show(tmp_path: Path) -> None:
    script = "import warnings, sys\nimport ganzoo.cli as c\nc.run = lambda a: warnings.warn('noise', FutureWarning) or 0\nc.main()"
    environment = {key: value for key, value in os.environ.items() if key != "GANZOO_DEBUG"}
    for debug, shown in (("0", False), ("1", True)):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment | {"GANZOO_DEBUG": debug}
        )
        assert done.returncode == 0 and ("noise" in done.stderr) == shown
