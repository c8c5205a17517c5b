"""Whatever a person types wrong: one line that names the flag
or file and the way out, the right exit code, nothing written.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of one's own to stand in; the cache of pictures lies elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder


def tree(folder: Path) -> dict[str, bytes | None]:
    """All files below, with their content."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
        if p.name != ".lock"
    }


def refused(cli: Cli, code: int, *arguments: object, says: tuple[str, ...] = ()) -> str:
    """The one line of a command that must fail without a trace."""
    before = tree(Path.cwd())
    done = cli(*arguments)
    assert done.code == code, done
    assert done.out == ""
    assert (
        done.err.startswith("Error: ") and done.err.endswith("\n") and done.err.count("\n") == 1
    ), done.err
    assert "Traceback" not in done.err and "Error: unexpected" not in done.err, done.err
    assert done.err.rstrip("\n").isprintable(), "nothing that a terminal would obey"
    for text in says:
        assert text in done.err
    assert tree(Path.cwd()) == before, "something was written or lost"
    return str(done.err)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("train --gen dcgann", ("--gen dcgann", "did you mean 'dcgan'?")),
        ("train --disc nope", ("--disc nope", "installed: ", "dcgan")),
        ("train --loss hing", ("--loss hing", "did you mean 'hinge'?")),
        ("train --reg gpp", ("--reg gpp", "did you mean 'gp'?")),
        ("train --aug flipp", ("--aug flipp", "no augmentation")),
        ("train --recipe wgangp", ("--recipe wgangp", "did you mean 'wgan-gp'?")),
        ("train --set optim.gen.name=adm", ("--set optim.gen.name=adm", "did you mean 'adam'?")),
        ("train --set gen.widht=3", ("--set gen.widht=3", "did you mean 'width'?")),
        (
            "train --reg gp --set reg.gp.wieght=3",
            ("--set reg.gp.wieght=3", "did you mean 'weight'?"),
        ),
        ("train --set optim.gen.rl=3", ("--set optim.gen.rl=3", "did you mean 'lr'?")),
        ("train --set gne.width=3", ("--set gne.width=3", "no setting 'gne'; did you mean 'gen'?")),
        (
            "train --set train.presision=bf16",
            ("--set train.presision", "did you mean 'precision'?"),
        ),
        (
            "train --set reg.gp.weight=3",
            ("--set reg.gp.weight=3", "not in this pipeline", "add it: --reg gp"),
        ),
        ("train --set gen.width=abc", ("--set gen.width=abc", "whole number")),
        ("train --set gen.width=-3", ("--set gen.width=-3", "more than 0")),
        ("train --set train.images.x=3", ("--set train.images.x=3", "train.images")),
        ("train --set gen.width", ("--set gen.width", "SECTION.KEY=VALUE")),
        ("train --set width=3", ("--set width=3", "SECTION.KEY=VALUE")),
        ("train --set =3", ("--set =3", "SECTION.KEY=VALUE")),
        ("train --images nonsense", ("--images nonsense", "200k")),
        ("train --images 0", ("--images 0", "1 or more")),
        ("train --images -5", ("--images -5", "1 or more")),
        ("train --images 1.5", ("--images 1.5", "200k")),
        ("train --batch-size 0", ("--batch-size 0", "1 or more")),
        ("train --batch-size abc", ("--batch-size abc", "whole number")),
        ("train --batch-size 50000", ("--batch-size 50000", "10,000")),
        ("train --seed -1", ("--seed -1", "0 or more")),
        ("train --seed 99999999999999999999", ("--seed 9999", "less than")),
        ("train --keep 0", ("--keep 0", "1 or more")),
        ("train --resolution 3", ("--resolution", "3x3", "4x4")),
        ("train --resolution 0x5", ("--resolution 0x5", "between 1 and")),
        ("train --resolution abc", ("--resolution abc", "HEIGHTxWIDTH")),
        ("train --resolution 99999", ("--resolution 99999", "between 1 and")),
        ("train --precision fp8", ("--precision fp8", "'fp32'")),
        ("train --engine fast", ("--engine fast", "'eager'")),
        ("train --device banana", ("--device banana", "cpu")),
        ("train --device meta", ("--device meta", "cpu, cuda or mps")),
        ("train --data nowhere", ("--data nowhere", "no such folder or zip", "digits")),
        ("train --data=", ("--data", "give a name")),
        ("train --data ring --gen dcgan", ("--gen dcgan", "points")),
        ("train --data ring --gen mlp --resolution 8", ("--resolution", "ring", "points")),
        ("train --loss wgan --reg smooth", ("--reg smooth", "nonsat")),
        ("train --config missing.toml", ("--config missing.toml", "No such file")),
        ("train --json", ("--json", "--dry-run")),
        ("train --gne dcgan", ("--gne", "did you mean '--gen'?", "ganzoo train --help")),
        ("train extra", ("extra", "ganzoo train --help")),
        ("train --images", ("--images", "ganzoo train --help")),
        ("trian", ("'trian'", "did you mean 'train'?")),
        ("--nonsense", ("--nonsense", "ganzoo --help")),
        ("list lossess", ("'lossess'", "did you mean 'loss'?")),
        ("list one two", ("two", "ganzoo list --help")),
        ("info dcgna", ("'dcgna'", "did you mean 'dcgan'?", "ganzoo list")),
        ("info hinge --kind gen", ("hinge", "dcgan")),
        ("info hinge --kind foo", ("'foo'", "generator")),
        ("info", ("NAME", "ganzoo info --help")),
        ("plugins one", ("one", "ganzoo plugins --help")),
        ("data inspct x", ("inspct", "inspect", "ganzoo data --help")),
        ("data inspect digits", ("digits", "ganzoo info digits")),
        ("train --gen DCGANN", ("did you mean 'dcgan'?",)),
        ("train --reg gradient_penalty", ("did you mean 'gp'?",)),
        ("train --reg GradientPenalty", ("did you mean 'gp'?",)),
        ("train --loss wasserstein", ("did you mean 'wgan'?",)),
        ("info Spectral-Norm", ("did you mean 'sn'?",)),
        ("train --gen mlp --gen dcgan", ("--gen is given twice",)),
        ("train --reg gp --reg gp", ("--reg gp is given twice",)),
        ("train --reg gp --reg none", ("--reg none", "--reg gp", "write none first")),
        ("data inspect x --resolution 8 --resolution 9", ("--resolution is given twice",)),
        ("generate x --seed 1 --seed 2", ("--seed is given twice",)),
        ("generate x --count 0", ("--count 0: give 1 or more",)),
        ("generate x --count x", ("--count x: give a count, as in 500",)),
        ("train --batch-size 0", ("--batch-size 0: give 1 or more",)),
        ("train --set gen.width=0", ("--set gen.width=0: give more than 0",)),
        ("train --batch-size 50000", ("take at most: --batch-size 10000",)),
        ("bench --seconds 0", ("--seconds 0: give more than 0",)),
        ("generate", ("SOURCE", "ganzoo generate --help")),
        ("generate x --count 0", ("--count", "0")),
        ("generate x --seed -1", ("--seed", "-1")),
        ("generate x --seed 99999999999999999999", ("--seed", "9999")),
        ("generate x --label x", ("--label x", "whole number")),
        ("generate x --out a.jpg", ("--out a.jpg", ".png")),
        ("generate x --interpolate a.png", ("--interpolate a.png", ".gif")),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(line: str, says: tuple[str, ...], cli: Cli) -> None:
    refused(cli, 2, *line.split(" "), says=says)


@pytest.mark.parametrize("command", ["train --data {}", "data inspect {}"])
def test_data_that_are_none(command: str, here: Path, cli: Cli) -> None:
    (here / "empty").mkdir()
    (here / "alone").mkdir()
    (here / "alone" / "a.png").write_text("text")
    (here / "notes.md").write_text("text")
    (here / "broken.zip").write_bytes(b"PK\x03\x04" + b"\0" * 50)
    for name, why in (
        ("empty", "no pictures"),
        ("alone", "a.png: not a picture"),
        ("alone/a.png", "single picture"),
        ("notes.md", "neither a folder nor a zip"),
        ("broken.zip", "broken.zip"),
    ):
        line = refused(cli, 1, *command.format(name).split(), says=(name, why))
        assert not command.startswith("train") or f"--data {name}" in line
    if command.startswith("data"):
        refused(cli, 1, "data", "inspect", "nowhere", says=("nowhere", "No such file"))


def test_a_broken_picture_among_good_ones_is_skipped_counted_and_named(
    here: Path, cli: Cli
) -> None:
    (here / "some").mkdir()
    for i in range(4):
        Image.effect_noise((8, 8), 50 + i).save(here / "some" / f"{i}.png")
    (here / "some" / "bad.png").write_text("text")
    done = cli(
        "train",
        "--data",
        "some",
        "--batch-size",
        4,
        "--set",
        "gen.width=8",
        "--set",
        "disc.width=8",
        "--dry-run",
    )
    assert done.code == 0 and "1 broken left out: bad.png (not a picture)" in done.out
    assert "4 samples" in done.out
    refused(
        cli, 2, "train", "--data", "some", "--batch-size", 5, says=("--batch-size 5", "4 samples")
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_cuda_device_that_is_not_there(cli: Cli) -> None:
    refused(cli, 1, "train", "--device", "cuda", says=("--device cuda", "--device cpu"))
    refused(cli, 1, "train", "--device", "cuda:7", says=("--device cuda:7", "--device cpu"))


def test_broken_run_files(here: Path, cli: Cli) -> None:
    (here / "broken.toml").write_text("x = [")
    (here / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (here / "shape.toml").write_text("gen = 5")
    (here / "option.toml").write_text("[gen]\nwidht = 5")
    refused(cli, 2, "train", "--config", "broken.toml", says=("--config broken.toml", "no TOML"))
    refused(cli, 2, "train", "--config", "bytes.toml", says=("--config bytes.toml", "no TOML"))
    refused(cli, 2, "train", "--config", "shape.toml", says=("--config shape.toml", "gen = 5"))
    refused(
        cli,
        2,
        "train",
        "--config",
        "shape.toml",
        "--gen",
        "dcgan",
        says=("--config shape.toml", "gen = 5"),
    )
    refused(
        cli,
        2,
        "train",
        "--config",
        "option.toml",
        says=("--config option.toml", "did you mean 'width'?"),
    )
    refused(cli, 2, "train", "--config", ".", says=("--config .",))


def test_a_run_file_may_come_by_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stdin(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    stdin(b"[gen]\nwidht = 5")
    refused(cli, 2, "train", "--config", "-", says=("--config -: gen.widht = 5", "'width'"))
    stdin(b"x = [")
    refused(cli, 2, "train", "--config", "-", says=("--config -: no TOML",))
    stdin(b"#" * (1 << 20))
    refused(cli, 2, "train", "--config", "-", says=("--config -: larger than 128 KiB",))


def test_a_folder_that_cannot_be_written(here: Path, cli: Cli, trained: Path) -> None:
    """A path below a file: permissions do not hold the root user."""
    (here / "file").write_text("text")
    for out in ("file", "file/below", "x" * 300):
        refused(cli, 1, "train", "--out", out, says=(f"--out {out[:100]}",))
    for flag, name in (
        ("--out", "file/a.png"),
        ("--out", "file/folder"),
        ("--interpolate", "file/a.gif"),
    ):
        refused(cli, 1, "generate", trained, flag, name, says=(f"{flag} {name}",))


def test_resume_of_what_is_no_run(here: Path, cli: Cli) -> None:
    (here / "empty").mkdir()
    (here / "file").write_text("text")
    (here / "foreign").mkdir()
    (here / "foreign" / "run.toml").write_text("gen = 5")
    for name in ("nowhere", "empty", "file"):
        refused(cli, 1, "train", "--resume", name, says=(f"--resume {name}", "no run"))
    refused(cli, 1, "train", "--resume", "x" * 300, says=("xxx", "too long"))
    refused(cli, 2, "train", "--resume", "foreign", says=("foreign/run.toml", "gen = 5"))


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        ("--gen mlp", 1, ("gen.name was 'dcgan' and would be 'mlp'",)),
        ("--loss hinge", 1, ("loss.name was 'nonsat' and would be 'hinge'",)),
        ("--reg gp", 1, ("reg was r1 and would be gp, r1",)),
        ("--reg none", 1, ("reg was r1 and would be none",)),
        ("--seed 7", 1, ("train.seed was 0 and would be 7",)),
        ("--batch-size 32", 1, ("train.batch_size was 16 and would be 32",)),
        ("--set gen.width=16", 1, ("gen.width was 8 and would be 16",)),
        ("--set reg.r1.weight=3", 1, ("reg.r1.weight was",)),
        ("--recipe wgan", 2, ("--resume", "--recipe")),
        ("--config x.toml", 2, ("--resume", "--config")),
        ("--out x", 2, ("--resume", "--out")),
    ],
)
def test_resume_as_another_run(
    flags: str, code: int, says: tuple[str, ...], here: Path, cli: Cli, trained: Path
) -> None:
    shutil.copytree(trained, here / "run")
    refused(cli, code, "train", "--resume", "run", *flags.split(), says=("--resume", *says))


def test_resume_to_fewer_images_than_were_shown(here: Path, cli: Cli, trained: Path) -> None:
    shutil.copytree(trained, here / "run")
    before = tree(here)
    done = cli("train", "--resume", "run", "--images", 128)
    assert done.code == 2 and "--images 128: this run has shown 256 already" in done.err
    assert tree(here) == before


def test_damaged_generator_files(here: Path, cli: Cli, trained: Path) -> None:
    whole = (trained / "generator.safetensors").read_bytes()
    files = {
        "empty": b"",
        "short": b"\x05\0",
        "text": b"hello, I am no tensor file at all",
        "header": whole[:500],
        "cut": whole[:-100],
        "long": whole + b"\0" * 8,
        "foreign": (8 + 56).to_bytes(8, "little") + b" " * 64,
        "huge": (1 << 60).to_bytes(8, "little") + whole[8:],
    }
    for name, content in files.items():
        (here / name).write_bytes(content)
        refused(cli, 1, "generate", name, "--seed", 1, says=(name,))
    (here / "folder").mkdir()
    refused(cli, 1, "generate", "folder", says=("folder", "no run"))
    refused(cli, 1, "generate", "nowhere", says=("nowhere", "no run"))
    refused(cli, 1, "generate", "x" * 300, says=("xxx",))


def test_a_label_that_no_class_has(cli: Cli, trained: Path) -> None:
    refused(
        cli,
        2,
        "generate",
        trained,
        "--seed",
        1,
        "--label",
        10,
        says=("--label 10", "classes 0 to 9"),
    )


def test_a_label_for_a_generator_without_labels(
    cli: Cli, ran: Cli, small: tuple[str, ...], here: Path
) -> None:
    ran("train", "--set", "train.conditional=false", *small, "--out", here)
    (run,) = here.glob("0001-*")
    refused(
        cli, 2, "generate", run, "--seed", 1, "--label", 3, says=("--label 3", "without labels")
    )
