"""A run whose plugin is gone or has changed its version says so, on resume and on generate."""

import shutil

from safetensors import safe_open
from safetensors.torch import save_file

from ganzoo import __version__ as now


def test_resume_names_the_plugin_that_is_gone(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    text = (run / "run.toml").read_text()
    assert '"ganzoo:penalties"' in text
    (run / "run.toml").write_text(text.replace('"ganzoo:penalties"', '"ganzoo-gone:penalties"'))
    done = cli("train", "--resume", run)
    assert (
        done.code == 1
        and "came from ganzoo-gone" in done.err
        and "pip install ganzoo-gone" in done.err
    )
    assert done.err.count("\n") == 1


def test_resume_tells_of_another_version(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    text = (run / "run.toml").read_text()
    (run / "run.toml").write_text(text.replace(f'ganzoo = "{now}"', 'ganzoo = "0.0.9"'))
    done = cli("train", "--resume", run, "--images", "288")
    assert done.code == 0 and f"ganzoo was 0.0.9 when this run began and is {now} now" in done.err


def test_generate_tells_of_another_version(cli, trained, tmp_path):
    with safe_open(trained / "generator.safetensors", "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    older = metadata["ganzoo"].replace(f'"version":"{now}"', '"version":"0.0.9"', 1)
    assert older != metadata["ganzoo"]
    save_file(tensors, tmp_path / "old.safetensors", metadata | {"ganzoo": older})
    done = cli(
        "generate",
        tmp_path / "old.safetensors",
        "--count",
        "4",
        "--seed",
        "1",
        "--out",
        tmp_path / "grid.png",
    )
    assert done.code == 0 and f"made with ganzoo 0.0.9 and drawn with {now}" in done.err
